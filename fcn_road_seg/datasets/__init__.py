"""Road data sets, each a sequence of `Sample`, and the drives that demos and measurements run on.

Imports `synthetic`, `frames` and the rooms below them; never ROS, and torchvision only to open Cityscapes.
"""
