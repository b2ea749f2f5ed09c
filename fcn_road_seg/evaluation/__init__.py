"""How good and how fast the network is. Knows no ROS."""
