"""The reference is what the code says: the made pages are made of it, the written ones leave nothing out."""

from __future__ import annotations

import ast
import re

import pytest

import orchestra_graph
from docs.make_reference import FOLDER, PAGES
from docs.pages import ROOT, names_of, page
from docs.pages import blocks as blocks_of
from docs.pages import run_python
from orchestra_graph import errors

PROBLEMS = "docs/reference/problems.md"


def _headings(name: str) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page(name), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#{2,4} (.+)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_what_the_code_makes_of_it(name: str) -> None:
    assert page(f"{FOLDER}/{name}") == PAGES[name](), "it is old:   python -m docs.make_reference"


def test_every_public_name_has_its_place() -> None:
    told = {*_headings("docs/reference/api.md"), *_headings("docs/reference/errors.md"), "events"}
    assert set(orchestra_graph.__all__) <= told


def test_every_error_says_when_it_is_raised_and_what_to_do() -> None:
    text = page("docs/reference/errors.md")
    for name in errors.__all__:
        if name == "nearest":
            continue
        section = text.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert section, f"errors.md has no {name}"
        roots = {"OrchestraError", "RequestError", "RunOutcomeError", "StoreError", "Problem"}
        assert name in roots or ("**When:**" in section and "**Do:**" in section), name


def test_errors_has_no_section_for_what_is_no_error() -> None:
    groups = {"Declared wrong", "A node failed", "A limit", "Asked wrong", "A run without a result"}
    groups |= {"The database", "Values", "The rest"}
    assert set(_headings("docs/reference/errors.md")) - groups <= set(errors.__all__)


# -- the problems of a graph -------------------------------------------------------------------------


def _codes() -> set[str]:
    """The codes of all problems in the source: what is given as `code`, however it is handed on."""
    found: set[str] = set()
    for path in (ROOT / "orchestra_graph" / "graph").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"^[a-z]+(?:-[a-z]+)+$|^unreachable$", node.value))
    return found


def test_every_code_of_a_problem_is_explained_and_no_other() -> None:
    explained = set(_headings(PROBLEMS)) - {"Errors", "Warnings"}
    assert explained == _codes()


def test_the_example_of_each_code_makes_this_problem_alone() -> None:
    with names_of(PROBLEMS) as names:
        text = page(PROBLEMS)
        for block in blocks_of(PROBLEMS):
            if block.language != "python":
                continue
            printed = run_python(block, names)
            if block.prints is None:
                continue
            before = "\n".join(text.splitlines()[: block.line])
            code = re.findall(r"^### (.+)$", before, re.MULTILINE)[-1]
            assert printed.startswith(f"{code}: "), f"{block.where}: not {code}, but {printed}"
