"""The how-to pages, typed in from the top: files written, Python run, commands given, outputs compared."""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT, blocks, names_of, page, run_python, write_files
from tests.docs.console import Console, commands
from tests.docs.outputs import check_prints

FOLDER = ROOT / "docs" / "how-to"
PAGES = sorted(f"docs/how-to/{path.name}" for path in FOLDER.glob("*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_the_page_goes_as_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_files(name, tmp_path)
    known = set(sys.modules)
    try:
        _follow(name, Console(tmp_path))
    finally:  # another page may have a file of the same name
        for module in set(sys.modules) - known:
            if os.path.exists(tmp_path / f"{module.partition('.')[0]}.py"):
                del sys.modules[module]


def _follow(name: str, console: Console) -> None:
    with names_of(name) as names:
        for block in blocks(name):
            if block.language == "console":
                for command, prints in commands(block.code):
                    check_prints(f"{block.where}: {command}", prints, console.type(command))
            elif block.language == "python" and block.file is None:
                printed = run_python(block, names)
                if block.prints is not None:
                    check_prints(block.where, block.prints, printed)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_code_and_what_it_gives(name: str) -> None:
    languages = {block.language for block in blocks(name)}
    shown = "console" in languages or any(block.prints is not None for block in blocks(name))
    assert shown, f"{name} shows no output"
    assert "## Traps" in page(name), f"{name} names no traps"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_imports_nothing_that_it_does_not_use(name: str) -> None:
    files = [block.code for block in blocks(name) if block.language == "python" and block.file is not None]
    rest = "\n".join(block.code for block in blocks(name) if block.language == "python" and block.file is None)
    for code in (*files, rest):
        tree = list(ast.walk(ast.parse(code)))
        imports = [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]
        imported = {alias.name for node in imports for alias in node.names}
        assert imported <= {node.id for node in tree if isinstance(node, ast.Name)}


def test_the_index_lists_every_page() -> None:
    listed = set(re.findall(r"\]\(([\w./-]+\.md)\)", page("docs/README.md")))
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert listed >= there
