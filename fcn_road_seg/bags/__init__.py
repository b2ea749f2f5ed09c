"""Bags: reading, writing, KITTI drives to bags, playing, and segmenting. Only `play` needs ROS."""
