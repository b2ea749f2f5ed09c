"""`road_seg view`: shows what a running node sees, and its state, in a browser, in Foxglove and in rerun.

May import `ros` and the rooms below; only `listener` and `transforms` import ROS.
"""
