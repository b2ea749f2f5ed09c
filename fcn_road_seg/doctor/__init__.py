"""The checks of `road_seg doctor`: the environment, and a node and its camera in a running ROS 2 graph.

May import `ros` and the rooms below; only `graph` imports ROS.
"""
