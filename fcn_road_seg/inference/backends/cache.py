"""What backends built, kept on disk for the next start."""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from fcn_road_seg.errors import UserError, first_line
from fcn_road_seg.files.checksum import checked_sha256, write_checksum
from fcn_road_seg.files.output import write_whole

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/fcn_road_seg (XDG Base Directory Specification), which may not exist yet."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path("~/.cache").expanduser()) / "fcn_road_seg"


def private_folder(name: str) -> Path | None:
    """A folder in `cache_folder` that only this user can write to, because what is loaded from it may run code.

    Returns:
        None, after a warning, if it cannot be created, others can write to it, or it is another user's.
    """
    folder = cache_folder() / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        logger.warning("Nothing is kept for the next start: %s", first_line(error))
        return None
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        logger.warning(
            "Nothing is kept for the next start: other users can write to %s: run chmod 700 on it, or delete it", folder
        )
        return None
    return folder


def cached(folder_name: str, file_name: str, key: tuple[str, ...], build: Callable[[], bytes]) -> bytes:
    """What `build` returned at an earlier start, if it is intact, else what it returns now.

    Without a usable folder it builds at every start.

    Args:
        folder_name: of the `private_folder`.
        file_name: begins the file's name; ".engine" and the like stay at its end.
        key: everything that the result depends on.
    """
    folder = private_folder(folder_name)
    if folder is None:
        return build()
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
    stem, suffix = os.path.splitext(file_name)
    path = folder / f"{stem}_{digest}{suffix}"
    try:
        content = path.read_bytes()
        checked_sha256(path, content, required=True)
        return content
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.warning("Building again: cannot read %s (%s)", path, error.strerror)
    except UserError as error:
        logger.warning("Building again: %s %s", path, error)
    content = build()
    try:
        write_whole(path, content)
        write_checksum(path, content)
    except OSError as error:
        logger.warning("Nothing is kept for the next start: %s", first_line(error))
    return content
