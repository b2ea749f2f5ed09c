"""`road_seg <verb>`: a thin file per verb, each with `add_parser` and `run`.

May import every room; torch and ROS only inside functions, so that every command starts quickly.
"""
