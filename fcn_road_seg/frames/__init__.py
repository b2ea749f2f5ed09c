"""Reads and writes frames as arrays: image messages, image files, videos, labelled samples.

Imports NumPy, OpenCV and PyYAML, and no other room; cv_bridge if it is installed.
"""
