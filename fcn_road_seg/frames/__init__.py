"""Frames and labels as arrays: image messages, image files, videos, labelled samples.

Imports NumPy and OpenCV, and from the other rooms only `postprocess`; cv_bridge if it is installed.
"""
