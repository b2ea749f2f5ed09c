"""An extension of Griffe, for the API page: entries such as "width, height: pixels" keep their names together."""

import re
from typing import Any

import griffe

GROUP = re.compile(r"^( +\w+(?:, \w+)+)(?=:)", re.MULTILINE)


class GroupedNames(griffe.Extension):
    """Joins the names with spaces that do not break, or Griffe takes all but the first for a type."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite an object's docstring."""
        if obj.docstring:
            obj.docstring.value = GROUP.sub(lambda match: match[1].replace(", ", ",\u00a0"), obj.docstring.value)
