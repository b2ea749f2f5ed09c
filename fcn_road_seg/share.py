"""The location of the files that ship with the package: models/, config/ and launch/."""

import os
import sys
from pathlib import Path

PACKAGE = "fcn_road_seg"


def share_folders() -> list[Path]:
    """The folders to search for shipped files, in order.

    A source checkout (also one installed with ``pip install -e``) uses its own files. An installed package uses
    ``<prefix>/share/fcn_road_seg``, where the prefix is a parent folder of this file (pip, ``pip --user``,
    ``pip --target``, colcon), the interpreter's, or an entry of ``AMENT_PREFIX_PATH``.
    """
    here = Path(__file__).resolve().parent
    folders = [here.parent] if (here.parent / "package.xml").is_file() else []
    prefixes = [*here.parents, Path(sys.prefix)]
    prefixes += [Path(entry) for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    return folders + [prefix / "share" / PACKAGE for prefix in prefixes]


def share_path(relative: str | os.PathLike) -> Path:
    """The absolute path of a shipped file or folder, such as ``models/road_fcn8s.safetensors``.

    Raises:
        FileNotFoundError: no folder has it; the message is one sentence.
    """
    relative = Path(relative)
    for folder in share_folders():
        if (folder / relative).exists():
            return folder / relative
    raise FileNotFoundError(
        f"{relative} is neither in the source checkout nor in any share/{PACKAGE} folder of this installation"
    )
