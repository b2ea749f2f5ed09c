"""Unlabelled frames, labelled by a trained network (self-training)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fcn_road_seg.frames.image_file import images_in, read_rgb
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, DatasetError, Sample, Samples
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.network import STRIDE
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter

SCALES = (1.0, 1.22, 1.44)  # of the teacher's network width


class PseudoLabelled(Samples):
    """The images of folders, labelled where a teacher is confident and ignored elsewhere.

    The teacher sees each frame at three sizes, and mirrored (test-time augmentation); its confidence is taken from the
    mean of the six answers. The student sees one size, and augmented frames, so there is something left to learn.
    Lee, "Pseudo-Label", 2013; Xie et al., "Self-training with Noisy Student", 2020.

    Args:
        folders: folders of images.
        teacher: the teacher's weights file.
        confidence: least P(road) of a road pixel, and least 1 - P(road) of a pixel that is not road.
        track: wraps the frames' paths, for a progress bar.

    Attributes:
        teacher: SHA-256 of the teacher's weights.

    Raises:
        DatasetError: a folder is missing or has no image.
        CheckpointError: the teacher is refused.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        teacher: str | Path,
        confidence: float,
        device: str = "auto",
        track: Callable[[Iterable], Iterable] = iter,
    ):
        paths: list[Path] = []
        for folder in map(Path, folders):
            images = images_in(folder) if folder.is_dir() else []
            if not images:
                raise DatasetError(f"{folder} is not a folder of images")
            paths += images
        weights = checkpoint.load(teacher)
        widths = [round(scale * weights.metadata.network_width / STRIDE) * STRIDE for scale in SCALES]
        options = SegmenterOptions(device=device, backend="torch")
        segmenters = [RoadSegmenter(weights, replace(options, network_width=width)) for width in widths]
        self.teacher = weights.sha256
        self.names = [path.stem for path in paths]
        self._samples = []
        for path in track(paths):
            image = read_rgb(path)
            label = confident_label(mean_probability(segmenters, image), confidence, 1 - confidence)
            self._samples.append(Sample(image, label, path.stem))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]


def confident_label(probability: np.ndarray, road: float, not_road: float) -> np.ndarray:
    """The label, uint8 H x W: road from one P(road) on, not road up to another, ignored between."""
    label = np.full(probability.shape, IGNORE, np.uint8)
    label[probability >= road] = ROAD
    label[probability <= not_road] = NOT_ROAD
    return label


def mean_probability(
    segmenters: Sequence[Callable], image: np.ndarray, votes: Sequence[float] | None = None
) -> np.ndarray:
    """Mean P(road), float32 H x W, of the segmenters' answers to a frame and to its mirror image.

    Args:
        votes: the segmenters' weights in the mean; None weights them evenly.
    """
    mirrored = np.ascontiguousarray(image[:, ::-1])
    answers = [segment(image) for segment in segmenters] + [segment(mirrored)[:, ::-1] for segment in segmenters]
    weights = np.ones(len(answers)) if votes is None else np.tile(votes, 2)
    return (np.tensordot(weights / weights.sum(), np.stack(answers), 1) / 255).astype(np.float32)
