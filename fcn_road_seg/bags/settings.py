"""What decides the masks of a segmented bag: recorded in the bag, and compared before a job is resumed."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from fcn_road_seg.frames.own_vehicle import OwnVehicle
    from fcn_road_seg.inference.checkpoint import Checkpoint

KEY = "road_seg"
"""Under which the settings stand, as JSON, in the custom data of a bag's metadata.yaml."""
SHAPES = (1242, 375), (1280, 720), (640, 480), (1280, 1024)
"""Frames, width x height, whose network sizes stand for all."""


def network_settings(checkpoint: "Checkpoint", network_width: int, own_vehicle: "OwnVehicle | None") -> dict[str, Any]:
    """What decides the road probabilities of a frame, besides the device; names are words for the user."""
    from fcn_road_seg.inference.preprocess import network_size

    return {
        "weights": checkpoint.sha256,
        "network size": [network_size(*shape, network_width) for shape in SHAPES],
        "own-vehicle mask": own_vehicle and own_vehicle.sha256,
    }


def recorded_settings(bag: Path) -> dict[str, Any]:
    """The settings in a segmented bag; empty if it has none."""
    try:
        facts = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        return dict(json.loads(facts["custom_data"][KEY]))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return {}


def differences(recorded: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """The names of the settings that differ from the recorded ones."""
    return [name for name, value in json.loads(json.dumps(settings)).items() if recorded.get(name) != value]
