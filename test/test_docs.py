"""The documentation: its site names every page, its links lead somewhere, and it says only what exists."""

import argparse
import importlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import network_diagrams
import pytest
import yaml
from docs_site import PAGES, REPOSITORY, on_page_markdown
from test_launch import LaunchFile

import fcn_road_seg.ground
import fcn_road_seg.synthetic
from fcn_road_seg.cli.main import make_parser
from fcn_road_seg.ros.parameters import BY_NAME

markdown = pytest.importorskip("markdown", reason="Python-Markdown is not installed")
markdown_it = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")

ON_THE_SITE = [*sorted((REPOSITORY / "docs").glob("*.md")), *(REPOSITORY / path for path in PAGES.values())]
DOCUMENTS = [REPOSITORY / "README.md", *ON_THE_SITE]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
each_page = pytest.mark.parametrize("page", ON_THE_SITE, ids=lambda path: str(path.relative_to(REPOSITORY)))


class Parsed(NamedTuple):
    """What a document has, read as GitHub does: links and pictures, headings, and code without its continued lines."""

    links: list[str]
    headings: list[str]
    code: list[str]


@cache
def parsed(document: Path) -> Parsed:
    links, headings, code = [], [], []
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse(document.read_text())
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "fence":
            code += re.sub(r" *\\\n *", " ", token.content).splitlines() if token.info != "yaml" else [token.content]
        if before is not None and before.type == "heading_open":
            headings.append("".join(child.content for child in token.children if child.type in ("text", "code_inline")))
        for child in token.children or []:
            links += [str(value) for key, value in child.attrs.items() if key in ("href", "src")]
            code += [child.content] if child.type == "code_inline" else []
    return Parsed(links, headings, code)


def github_anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def site_anchor(heading: str) -> str:
    from markdown.extensions.toc import slugify

    return slugify(heading, "-")


def code_of_all(pattern: str) -> list[tuple[str, re.Match[str]]]:
    """Where a pattern occurs in the documents' code: (document, match)."""
    return [
        (document.name, match)
        for document in DOCUMENTS
        if document.name != "CHANGELOG.md"  # names what was
        for code in parsed(document).code
        for match in re.finditer(pattern, code)
    ]


def pages_of(nav: list | dict | str) -> list[str]:
    """The pages that a part of mkdocs.yml's nav names."""
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in pages_of(part)]


def test_the_site_names_every_page(repository):
    settings = yaml.safe_load((repository / "mkdocs.yml").read_text())
    pages = [path.name for path in (repository / "docs").glob("*.md")]
    assert sorted(pages_of(settings["nav"])) == sorted([*pages, *PAGES])
    assert f"Source = {settings['repo_url']}\n" in (repository / "setup.cfg").read_text()


@each_document
def test_links_lead_somewhere(document):
    for link in parsed(document).links:
        if re.match("[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert target.is_relative_to(REPOSITORY), link
        if anchor:
            found = [heading for heading in parsed(target).headings if github_anchor(heading) == anchor]
            assert found and site_anchor(found[0]) == anchor, link


def test_links_that_leave_the_site_point_at_the_source():
    text = (
        "[a](ground.md#model) [b](../models/README.md) [c](../config/road_seg.yaml) [d](#e) [f](https://g.h)\n"
        "```\n[i](../j)\n```\n"
    )

    def linked(page: str, text: str) -> str:
        file = argparse.Namespace(src_uri=page)
        return on_page_markdown(text, argparse.Namespace(file=file), argparse.Namespace(repo_url="https://r.s/"), None)

    assert linked("node.md", text) == (
        "[a](ground.md#model) [b](weights.md) [c](https://r.s/config/road_seg.yaml) [d](#e) [f](https://g.h)\n"
        "```\n[i](../j)\n```\n"
    )
    assert linked("weights.md", "[a](../docs/accuracy.md#b)") == "[a](accuracy.md#b)"


@each_page
def test_the_site_shows_a_page_as_github_does(page):
    """Python-Markdown needs an empty line before a list, and four spaces in front of what belongs to its entries."""
    text = page.read_text()
    github = markdown_it.MarkdownIt("commonmark").enable("table").render(text)
    site = markdown.markdown(text, extensions=["attr_list", "fenced_code", "md_in_html", "sane_lists", "tables"])
    for tag in "<li>", "<table>", "<tr>", "<pre>", "<ol", "<h2":
        assert site.count(tag) == github.count(tag), tag


def test_commands_and_options_exist():
    (verbs,) = (action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    named = set()
    for where, match in code_of_all(r"(?<![\w./])road_seg ([a-z][\w-]*)([^;#|)]*)"):
        verb, rest = match.groups()
        assert verb in verbs.choices, f"{where}: {match[0]}"
        options = set(re.findall(r"(?<!\S)--[a-z][\w-]*", rest))
        assert options <= set(verbs.choices[verb]._option_string_actions), f"{where}: {match[0]}"
        named.add((where, verb))
    assert {verb for where, verb in named if where == "commands.md"} == set(verbs.choices)


def test_launch_arguments_exist(repository):
    files = {path.name: LaunchFile(path) for path in (repository / "launch").iterdir()}
    own = {name: {*file.table("ARGUMENTS"), *file.table("CAMERA")} for name, file in files.items()}
    matches = code_of_all(r"ros2 launch fcn_road_seg (\S+\.launch\.py)([^#]*)")
    assert {match[1] for _, match in matches} == set(files)
    for where, match in matches:
        assert set(re.findall(r"(\w+):=", match[2])) <= own[match[1]] | own["road_seg.launch.py"], (
            f"{where}: {match[0]}"
        )


def test_parameters_and_topics_exist(repository):
    for where, match in code_of_all(r"road_seg_node --ros-args.*"):
        assert set(re.findall(r"-p (\w+):=", match[0])) <= {*BY_NAME, "name"}, f"{where}: {match[0]}"
    files = code_of_all(r"(?s)^.*ros__parameters:.*$")
    assert files
    for where, match in files:
        names = yaml.safe_load(match[0])["/**"]["ros__parameters"]
        assert {name.rpartition(".")[2] for name in names} <= set(BY_NAME), where
    policy = (repository / "config" / "sros2" / "road_seg.xml").read_text()
    topics = set(re.findall(r"<(?:topic|service)>(?:~/|.*road_seg/)?(\w+)</", policy))
    for where, match in code_of_all(r"(?<!\w)/road_seg/(?:(?:front|left|rear)/)?(\w+)"):
        assert match[1] in topics, f"{where}: {match[0]}"


def test_the_api_page_names_what_is_public(repository):
    names = re.findall(r"^::: (\S+)$", (repository / "docs" / "api.md").read_text(), re.MULTILINE)
    public = {f"{fcn_road_seg._MODULES[name]}.{name}" for name in set(fcn_road_seg.__all__) - {"__version__"}}
    assert public | {"fcn_road_seg.ground", "fcn_road_seg.synthetic"} <= set(names)
    for name in names:
        room, _, last = name.rpartition(".")
        found = getattr(importlib.import_module(room), last, None) or importlib.import_module(name)
        assert found.__doc__, name


def test_the_diagrams_show_this_network(repository, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["network_diagrams.py", str(tmp_path)])
    network_diagrams.main()
    for file in tmp_path.iterdir():
        drawn = (repository / "docs" / file.name).read_text()
        assert file.read_text() == drawn, "draw it again: python tools/network_diagrams.py docs"
