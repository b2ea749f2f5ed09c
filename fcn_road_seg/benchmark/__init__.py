"""Measures time, memory and accuracy of every way to run the network, in one run.

May import every room except `cli` and `demo`; only `mask_listener` imports ROS.
"""
