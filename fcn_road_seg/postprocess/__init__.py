"""Turns P(road) into masks, labels and overlays, filters it over time and by size, and detects unsuitable frames.

Imports NumPy and OpenCV, but no other room.
"""
