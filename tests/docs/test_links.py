"""What the pages point at is there: files, headings, make targets, commands and their options, public names."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator

import click
import pytest

import orchestra_graph
from docs.pages import ROOT, blocks, page
from orchestra_graph import errors, testing
from orchestra_graph.cli.main import cli

PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
THEIRS = {"Decimal", "NamedTuple", "Path", "SecretStr", "TypedDict"}
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:orchestra_graph|tests|examples|docs|migrations|\.ci)/[\w./-]*")
_PROSE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def _prose(name: str) -> str:
    """A page without its blocks of code."""
    return _PROSE.sub("", page(name))


def _anchors(name: str) -> set[str]:
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", _prose(name), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(next(anchor for anchor in (plain, *(f"{plain}-{n}" for n in range(1, 100))) if anchor not in found))
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    for markdown, html in _LINK.findall(_prose(name)):
        path, _, anchor = (markdown or html).partition("#")
        assert "://" not in path, f"{name} leaves the project: {path}"
        target = (folder / path).resolve() if path else ROOT / name
        assert target.exists(), f"{name}: there is no {path}"
        if anchor:
            assert anchor in _anchors(str(target.relative_to(ROOT))), f"{name}: no heading #{anchor} in {target.name}"


def test_the_index_leads_to_every_page() -> None:
    index = "docs/README.md"
    linked = {(ROOT / "docs" / path.partition("#")[0]).resolve() for path, _ in _LINK.findall(_prose(index))}
    assert {ROOT / name for name in PAGES if name not in ("README.md", index)} <= linked


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_is_named_is_there(name: str) -> None:
    for code in _CODE.findall(_prose(name)):
        for path in _PATH.findall(code):
            assert (ROOT / path).exists(), f"{name}: there is no {path}"


@pytest.mark.parametrize("name", PAGES)
def test_every_make_target_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    for target in re.findall(r"(?<![\w-])make ([a-z-]+)(?=[`\s])", _typed(name)):
        assert target in targets, f"{name}: there is no make {target}"


@pytest.mark.parametrize("name", PAGES)
def test_every_command_and_option_exists(name: str) -> None:
    for typed in _commands(name):
        found: click.Command = cli
        words = typed.split()
        while isinstance(found, click.Group) and words and not words[0].startswith("-"):
            below = found.get_command(click.Context(found), words.pop(0))
            assert below is not None, f"{name}: there is no orchestra {typed}"
            found = below
        known = {option for parameter in found.params for option in parameter.opts}
        for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", " ".join(words)):
            assert option in known, f"{name}: orchestra {typed} has no {option}"


def _commands(name: str) -> Iterator[str]:
    """What stands behind each `orchestra`."""
    for line in _typed(name).splitlines():
        for part in re.split(r"[;&|]", line):
            words = part.removeprefix("$ ").split()
            if len(words) > 1 and words[0] == "orchestra" and not words[1].startswith("-"):
                yield " ".join(words[1:])


def _typed(name: str) -> str:
    """What a reader may type: code in the prose, and blocks for a shell."""
    shells = [block.code for block in blocks(name) if block.language in ("console", "sh")]
    return "\n".join([*_CODE.findall(_prose(name)), *shells])


@pytest.mark.parametrize("name", ["README.md", "docs/first-hour.md", "docs/semantics.md", "docs/changelog.md"])
def test_every_class_that_is_named_for_users_can_be_imported(name: str) -> None:
    ours = {*dir(orchestra_graph), *errors.__all__, *testing.__all__}
    for code in _CODE.findall(_prose(name)):
        for found in re.findall(r"^(?:[A-Z][a-z]+)+(?=$|[(.])", code):
            assert found in ours or found in THEIRS or hasattr(builtins, found), f"{name}: where is {found}?"
