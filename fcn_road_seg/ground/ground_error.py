"""The error of this room."""

from fcn_road_seg.errors import UserError


class GroundError(UserError):
    """A calibration, pose or size that does not allow ground outputs; the message is one sentence."""
