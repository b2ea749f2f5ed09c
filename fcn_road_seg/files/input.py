"""Inputs as people have them: hidden files beside the data, text with a byte order mark, pipes, URLs with passwords."""

import codecs
import errno
import re
from pathlib import Path

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""How a URL begins."""

STREAMS = Path("/dev")
"""Holds `/dev/stdin` and the pipes of a shell's `<(command)`, which end and so may be read like files."""


def visible(folder: Path) -> list[Path]:
    """What a folder holds, sorted by name, without hidden entries such as macOS's `._*` and `.DS_Store`."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def check_ends(path: Path) -> None:
    """Raise OSError if a path is that of a pipe, a socket or a device, which may never end."""
    if path.exists() and not path.is_file() and not path.is_dir() and STREAMS not in path.absolute().parents:
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))


def read_bytes(path: str | Path) -> bytes:
    """Read a file.

    Raises:
        OSError: it cannot be read, or may never end, see `check_ends`.
    """
    path = Path(path)
    check_ends(path)
    return path.read_bytes()


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark, as Windows writes it; the mark is left out.

    Raises:
        OSError: as in `read_bytes`.
        UnicodeDecodeError: it is in another encoding, or not text.
    """
    content = read_bytes(path)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


def without_secrets(source: str) -> str:
    """A URL as scheme://host/path, without what may hold a password; anything else as it is.

    User and password, query and fragment are left out, and the path if it has parameters.
    """
    start = URL.match(source)
    if not start:
        return source
    place, *rest = re.split("[?#]", source[start.end() :], maxsplit=1)
    if rest and "@" in rest[0]:  # perhaps this is where the password ends
        return f"{start[0]}..."
    place = place.rpartition("@")[2]
    return start[0] + (place.partition("/")[0] if "=" in place else place)
