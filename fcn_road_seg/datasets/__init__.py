"""Road data sets. Each is a sequence of `Sample`; none knows ROS, and only cityscapes (torchvision's index) torch."""
