"""The offline training command: recipes, augmentation, the loop. Knows no ROS."""
