"""Every promise of `docs/reliability.md` has a command, and every command names tests that are there."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from docs.pages import ROOT, blocks, page

PAGE = "docs/reliability.md"
_NO_PROMISES = {"The promises in one table", "What is not promised"}


def _commands() -> list[str]:
    return [line for block in blocks(PAGE) if block.language == "sh" for line in block.code.splitlines()]


def _targets(command: str) -> list[str]:
    """What a command for pytest names: files, folders and tests."""
    words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
    assert words[0] == "pytest", command
    return words[1:]


def _defined(path: Path) -> set[str]:
    """The functions and classes at the top of a file."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {part.name for part in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(part, kinds)}


@pytest.mark.parametrize("command", [line for line in _commands() if not line.startswith("make ")])
def test_the_command_names_tests_that_are_there(command: str) -> None:
    targets = _targets(command)
    assert targets, f"{command}: all the tests show nothing in particular"
    for target in targets:
        path, _, name = target.partition("::")
        assert path.startswith("tests/"), target
        assert (ROOT / path).exists(), f"there is no {path}"
        if name:
            assert name in _defined(ROOT / path), f"{path} has no {name}"
        else:
            files = [ROOT / path] if path.endswith(".py") else list((ROOT / path).glob("test_*.py"))
            names = {found for file in files for found in _defined(file)}
            assert any(re.match("(?i)test", found) for found in names), f"{path} has no test"


def test_the_targets_of_make_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    named = {command.split()[1] for command in _commands() if command.startswith("make ")}
    assert named
    assert named <= targets


def test_every_promise_has_a_command() -> None:
    sections = re.split(r"^(?=#{2,3} )", page(PAGE), flags=re.MULTILINE)[1:]
    promises = [text for text in sections if text.startswith("### ")]
    assert len(promises) > 20
    for text in promises:
        assert "```sh\n" in text, f"who shows this? {text.splitlines()[0]}"
    headings = {text.splitlines()[0].removeprefix("## ") for text in sections if text.startswith("## ")}
    assert headings >= _NO_PROMISES


def test_the_numbers_are_those_of_the_tests() -> None:
    from tests.crash.test_random_graphs import GRAPHS
    from tests.kill.test_fleet_postgres import RUNS
    from tests.runtime.test_starting import STARTERS

    text = page(PAGE)
    simulation = page("tests/simulation/test_simulation.py")
    assert f"for {GRAPHS} random graphs" in text
    assert f"{RUNS} runs on PostgreSQL" in text
    assert STARTERS == 50
    assert "Fifty who start" in text
    assert '"SIMULATION_SEEDS", "1000"' in simulation
    assert "In 1,000 seeds" in text
    assert "SIMULATION_SEEDS:-20000" in page("Makefile")
