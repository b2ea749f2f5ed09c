"""Weights files: safetensors with one JSON object as metadata.

Pickles are not loaded, because they can run code. Every file carries the SHA-256 of its metadata and
tensors, so that a damaged or altered file is refused instead of used for driving.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import utf8_name, write_whole
from fcn_road_seg.inference.network import FC_FORMS, STRIDE, VGG16_WIDTHS, FCN8s
from fcn_road_seg.inference.preprocess import MAX_NETWORK_WIDTH, MEAN

FORMAT, INSTANCE_FORMAT = "fcn_road_seg", "fcn_road_seg_instances"
NETWORKS = {FORMAT: "the road network", INSTANCE_FORMAT: "the network for instances"}
FORMAT_VERSION = 1


class CheckpointError(UserError):
    """An invalid weights file; the message is one sentence with the reason and the remedy."""


@dataclass(frozen=True)
class Metadata:
    """The metadata of a weights file.

    Attributes:
        fc, fc_width, classes, conv_widths: the network's form, see `network.FCN8s`. Class 1 is road.
        network_width: width in pixels of the input it was trained at, see `preprocess.network_size`; the default when
            it runs.
        threshold: P(road), 0..1, from which a pixel counts as road.
        temperature: P(road) is the sigmoid of the logits' difference divided by this; see
            `evaluation.temperature_scaling`.
        colour_order, mean: the input's convention, 0..255 minus mean.
        recipe: every field of the training recipe. seed: of its random numbers.
        data: the frames that it was trained on by data set, those that the weights it started from were trained on
            ("origin/NAME"), and those that chose its best epoch ("validation/NAME", or "validation" in older files):
            "frames" is their number, "sha256" that of their names and bytes, "names" (not in older files) their names,
            "road" the share of road in their labelled pixels.
        figures: validation figures, fractions 0..1.
        teacher: SHA-256 of the weights that it was pruned from and learned from; empty if there were none.
        origin: SHA-256 of the weights that were fine-tuned or calibrated into these; empty if there were none.
        git_revision: of the repository that trained it.
    """

    fc: str
    fc_width: int
    classes: int = 2
    conv_widths: tuple[int, ...] = VGG16_WIDTHS
    network_width: int = 576
    threshold: float = 0.5
    temperature: float = 1.0
    colour_order: str = "RGB"
    mean: tuple[float, float, float] = MEAN
    recipe: dict = field(default_factory=dict)
    seed: int = 0
    data: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)
    teacher: str = ""
    origin: str = ""
    git_revision: str = "unknown"

    @property
    def trained_on(self) -> dict[str, dict]:
        """The sets in `data` that it was trained on, as "NAME" and "origin/NAME"."""
        return {name: frames for name, frames in self.data.items() if name.split("/")[0] != "validation"}

    @property
    def max_f(self) -> float | None:
        """MaxF on the validation frames, 0..1; None if it was not measured."""
        return self.figures.get("validation", {}).get("max_f")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded weights file: its path, its metadata, the SHA-256 of metadata and tensors, and the tensors."""

    path: Path
    metadata: Metadata
    sha256: str
    tensors: dict[str, torch.Tensor]

    def network(self) -> FCN8s:
        """The network with these weights, float32, in evaluation mode; its last layer holds the temperature."""
        network = empty_network(self.metadata)
        network.to_empty(device="cpu")
        network.load_state_dict(self.tensors)
        with torch.no_grad():
            network.head.upscore8.weight.div_(self.metadata.temperature)
        return network.eval()


def save(path: str | Path, network: FCN8s, metadata: Metadata) -> None:
    """Write the network's weights, in FP16, and the metadata to `path`, whole or not at all.

    Raises:
        CheckpointError: a weight is not finite in FP16.
    """
    write(path, network.state_dict(), json.dumps(asdict(metadata), sort_keys=True), FORMAT)


def load(path: str | Path) -> Checkpoint:
    """Read and check a weights file.

    Raises:
        CheckpointError: it is missing, not a safetensors file of this program, damaged, altered, or
            its tensors are not those of the network in its metadata.
    """
    path = Path(path)
    named = path.parent == Path() and not path.suffix
    header, tensors = read(path, "; the shipped weights are road, lite and permissive" if named else "")
    metadata = _metadata(path, header)
    check_complete(path, tensors, empty_network(metadata), f"{metadata.fc} FCN-8s")
    check_unaltered(path, header, tensors)
    return Checkpoint(path, metadata, header["sha256"], tensors)


