"""What `road_seg doctor` finds: in the environment, and in a running ROS 2 graph.

`environment` and `ros_settings` look at this process, `running` judges what `graph` (the only file with ROS) sees, and
`traffic` the messages that it receives. Every check yields `Finding`s.
"""
