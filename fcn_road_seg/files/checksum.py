"""SHA-256 files: beside X lies X.sha256, as `sha256sum X` prints it.

They find damage and mix-ups. They do not protect from somebody who writes both files.
"""

import hashlib
import re
from pathlib import Path

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import write_whole

_HEX = re.compile(rb"\b[0-9a-f]{64}\b", re.IGNORECASE)


def checksum_path(path: Path) -> Path:
    """The path of a file's SHA-256 file."""
    return path.with_name(f"{path.name}.sha256")


def write_checksum(path: Path, content: bytes) -> None:
    """Write the SHA-256 file of a file with this content."""
    write_whole(checksum_path(path), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")


def checked_sha256(path: Path, content: bytes, required: bool = False) -> str:
    """SHA-256, in hex, of a file's content, after a comparison with its SHA-256 file, if there is one.

    Args:
        required: whether there must be one.

    Raises:
        UserError: they differ, or the SHA-256 file is missing although required, or cannot be read; the message
            completes "FILE ...".
    """
    beside = checksum_path(path)
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        stated = _HEX.search(beside.read_bytes())
    except FileNotFoundError:
        if required:
            raise UserError(f"cannot be verified: {beside.name} is not beside it") from None
        return sha256
    except OSError as error:
        raise UserError(f"cannot be verified: {beside} cannot be read ({error.strerror})") from None
    if stated is None or stated[0].decode().lower() != sha256:
        raise UserError(f"was damaged or altered: its SHA-256 is not the one in {beside.name}")
    return sha256
