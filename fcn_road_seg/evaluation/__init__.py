"""How good the masks are: metrics on labelled frames, ground errors, flicker, corruptions, calibration, alarms.

Imports `inference`, `datasets`, `synthetic` and the rooms below them; never ROS.
"""
