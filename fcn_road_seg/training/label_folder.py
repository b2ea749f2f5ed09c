"""Labels for a folder of images by the vote of several networks: a folder data set, and what made it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg import __version__
from fcn_road_seg.datasets.folder import check_upright
from fcn_road_seg.datasets.label_image import read_label
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.inference_loop import Segment
from fcn_road_seg.files.output import whole_file, whole_folder, write_whole
from fcn_road_seg.frames.image_file import LABEL_SUFFIXES, by_name, images_in, read_rgb, write_image
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, DatasetError
from fcn_road_seg.training.pseudo_labels import confident_label, mean_probability

VAL_LIST = "# Networks made these labels, so they validate nothing: all frames are for training.\n"


@dataclass(frozen=True)
class Member:
    """One network of an ensemble.

    Attributes:
        segment: the network.
        votes: its weight in the mean, above 0.
        facts: what `labels.json` says about it.
    """

    segment: Segment
    votes: float
    facts: Mapping[str, object]


def label_folder(
    members: Sequence[Member],
    images: Sequence[Path],
    out: Path,
    road: float,
    not_road: float,
    kept: Path | None = None,
    track: Callable[[Iterable], Iterable] = iter,
    own_vehicle: OwnVehicle | None = None,
) -> dict:
    """Label images and write them as a folder data set, see `datasets.folder`.

    Each network sees every image and its mirror image; a pixel's P(road) is the mean of all answers by the networks'
    votes. Besides `images/` and `labels/` the folder gets `labels.json`, the figures below with what made the labels,
    and an empty `val.txt`, because such labels should not validate anything. `labels/` appears when all are made.

    Args:
        images: from `images_to_label`.
        out: the folder to write, without `labels/`.
        road, not_road: P(road), 0..1, from which a pixel is road, and up to which it is not; it is ignored between.
        kept: folder of labels, NAME.png, of some or all images, of which only ignored pixels are labelled.
        own_vehicle: what is not road, whatever the networks say.

    Returns:
        {"frames", "left_out", "kept", "road", "not_road", "ignored"}: numbers of frames, of images without a pixel of
        which the networks are sure, and of frames with labels in `kept`; and shares of all pixels, 0..1.

    Raises:
        UserError: the thresholds are not in order, `out` has labels, or an image has another shape than `own_vehicle`.
        DatasetError: an image or a label cannot be read, `kept` has no label of any image, or the networks are sure of
            no pixel.
    """
    if not 0 <= not_road < road <= 1:
        raise UserError(
            f"P(road) cannot be road from {road} and not road up to {not_road}: both must be from 0 to 1, the first "
            "above the second"
        )
    if (out / "labels").exists():
        raise UserError(f"{out} already has labels: choose another folder")
    kept_labels = by_name(kept, LABEL_SUFFIXES) if kept else {}
    known = [path for path in images if path.stem in kept_labels]
    if kept and not known:
        raise DatasetError(f"{kept} has no label of these images, such as {images[0].stem}.png")
    (out / "images").mkdir(parents=True, exist_ok=True)
    counts, unsure = np.zeros(256, np.int64), 0
    votes = [member.votes for member in members]
    with whole_folder(out / "labels") as labels:
        for path in track(images):
            image = read_rgb(path)
            check_upright(path)
            label = confident_label(mean_probability([m.segment for m in members], image, votes), road, not_road)
            if own_vehicle is not None:  # what the networks say of it makes no image worth keeping
                hidden = own_vehicle.hidden(*label.shape) != 0
                label[hidden] = IGNORE
            if path.stem in kept_labels:
                before = read_label(kept_labels[path.stem], image, None)
                label = np.where(before == IGNORE, label, before)
            if label.min() == IGNORE:
                unsure += 1
                continue
            if own_vehicle is not None:
                label[hidden & (label == IGNORE)] = NOT_ROAD
            write_image(labels / f"{path.stem}.png", label)
            with whole_file(out / "images" / path.name) as copy:
                shutil.copyfile(path, copy)
            counts += np.bincount(label.ravel(), minlength=256)
        if unsure == len(images):
            raise DatasetError("the networks are sure of no pixel of these images: bring --road and --not-road closer")
        write_whole(out / "val.txt", VAL_LIST)
    shares = (counts / counts.sum()).tolist()
    figures = {
        "frames": len(images) - unsure,
        "left_out": unsure,
        "kept": len(known),
        "road": shares[ROAD],
        "not_road": shares[NOT_ROAD],
        "ignored": shares[IGNORE],
    }
    made_by = {
        "made_by": f"road_seg pseudo-label {__version__}",
        "members": [{**member.facts, "votes": member.votes} for member in members],
        "mirrored": True,
        "road_from": road,
        "not_road_to": not_road,
        "kept_labels": str(kept) if kept else None,
        "own_vehicle_mask_sha256": own_vehicle and own_vehicle.sha256,
    }
    write_whole(out / "labels.json", json.dumps(made_by | figures, indent=1) + "\n")
    return figures


def shown_smaller(segment: Segment, scale: float, grey: int) -> Segment:
    """The network as it sees frames that fill only the share `scale`, 0..1, of the sides, framed in grey (0..255)."""

    def answer(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        rows, columns = (round(side * (1 / scale - 1) / 2) for side in (height, width))
        framed = cv2.copyMakeBorder(image, rows, rows, columns, columns, cv2.BORDER_CONSTANT, value=(grey,) * 3)
        return segment(framed)[rows : rows + height, columns : columns + width]

    return answer


def images_to_label(folders: Sequence[Path]) -> list[Path]:
    """The images of folders.

    Raises:
        DatasetError: a folder is missing or has no image, or two images have the same name.
    """
    images: dict[str, Path] = {}
    for folder in folders:
        found = images_in(folder) if folder.is_dir() else []
        if not found:
            raise DatasetError(f"{folder} is not a folder of images")
        for path in found:
            if images.setdefault(path.stem, path) != path:
                raise DatasetError(f"{path} and {images[path.stem]} would have the same label: rename one")
    return list(images.values())


def files_sha256(paths: Iterable[Path]) -> str:
    """SHA-256, in hex, of the contents of files, one after the other."""
    sha = hashlib.sha256()
    for path in paths:
        sha.update(path.read_bytes())
    return sha.hexdigest()
