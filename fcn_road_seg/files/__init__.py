"""Reads and writes files as people have them: inputs that may never end, outputs whole or not at all, checksums.

Imports the standard library, and no other room.
"""
