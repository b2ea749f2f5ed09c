"""Parses docker/Dockerfile and .dockerignore, as far as the project uses their syntax."""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple


class Stage(NamedTuple):
    """A stage of a Dockerfile: what it starts from, and its instructions with their text on one line."""

    base: str
    instructions: list[tuple[str, str]]

    def texts(self, instruction: str) -> list[str]:
        """The texts of its own instructions of one kind, in order."""
        return [text for kind, text in self.instructions if kind == instruction]


class Dockerfile(NamedTuple):
    """The stages by name."""

    stages: dict[str, Stage]

    @classmethod
    def read(cls, path: Path) -> "Dockerfile":
        lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        stages: dict[str, Stage] = {}
        for line in "\n".join(lines).replace("\\\n", " ").splitlines():
            kind, text = line.split(maxsplit=1)
            if kind == "FROM":
                base, name = re.fullmatch(r"(\S+) AS (\S+)", text).groups()
                stages[name] = Stage(base, [])
            elif stages:  # an ARG before them is for their bases
                stages[list(stages)[-1]].instructions.append((kind, " ".join(text.split())))
        return cls(stages)

    def lineage(self, target: str) -> list[Stage]:
        """A stage and those that it starts from, the first one first."""
        stages: list[Stage] = []
        while target in self.stages:
            stages.insert(0, self.stages[target])
            target = stages[0].base
        return stages

    def last(self, target: str, instruction: str) -> str:
        """The text of the instruction of this kind that counts for a target."""
        return [text for stage in self.lineage(target) for text in stage.texts(instruction)][-1]

    def health_check(self, target: str) -> list[str]:
        """The words of the health check's command."""
        return json.loads(self.last(target, "HEALTHCHECK").partition("CMD ")[2])

    def environment(self, target: str) -> dict[str, str]:
        """The variables of ENV; those that hold others are not expanded."""
        words = [w for stage in self.lineage(target) for text in stage.texts("ENV") for w in shlex.split(text)]
        return dict(word.split("=", 1) for word in words)


def in_context(repository: Path, path: str) -> bool:
    """Whether .dockerignore lets a file or folder of the repository into the build."""
    allowed = [line[1:] for line in (repository / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    return any(path == entry or path.startswith(f"{entry}/") for entry in allowed)
