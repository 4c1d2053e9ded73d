"""What the how-to pages show needs no plugin: mypy --strict finds nothing in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from docs.pages import ROOT, blocks
from tests.docs.test_how_to import PAGES


def test_mypy_finds_nothing_in_the_how_to_pages(tmp_path: Path) -> None:
    for name in PAGES:
        python = [block for block in blocks(name) if block.language == "python"]
        files = {block.file: block.code for block in python if block.file is not None}
        files[f"{Path(name).stem.replace('-', '_')}.py"] = "\n\n".join(b.code for b in python if b.file is None)
        for file, code in files.items():
            assert not (tmp_path / file).exists(), f"{name}: another page has a file {file}, too"
            (tmp_path / file).write_text(code, encoding="utf-8")
    line = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run([*line, "."], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""
