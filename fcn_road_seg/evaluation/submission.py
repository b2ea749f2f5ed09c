"""The files that KITTI Road's evaluation server takes: P(road) in bird's-eye view, one PNG per test frame."""

from collections import Counter
from pathlib import Path

from fcn_road_seg.datasets.kitti_road import frame_images, road_file
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.birds_eye import BirdsEyeView, Sampling
from fcn_road_seg.evaluation.inference_loop import Segment, Track
from fcn_road_seg.evaluation.kitti_camera import check_files
from fcn_road_seg.files.input import visible
from fcn_road_seg.files.output import check_writable_folder
from fcn_road_seg.frames.image_file import read_rgb, write_image
from fcn_road_seg.frames.sample import DatasetError

SERVER_FRAMES = {"um": 96, "umm": 94, "uu": 100}
"""Number of KITTI Road's test frames by category; the server wants all of them."""


def write_submission(
    segment: Segment, root: str | Path, folder: str | Path, sampling: Sampling = "devkit", track: Track = iter
) -> list[Path]:
    """Write um_road_000000.png, ... for all frames of `root`/testing: uint8 P(road) x 255, 800 rows x 400 columns.

    Cells that the image does not show are 0; the server does not count them.

    Args:
        root: KITTI Road folder with testing/image_2 and testing/calib.
        folder: created if it does not exist.
        sampling: see `birds_eye.Sampling`.

    Returns:
        The files, in the order of the frames.

    Raises:
        DatasetError: a test frame or its calibration is missing or unusable.
        UserError: the folder cannot be created, or holds anything else.
    """
    frames = frames_to_submit(root)
    folder = empty_folder(folder, {road_file(name) for name in frames})
    files = []
    for name, (image, calibration) in track(frames.items()):
        pixels = read_rgb(image)
        view = BirdsEyeView.read(calibration, (pixels.shape[1], pixels.shape[0]), sampling)
        files.append(folder / road_file(name))
        write_image(files[-1], view(segment(pixels)))
    return files


def frames_to_submit(root: str | Path) -> dict[str, tuple[Path, Path]]:
    """Image and calibration file of every frame in `root`/testing, by the frame's name; the calibrations are checked.

    Raises:
        DatasetError: a folder is missing or without frames, or a calibration is missing or unusable.
    """
    images = Path(root) / "testing" / "image_2"
    if not images.is_dir():
        raise DatasetError(f"{root} has no testing/image_2: a submission needs KITTI Road's test frames")
    frames = {name: (path, images.parent / "calib" / f"{name}.txt") for name, path in frame_images(images).items()}
    if not frames:
        raise DatasetError(f"{images} has no frames such as um_000000.png")
    check_files([calibration for _, calibration in frames.values()])
    return frames


def empty_folder(folder: str | Path, files: set[str]) -> Path:
    """Create a folder that may hold nothing but these files, so that what is zipped is what was written.

    Raises:
        UserError: it cannot be written to, or holds something else.
    """
    folder = Path(folder)
    check_writable_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    others = [path.name for path in visible(folder) if path.name not in files]
    if others:
        raise UserError(f"{folder} holds {others[0]}, which is not part of this submission: name an empty folder")
    return folder


def missing(files: list[Path]) -> str:
    """A sentence about test frames that the server expects but `files` lack; empty if there are none."""
    there = Counter(path.name.split("_")[0] for path in files)
    lacking = [
        f"{there[category]} of {count} {category}"
        for category, count in SERVER_FRAMES.items()
        if there[category] < count
    ]
    return f"The server wants all of KITTI's test frames, but these are {', '.join(lacking)}." if lacking else ""
