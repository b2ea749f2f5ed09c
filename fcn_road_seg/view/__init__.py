"""`road_seg view`: shows the overlay, the mask and figures of a running node in a browser and in Foxglove.

May import `ros` and the rooms below; only `listener` imports ROS.
"""
