"""Names of the topics that the demo plays and records."""

MASK = "/road_seg/mask"
