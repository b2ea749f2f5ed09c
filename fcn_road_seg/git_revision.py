"""Which revision of this repository is running."""

import subprocess
from pathlib import Path


def git_revision() -> str:
    """The repository's revision, with "-dirty" where files differ from it; "unknown" outside one."""
    root = Path(__file__).parents[1]
    if not (root / "package.xml").exists() or not (root / ".git").exists():
        return "unknown"  # installed somewhere, perhaps inside another repository
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
