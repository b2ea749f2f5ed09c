"""An extension of Griffe, for the API page: entries such as "width, height: pixels" keep their names together."""

import re
from typing import Any

import griffe

GROUP = re.compile(r"^( +\w+(?:, \w+)+)(?=:)", re.MULTILINE)
ATTRIBUTES = re.compile(r"^Attributes:\n(?: {4}.*\n?|\n)+", re.MULTILINE)
ENTRY = re.compile(r"^ {4}([^ :\n]+)(?=:)", re.MULTILINE)


class GroupedNames(griffe.Extension):
    """Joins the names with spaces that do not break, or Griffe takes all but the first for a type.

    Attributes without a type of their own get an empty one, or Griffe gives them that of the entry before.
    """

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite an object's docstring."""

        def untyped(match: re.Match[str]) -> str:
            member = obj.all_members.get(match[1])
            return match[0] if member is not None and member.annotation is not None else f"{match[0]} ()"

        if obj.docstring:
            value = GROUP.sub(lambda match: match[1].replace(", ", ",\u00a0"), obj.docstring.value)
            obj.docstring.value = ATTRIBUTES.sub(lambda section: ENTRY.sub(untyped, section[0]), value)
