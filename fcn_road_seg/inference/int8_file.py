"""The INT8 form of a weights file: an ONNX file and its SHA-256 file, which `road_seg quantize` writes beside it."""

from pathlib import Path
from typing import NamedTuple

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.checksum import checked_sha256, write_checksum
from fcn_road_seg.files.output import write_whole
from fcn_road_seg.inference.checkpoint import CheckpointError


class Int8File(NamedTuple):
    """An intact INT8 file: its content and its SHA-256 in hex."""

    content: bytes
    sha256: str


def int8_path(weights: Path) -> Path:
    """The path of a weights file's INT8 form: W_int8.onnx beside W.safetensors."""
    return weights.with_name(f"{weights.stem}_int8.onnx")


def read_int8(path: Path) -> Int8File:
    """Read an INT8 file and compare it with its SHA-256 file.

    Raises:
        CheckpointError: either is missing or cannot be read, or they do not belong together; one sentence.
    """
    try:
        content = path.read_bytes()
        return Int8File(content, checked_sha256(path, content, required=True))
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no quantised network {path} for int8: make it with road_seg quantize"
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    except UserError as error:
        raise CheckpointError(f"{path} {error}; make it again with road_seg quantize") from None


def write_int8(path: Path, content: bytes) -> None:
    """Write an INT8 file, and then its SHA-256 file."""
    write_whole(path, content)
    write_checksum(path, content)
