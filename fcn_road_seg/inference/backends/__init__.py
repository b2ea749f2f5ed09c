"""Ways to run the network on a device, one file each; `choice.create` makes the one that the options ask for.

A backend imports its runtime (torch, OpenVINO), the network and `preprocess`, but no other room.
"""
