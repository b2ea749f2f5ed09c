"""One result of a check."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """What a check found.

    Attributes:
        check: a short name.
        status: how bad it is.
        text: a sentence of what is.
        advice: what to do; empty when all is well.
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
