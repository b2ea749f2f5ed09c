"""Training of the network: recipes, augmentation, the loop, several processes, pruning and self-training.

Imports torch, torchvision, `evaluation` and the rooms below it; never ROS.
"""
