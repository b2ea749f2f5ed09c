"""The network and every way of running it: a uint8 frame in, P(road) out.

Imports torch, `postprocess` and what lies below; neither ROS nor a data set.
"""
