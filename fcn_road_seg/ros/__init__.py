"""The ROS 2 node: parameters, subscriptions, outputs, diagnostics, QoS, and the executables.

Imports rclpy and the rooms below; never torch, which the node loads when it is configured.
"""
