"""What users write needs no plugin: mypy --strict and pyright (strict) find nothing in the examples."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

WRONG = """
from support_desk import check_stock, support

check_stock(order="A-1042")
support.edge(check_stock, 3)
"""


def check(*line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *line], cwd=ROOT, capture_output=True, text=True)


def test_mypy_finds_nothing(tmp_path: Path) -> None:
    child = check("mypy", "--strict", "examples")
    assert child.stdout == f"Success: no issues found in {len(EXAMPLES)} source files\n", child.stdout + child.stderr


def test_mypy_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    child = check("mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "wrong.py"))
    assert "wrong.py:4: error" in child.stdout
    assert "wrong.py:5: error" in child.stdout


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed")
def test_pyright_finds_nothing() -> None:
    child = check("pyright", "--outputjson")
    found = json.loads(child.stdout)
    assert found["generalDiagnostics"] == []
    assert found["summary"]["filesAnalyzed"] == len(EXAMPLES)


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed")
def test_pyright_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    config = {"typeCheckingMode": "strict", "include": ["."], "extraPaths": [str(ROOT), str(ROOT / "examples")]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    child = check("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(tmp_path))
    lines = {found["range"]["start"]["line"] for found in json.loads(child.stdout)["generalDiagnostics"]}
    assert {3, 4} <= lines
