"""Vehicles and people one by one: Mask R-CNN, its weights files, and what is drawn of its answers.

Imports `inference`, `frames` and the rooms below them.
"""
