"""Every Python block of the pages runs, in order, and prints what stands behind it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from docs.pages import Block, blocks, names_of, run_python
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
