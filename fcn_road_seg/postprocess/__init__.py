"""From P(road) to what is published: threshold, labels, overlay, temporal filter, out-of-domain alarm.

Imports NumPy and OpenCV, but no other room.
"""
