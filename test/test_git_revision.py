"""The revision that weights and exported networks name."""

import shutil
import subprocess

import pytest

from fcn_road_seg import git_revision


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_changes_are_told_and_the_index_is_left_alone(monkeypatch, tmp_path):
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    monkeypatch.setattr(git_revision, "ROOT", tmp_path)
    assert git_revision.git_revision() == "unknown"
    git("init", "-q")
    file = tmp_path / "package.xml"
    file.write_text("one")
    git("add", ".")
    git("commit", "-qm", "One")
    revision = git("rev-parse", "--short=12", "HEAD")
    file.write_text("one")  # another time of modification: git would refresh its index
    index = (tmp_path / ".git" / "index").stat().st_mtime_ns
    (tmp_path / "untracked").touch()
    assert git_revision.git_revision() == revision
    assert (tmp_path / ".git" / "index").stat().st_mtime_ns == index
    file.write_text("two")
    assert git_revision.git_revision() == f"{revision}-dirty"
