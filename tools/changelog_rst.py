"""Writes CHANGELOG.rst, which bloom reads, from the released versions in CHANGELOG.md: python tools/changelog_rst.py"""

import re
from collections.abc import Iterator
from pathlib import Path

VERSION = re.compile(r"## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)")
INLINE = re.compile(r"(?P<code>`[^`]+`)|\[(?P<text>[^]]+)\]\((?P<link>[^)]+)\)|(?P<special>[*|\\]|_\b)")
TITLE = "Changelog for package fcn_road_seg"


def changelog_rst(markdown: str) -> str:
    """The released versions of a changelog in Markdown, in catkin_pkg's form of reStructuredText (REP 132)."""
    rule = "^" * len(TITLE)
    return "\n".join([rule, TITLE, rule, *_lines(markdown)]) + "\n"


def _lines(markdown: str) -> Iterator[str]:
    released = False
    for line in markdown.splitlines():
        if line.startswith("## "):
            if released := bool(found := VERSION.fullmatch(line)):
                title = f"{found[1]} ({found[2]})"
                yield from ("", title, "-" * len(title))
        elif released and line.startswith("### "):
            yield from ("", f"* {line[4:]}", "")
        elif released and line.startswith("- "):
            yield f"  * {INLINE.sub(_inline, line[2:])}"


def _inline(match: re.Match[str]) -> str:
    if match["code"]:
        return f"`{match['code']}`"
    if match["text"]:  # files of the repository have no address yet
        return f"`{match['text']} <{match['link']}>`__" if "://" in match["link"] else match["text"]
    return f"\\{match['special']}"


if __name__ == "__main__":
    repository = Path(__file__).resolve().parents[1]
    (repository / "CHANGELOG.rst").write_text(changelog_rst((repository / "CHANGELOG.md").read_text()))
