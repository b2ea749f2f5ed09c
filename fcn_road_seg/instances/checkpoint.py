"""Weights files of the instance network: safetensors, checked like those of the road network."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.checkpoint import INSTANCE_FORMAT, CheckpointError
from fcn_road_seg.instances.network import build


@dataclass(frozen=True)
class Metadata:
    """The metadata of a weights file.

    Attributes:
        width: see `network.build`.
        short_side: pixels to which the shorter side of a frame is resized; the default when it runs.
        classes: names of the labels 1, 2, ...
        recipe: every field of the training recipe. seed: of its random numbers.
        data: the frames that it was trained on by data set, and those on which its epochs were measured
            ("validation/NAME"): "frames" is their number, "sha256" that of their names and bytes, "names" their names,
            "instances" the number of instances by class.
        figures: validation figures, fractions 0..1.
        origin: SHA-256 of the weights that the training started from; empty for ImageNet's.
        git_revision: of the repository that trained it.
    """

    width: int
    short_side: int
    classes: tuple[str, ...] = INSTANCE_CLASSES
    recipe: dict = field(default_factory=dict)
    seed: int = 0
    data: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)
    origin: str = ""
    git_revision: str = "unknown"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded weights file: its path, its metadata, the SHA-256 of metadata and tensors, and the tensors."""

    path: Path
    metadata: Metadata
    sha256: str
    tensors: dict[str, torch.Tensor]

    def network(self) -> GeneralizedRCNN:
        """The network with these weights, float32, in evaluation mode."""
        network = build(self.metadata.width, self.metadata.short_side)
        network.load_state_dict(self.tensors)
        return network.eval()


def save(path: str | Path, network: nn.Module, metadata: Metadata) -> None:
    """Write the network's weights, in FP16, and the metadata to `path`, whole or not at all.

    Raises:
        CheckpointError: a weight is not finite in FP16.
    """
    checkpoint.write(path, network.state_dict(), json.dumps(asdict(metadata), sort_keys=True), INSTANCE_FORMAT)


def load(path: str | Path) -> Checkpoint:
    """Read and check a weights file.

    Raises:
        CheckpointError: it is missing, not a safetensors file of this network, damaged, altered, or its tensors are not
            those of the network in its metadata.
    """
    path = Path(path)
    header, tensors = checkpoint.read(path)
    checkpoint.check_format(path, header, INSTANCE_FORMAT, "train-instances")
    metadata = _metadata(path, header)
    with torch.device("meta"):
        network = build(metadata.width, metadata.short_side)
    checkpoint.check_complete(path, tensors, network, "instance network")
    checkpoint.check_unaltered(path, header, tensors)
    return Checkpoint(path, metadata, header["sha256"], tensors)


def _metadata(path: Path, header: dict[str, str]) -> Metadata:
    try:
        values = json.loads(header["metadata"])
        values["classes"] = tuple(values["classes"])
        known = {f.name for f in fields(Metadata)}
        metadata = Metadata(**{k: v for k, v in values.items() if k in known})
        sound = (
            type(metadata.width) is int
            and type(metadata.short_side) is int
            and 0 < metadata.width <= 1024
            and 0 < metadata.short_side <= 4096
            and metadata.classes == INSTANCE_CLASSES
            and all(type(part) is dict for part in (metadata.recipe, metadata.data, metadata.figures))
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        sound = False
    if not sound:
        raise CheckpointError(f"{path} has invalid metadata: it was damaged or altered")
    return metadata
