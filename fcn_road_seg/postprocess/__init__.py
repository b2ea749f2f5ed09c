"""Turns P(road) into masks, labels and overlays, filters it over time, and detects unsuitable frames.

Imports NumPy and OpenCV, but no other room.
"""
