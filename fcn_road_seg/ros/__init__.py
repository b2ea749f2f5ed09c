"""The ROS 2 node: parameters, subscriptions, outputs, diagnostics, QoS, and the executables.

Imports rclpy and the rooms below; torch is loaded only when the node is configured.
"""
