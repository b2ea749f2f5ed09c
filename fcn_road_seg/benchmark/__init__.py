"""Measures time, memory and accuracy of every way to run the network, in one run.

May import `ros`, `evaluation`, `quantization` and the rooms below; only `mask_listener` imports ROS.
"""
