"""The network and every way to run it: a uint8 frame in, P(road) out.

Imports torch, and from the other rooms only `postprocess`, `ground` and `frames`; never ROS or a data set.
"""
