"""The result of a check."""

from typing import Literal, NamedTuple

UNKNOWN_NODE = "a node of unknown name"
"""What findings call a node whose name DDS has not told."""


class Finding(NamedTuple):
    """The result of a check.

    Attributes:
        check: short name of the check.
        status: severity.
        text: a sentence that states the fact.
        advice: what to do; empty if the status is "ok".
    """

    check: str
    status: Literal["ok", "warning", "error"]
    text: str
    advice: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def warning(check: str, text: str, advice: str) -> Finding:
    return Finding(check, "warning", text, advice)


def error(check: str, text: str, advice: str) -> Finding:
    return Finding(check, "error", text, advice)
