"""Files that are written whole or not at all, and names that every library can open."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fcn_road_seg.errors import UserError

DESCRIPTORS = ("/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd")
"""Files, and folders of files, that the shell may have opened too, so that nothing may take their place."""


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a name to write to; the file becomes `path` when the block ends without an exception, else it is deleted.

    Until then it is a hidden file beside `path`, with the same suffix. A device or a pipe is written to directly.

    Raises:
        OSError: `path` cannot be written, for example because the disk is full; one sentence.
    """
    direct = is_direct(Path(path))
    target = Path(path) if direct else Path(path).resolve()  # of a link, the file it names is replaced
    partial = target if direct else target.with_name(f".{target.stem}.partial{target.suffix}")
    try:
        try:
            yield partial
            if not direct:
                partial.replace(target)
        finally:
            if not direct:
                partial.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(partial)):  # already a sentence, or another file's
            raise
        raise OSError(f"cannot write {path}: {error.strerror}") from None


def write_whole(path: str | Path, content: bytes | memoryview | str) -> None:
    """Write a file, text in UTF-8, as `whole_file` does."""
    with whole_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder, which becomes `path` when the block ends without an exception; else it is deleted.

    Raises:
        OSError: it cannot be created, or `path` is not an empty folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_writable(path: str | Path) -> None:
    """Check, before long work, that a file can be written; nothing is left behind.

    Raises:
        UserError: it cannot: the folder is missing or read-only, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder, but this must be the name of a file")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")
    if is_direct(path):
        return
    check_writable_folder(path.resolve().parent, path)


def check_writable_folder(folder: str | Path, shown: str | Path = "") -> None:
    """Check, before long work, that files can be written to a folder that exists or can be created; it is not.

    Args:
        shown: what the message calls the output; default `folder`.

    Raises:
        UserError: they cannot.
    """
    folder = Path(os.path.abspath(folder))
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        why = error.strerror if there.is_dir() else f"{there} is a file, not a folder"
        raise UserError(f"cannot write {shown or f'to {folder}'}: {why}") from None


@contextmanager
def utf8_name(path: str | Path) -> Iterator[str]:
    """Yield a name of a file, with its suffix, that is UTF-8: OpenCV's videos crash with any other, safetensors fails.

    A file with another name, which need not exist, gets a second one for the block; what is written there is `path`.
    """
    name = str(path)
    if not re.search("[\ud800-\udfff]", name):
        yield name
        return
    with tempfile.TemporaryDirectory(prefix="road_seg_") as folder:
        suffix = Path(name).suffix
        link = Path(folder, f"file{suffix if suffix.isascii() else ''}")
        link.symlink_to(os.path.abspath(name))
        yield str(link)


def is_direct(path: Path) -> bool:
    """Whether nothing may take a file's place: a device, a pipe, a file that the shell has opened."""
    return (path.exists() and not path.is_file()) or any(path.is_relative_to(name) for name in DESCRIPTORS)
