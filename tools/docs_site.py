"""mkdocs' hook: puts pages from outside docs/ on the site, and points links that leave the site at the source."""

import posixpath
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = {"weights.md": "models/README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages of the site that are files outside docs/."""
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^\s()#]+)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside docs/."""
    from mkdocs.structure.files import File

    for page, path in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(REPOSITORY / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links of a page at the site where it has their target, otherwise at the source."""
    source = PAGES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    of_target = {path: name for name, path in PAGES.items()}

    def site_link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        if target.startswith("docs/"):
            return target.removeprefix("docs/")
        return of_target.get(target, f"{config.repo_url.rstrip('/')}/{target}")

    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += LINK.sub(site_link, markdown[end : fence.start()]), fence[0]
        end = fence.end()
    return "".join([*parts, LINK.sub(site_link, markdown[end:])])
