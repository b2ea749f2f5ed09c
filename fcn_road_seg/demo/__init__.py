"""The demo: plays a drive through the node over ROS 2, and collects, times and draws every mask.

May import every room except `cli`; only `recorder` needs ROS to be imported.
"""
