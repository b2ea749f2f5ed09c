"""The git revision of the running program."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def git_revision() -> str:
    """The revision of the source checkout, with "-dirty" if files differ from it; "unknown" outside a checkout."""
    if not (ROOT / "package.xml").exists() or not (ROOT / ".git").exists():
        return "unknown"  # installed somewhere, perhaps inside another repository
    try:
        # Not `describe --dirty`: it locks the index, and if it is killed the user has to remove the lock.
        changed = _git("status", "--porcelain", "--untracked-files=no")
        return _git("describe", "--always", "--abbrev=12") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
