"""From P(road) to what is published: threshold, labels, overlay, temporal filter, out-of-domain alarm.

Imports NumPy and OpenCV, and no other room.
"""
