"""`road_seg <verb>`: a thin file per verb, each with `add_parser` and `run`."""
