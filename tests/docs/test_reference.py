"""The reference is what the code says: the made pages are made of it, the written ones leave nothing out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

import orchestra_graph
from docs.make_reference import FOLDER, PAGES
from docs.pages import ROOT, names_of, page, run_python
from docs.pages import blocks as blocks_of
from orchestra_graph import errors
from tests.docs.outputs import check_prints

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


_SPELLED = {"unknown-{}": {"unknown-input", "unknown-output", "unknown-field", "unknown-parameter"}}
_IS_CODE = re.compile(r"[a-z]+(-[a-z]+)*")


def _codes() -> set[str]:
    """The codes of all problems in the source: what is called `code`, or handed to a function that notes a problem."""
    found: set[str] = set()
    for path in (ROOT / "orchestra_graph" / "graph").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for given in _given_as_code(node):
                found |= set(_texts(given))
    return {code for code in found if _IS_CODE.fullmatch(code)}


def _given_as_code(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=args, keywords=keywords):
            yield from (keyword.value for keyword in keywords if keyword.arg == "code")
            if name.lstrip("_") in ("problem", "fail") and args:
                yield args[0]
        case ast.Assign(targets=[ast.Name(id="code")], value=value):
            yield value
        case ast.Assign(targets=[ast.Tuple(elts=[ast.Name(id="code"), *_])], value=ast.Tuple(elts=[value, *_])):
            yield value


def _texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant():
            yield str(node.value)
        case ast.IfExp(body=one, orelse=other):
            yield from (*_texts(one), *_texts(other))
        case ast.JoinedStr(values=parts):
            form = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
            yield from _SPELLED[form]


def test_every_code_of_a_problem_is_explained_and_no_other() -> None:
    explained = re.findall(r"^### (.+)$", page(PROBLEMS), re.MULTILINE)
    assert sorted(explained) == sorted(_codes())


def test_the_example_of_each_code_makes_this_problem() -> None:
    lines = page(PROBLEMS).splitlines()
    shown = set()
    with names_of(PROBLEMS) as names:
        for block in blocks_of(PROBLEMS):
            if block.language == "python":
                printed = run_python(block, names)
            if block.language == "python" and block.prints is not None:
                check_prints(block.where, block.prints, printed)
                code = [line.removeprefix("### ") for line in lines[: block.line] if line.startswith("### ")][-1]
                assert re.findall(r"^([a-z-]+): ", printed, re.MULTILINE)[0] == code, block.where
                shown.add(code)
    assert _codes() - shown == {"too-many-pairs"}, "that one needs a graph that would fill the page"
