"""The git revision of the running program."""

import subprocess
from pathlib import Path


def git_revision() -> str:
    """The revision of the source checkout, with "-dirty" if files differ from it; "unknown" outside a checkout."""
    root = Path(__file__).parents[1]
    if not (root / "package.xml").exists() or not (root / ".git").exists():
        return "unknown"  # installed somewhere, perhaps inside another repository
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
