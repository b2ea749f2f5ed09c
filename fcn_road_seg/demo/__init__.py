"""The demo: a camera process and the node over ROS 2, every mask collected, timed and drawn."""
