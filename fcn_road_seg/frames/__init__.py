"""Frames and labels as arrays: image messages, image files, videos, labelled samples.

Imports NumPy and OpenCV, and no other room but `postprocess`.
"""
