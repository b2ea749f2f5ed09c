"""The process that plays the drive of the demo."""

from pathlib import Path

from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.ros.child_process import ChildProcess


def player_process(drive: DriveInBag, rate: float, out: Path, environment: dict[str, str]) -> ChildProcess:
    """Start `road_seg play` with a drive, remapped to ``image`` and ``camera_info``, at `rate` frames per second.

    It writes its figures to `out`/player.json.
    """
    names = {drive.topic: "/image"} | ({drive.camera_info: "/camera_info"} if drive.camera_info else {})
    arguments = ["play", str(drive.path), "--topics", *names]
    arguments += [argument for topic, name in names.items() for argument in ("--remap", f"{topic}:={name}")]
    arguments += ["--rate", str(rate / drive.rate), "--wait", "30", "--json", str(out / "player.json")]
    return ChildProcess("fcn_road_seg.cli.main", arguments, out / "player.log", environment)
