"""Reads and writes frames as arrays: image messages, image files, videos, labelled samples.

Imports NumPy, OpenCV and PyYAML, of the other rooms only `files`; cv_bridge if it is installed.
"""
