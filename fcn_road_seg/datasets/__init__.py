"""Road data sets, each a sequence of `Sample`, and the drives that demos and measurements run on.

Imports `synthetic`, `frames` and the rooms below them; never ROS, torchvision only to open Cityscapes, and pycocotools
only to read COCO's annotations.
"""