def write(path: str | Path, state: Mapping[str, torch.Tensor], metadata: str, kind: str) -> None:
    """Write tensors, in FP16, with a format's name, their metadata and the SHA-256 of both, whole or not at all.

    Raises:
        CheckpointError: a value is not finite in FP16.
    """
    tensors = {name: t.detach().to("cpu", torch.float16).contiguous() for name, t in state.items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{name} has values that FP16 cannot hold: the training diverged")
    header = {
        "format": kind,
        "format_version": str(FORMAT_VERSION),
        "sha256": digest(metadata, tensors),
        "metadata": metadata,
    }
    write_whole(path, safetensors.torch.save(tensors, header))


def read(path: Path, known: str = "") -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """The header and the tensors of a safetensors file, not yet checked.

    Args:
        known: what to say of other names than the path, if it is missing.

    Raises:
        CheckpointError: it is missing or not a safetensors file.
    """
    try:
        with utf8_name(path) as name, safe_open(name, "pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"there is no weights file {path}{known}") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(_why_unreadable(path, error)) from None


def check_format(path: Path, header: Mapping[str, str], kind: str, command: str) -> None:
    """Check that a file is of this format, in the version that this program reads.

    Args:
        command: makes such files.

    Raises:
        CheckpointError: it is not.
    """
    if (found := header.get("format")) != kind:
        if found in NETWORKS:
            raise CheckpointError(
                f"{path} holds weights of {NETWORKS[found]}, but this needs those of {NETWORKS[kind]}"
            )
        raise CheckpointError(f"{path} does not hold weights of this program: make them with `road_seg {command}`")
    if header.get("format_version") != str(FORMAT_VERSION):
        raise CheckpointError(
            f"{path} has the format version {header.get('format_version')}, and this program reads {FORMAT_VERSION}: "
            "use the program version that wrote it"
        )


def check_complete(path: Path, tensors: Mapping[str, torch.Tensor], network: nn.Module, kind: str) -> None:
    """Check that a file's tensors are those of a network.

    Raises:
        CheckpointError: they are not.
    """
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    for name in sorted(expected.keys() - found.keys()):
        raise CheckpointError(f"{path} lacks the tensor {name}: it is not a complete {kind}")
    for name in sorted(found.keys() - expected.keys()):
        raise CheckpointError(f"{path} has the tensor {name}, which a {kind} does not have")
    for name, shape in expected.items():
        if found[name] != shape:
            raise CheckpointError(f"{path}: {name} has the shape {found[name]}, but the network needs {shape}")


def check_unaltered(path: Path, header: Mapping[str, str], tensors: dict[str, torch.Tensor]) -> None:
    """Check the SHA-256 of a file's metadata and tensors.

    Raises:
        CheckpointError: the file was damaged or altered.
    """
    if digest(header["metadata"], tensors) != header.get("sha256"):
        raise CheckpointError(f"{path} was damaged or altered (its SHA-256 differs): download it again")


def digest(metadata: str, tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256, in hex, of the metadata and the tensors' names, dtypes, shapes and bytes, in the order of names."""
    sha = hashlib.sha256(metadata.encode() + b"\n")
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def empty_network(metadata: Metadata) -> FCN8s:
    """The network that the metadata describes, with shapes but without memory for its weights."""
    with torch.device("meta"):
        return FCN8s(metadata.fc, metadata.fc_width, metadata.classes, conv_widths=metadata.conv_widths)


def _metadata(path: Path, header: dict[str, str]) -> Metadata:
    check_format(path, header, FORMAT, "train")
    try:
        values = json.loads(header["metadata"])
        values |= {key: tuple(values[key]) for key in ("mean", "conv_widths") if key in values}
        known = {f.name for f in fields(Metadata)}
        metadata = Metadata(**{k: v for k, v in values.items() if k in known})
        sound = (
            metadata.fc in FC_FORMS
            and all(type(n) is int for n in (metadata.classes, metadata.fc_width, metadata.network_width))
            and metadata.classes == 2
            and 0 < metadata.fc_width <= 4096
            and len(metadata.conv_widths) == len(VGG16_WIDTHS)
            and all(type(n) is int and 0 < n <= 512 for n in metadata.conv_widths)
            and metadata.network_width in range(STRIDE, MAX_NETWORK_WIDTH + 1, STRIDE)
            and 0 <= metadata.threshold <= 1
            and 0 < metadata.temperature <= 100
            and isinstance(metadata.max_f, float | int | None)
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        sound = False
    if not sound:
        raise CheckpointError(f"{path} has invalid metadata: it was damaged or altered")
    if metadata.colour_order != "RGB" or tuple(metadata.mean) != MEAN:
        raise CheckpointError(f"{path} expects an input convention other than RGB minus {MEAN}")
    return metadata


def _why_unreadable(path: Path, error: Exception) -> str:
    if path.is_dir():
        return f"{path} is a folder, not a weights file"
    try:
        with open(path, "rb") as file:
            start = file.read(2)
    except OSError as os_error:
        return f"cannot read {path}: {os_error.strerror}"
    if start == b"PK" or start in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):  # torch's zip; bare pickles
        return f"{path} is a pickle, which can run code when it is opened: only safetensors files are loaded"
    return f"{path} is not a complete safetensors file ({error}): download it again"
