"""The process that plays the demo's drive."""

from pathlib import Path

from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.ros.child_process import ChildProcess


def player_process(drive: DriveInBag, rate: float, out: Path, environment: dict[str, str]) -> ChildProcess:
    """`road_seg play` of a drive as ``image`` and ``camera_info`` at `rate` frames per second.

    Its figures go to `out`/player.json.
    """
    names = {drive.topic: "/image"} | ({drive.camera_info: "/camera_info"} if drive.camera_info else {})
    arguments = ["play", str(drive.path), "--topics", *names]
    arguments += [word for topic, name in names.items() for word in ("--remap", f"{topic}:={name}")]
    arguments += ["--rate", str(rate / drive.rate), "--wait", "30", "--json", str(out / "player.json")]
    return ChildProcess("fcn_road_seg.cli.main", arguments, out / "player.log", environment)
