"""Every Python block of the pages runs, in order, and prints what stands behind it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from docs.pages import ROOT, Block, blocks, names_of, page, run_python
from orchestra_graph.core.run import activation_id
from tests.docs.outputs import check_prints


@pytest.mark.parametrize("name", ["README.md", "docs/semantics.md"])
def test_the_python_of_a_page_runs_and_prints_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with names_of(name) as names:
        for block in _python(name):
            printed = run_python(block, names)
            if block.prints is not None:
                check_prints(block.where, block.prints, printed)
    assert not os.listdir(tmp_path), "a page that only explains leaves nothing behind"


def _python(name: str) -> list[Block]:
    return [block for block in blocks(name) if block.language == "python"]


def test_the_ids_that_are_explained_are_ids_of_the_engine() -> None:
    made = [
        activation_id("draft", (), ()),
        activation_id("work", (1,), ()),
        activation_id("work", (1, 0), ()),
        activation_id("read", (((), 3),), ()),
        activation_id("look", (1, ((), 0)), ()),
        activation_id("tell", (), ((1, (), 2),)),
    ]
    table = page("docs/semantics.md").partition("| id | read it as |")[2]
    assert re.findall(r"^\| `(\S+)` \|", table, re.MULTILINE)[: len(made)] == made


@pytest.mark.parametrize("name", ["README.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))])
def test_no_page_knows_where_it_was_written(name: str) -> None:
    assert not re.search(r"/(?:home|work|tmp|root|Users)/|https?://", page(name))
