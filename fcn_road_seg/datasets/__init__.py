"""Road data sets. Each is a sequence of `Sample`; none of them knows ROS, and only cityscapes (torchvision's index) torch."""
