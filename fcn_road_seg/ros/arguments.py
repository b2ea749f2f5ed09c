"""The ROS arguments of a command line, to find those that would have no effect; imports without ROS."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from fcn_road_seg.errors import UserError, first_line

OPTIONS = {"-p": "parameters", "--param": "parameters", "-r": "remaps", "--remap": "remaps", "--params-file": "files"}
RULE = re.compile(r"(?:(?P<node>[\w/*]+):(?!//))?(?P<name>[^:]+):=(?P<value>.*)", re.DOTALL)
"""A parameter or a renaming, for all nodes of the process or for one."""
COMMON_TOPICS = ("/clock", "/diagnostics", "/parameter_events", "/rosout", "/tf", "/tf_static")


@dataclass(frozen=True)
class RosArguments:
    """A command line as rcl divides it.

    Attributes:
        parameters: name:=value, or node:name:=value, of -p.
        remaps: from:=to, or node:from:=to, of -r.
        files: the paths of --params-file.
        others: the words that are not between --ros-args and --.
    """

    parameters: list[str] = field(default_factory=list)
    remaps: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, words: Sequence[str]) -> "RosArguments":
        """Parse a command line without the program's name."""
        arguments, inside, rest = cls(), False, iter(words)
        for word in rest:
            if word == "--ros-args" or (inside and word == "--"):
                inside = word == "--ros-args"
            elif not inside:
                arguments.others.append(word)
            elif word in OPTIONS and (value := next(rest, None)) is not None:
                getattr(arguments, OPTIONS[word]).append(value)
        return arguments

    def check(self, program: str) -> None:
        """Check what rcl would ignore, or refuse without saying why.

        Raises:
            UserError: words are left over, or a params file cannot be read.
        """
        if self.others:
            example = " ".join([program, "--ros-args", *(self.others if self.others[0] in OPTIONS else [])])
            raise UserError(
                f"{' '.join(self.others)} is not understood: ROS arguments follow --ros-args, as in {example}; "
                "--help lists topics and parameters"
            )
        for file in self.files:
            _nodes(file)

    def without_effect(self, node: str, topics: Iterable[str], names: Iterable[str]) -> list[str]:
        """A sentence about each argument that has no effect on the only node of the process.

        Args:
            node: its fully qualified name.
            topics: the names that it gives its topics, before they are remapped.
            names: the names that its topics and services have.
        """
        own = {node, node.rpartition("/")[2]}
        known = {_absolute(topic, node): topic for topic in (*topics, *COMMON_TOPICS)}
        ends = {_absolute(end, node) for end in names}
        sentences = []
        for option, rules in (("-p", self.parameters), ("-r", self.remaps)):
            for rule in rules:
                match = RULE.fullmatch(rule)
                if match and match["name"].startswith("__"):
                    continue  # the node's name and namespace
                if match and match["node"] and "*" not in match["node"] and match["node"] not in own:
                    sentences.append(f"{option} {rule} has no effect: it is for a node {match['node']}, this is {node}")
                elif match and option == "-r" and re.fullmatch(r"~?[\w/]+", match["name"]):
                    start, end = (_absolute(match[part], node) for part in ("name", "value"))
                    if start not in known and end not in ends:
                        hint = _nearest(match["name"], known.values())
                        sentences.append(f"-r {rule} has no effect: {node} has no topic {match['name']}{hint}")
        for file in self.files:
            nodes = _nodes(file)
            if not any(_pattern(key).fullmatch(node) for key in nodes):
                whose = ", ".join(nodes) or "no node"
                sentences.append(f"--params-file {file} has no effect: it is for {whose}, this is {node}")
        return sentences


def _absolute(topic: str, node: str) -> str:
    if topic.startswith("~"):
        return node + topic[1:]
    return topic if topic.startswith("/") else f"{node.rpartition('/')[0]}/{topic}"


def _nodes(file: str) -> list[str]:
    """The nodes, possibly with wildcards, that a params file has parameters for.

    Raises:
        UserError: it cannot be read.
    """
    if Path(file).is_fifo():  # reading it would leave nothing for rcl
        return ["/**"]
    try:
        content = yaml.load(Path(file).read_bytes(), yaml.BaseLoader)  # launch_ros writes !!python/tuple
    except OSError as error:
        raise UserError(f"the params file {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        line = f", line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        raise UserError(f"the params file {file} is not YAML{line}: {first_line(error)}") from None

    def walk(tree: Any, path: str) -> Iterable[str]:
        for key, below in tree.items() if isinstance(tree, dict) else ():
            if key == "ros__parameters":
                yield path or "/"
            else:
                yield from walk(below, f"{path}/{str(key).strip('/')}")

    return list(walk(content, ""))


def _pattern(node: str) -> re.Pattern[str]:
    """A params file's name of nodes: * stands for one part of a name, ** for any number."""
    parts = {"*": "/[^/]+", "**": "(/[^/]+)*"}
    return re.compile("".join(parts.get(part, f"/{re.escape(part)}") for part in node.strip("/").split("/")))


def no_such_parameter(name: str, known: Iterable[str], optional: Iterable[str] = ()) -> str:
    """A sentence about a parameter that a node does not have.

    Args:
        known: the names of those that it has.
        optional: of those that its cameras have once they are given at start, such as front.threshold.
    """
    missing, names, own = f"this node has no parameter '{name}'", list(known), list(optional)
    camera, _, base = name.rpartition(".")
    if name in own:
        return f"{missing}: give it at start, or set '{base}', which is for all cameras"
    if not camera or base not in names:
        return f"{missing}{_nearest(name, [*names, *own])}"
    cameras = dict.fromkeys(each.rpartition(".")[0] for each in own)
    if camera in cameras:
        return f"{missing}: '{base}' is always for all cameras"
    hint = _nearest(camera, cameras).replace("?", f".{base}?")
    return f"{missing}, because it has no camera '{camera}'{hint}"


def _nearest(name: str, known: Iterable[str]) -> str:
    nearest = get_close_matches(name, list(known), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
