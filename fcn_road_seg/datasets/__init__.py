"""Road data sets. Each is a sequence of `Sample`; none of them knows ROS or torch."""
