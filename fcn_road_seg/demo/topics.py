"""The topics of the demo."""

MASK = "/road_seg/mask"
