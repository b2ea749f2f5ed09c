"""Reads, writes, plays and segments bags, and converts KITTI drives to bags.

May import `ros`, `inference` and the rooms below; only `play` and `publishers` import ROS.
"""
