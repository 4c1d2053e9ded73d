"""What is public: a name slips in, or out, only together with `__all__`."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import orchestra_graph
from tests.benchmarks.imports import HEAVY

SUBPACKAGES = {
    "cli",
    "clock",
    "core",
    "errors",
    "events",
    "graph",
    "ids",
    "render",
    "runtime",
    "state",
    "store",
    "testing",
}


def test_the_public_names_are_exactly_those_listed() -> None:
    found = {name for name in dir(orchestra_graph) if not name.startswith("_")} - SUBPACKAGES - {"TYPE_CHECKING", "Any"}
    assert found == set(orchestra_graph.__all__)


def test_every_public_name_can_be_had() -> None:
    assert all(getattr(orchestra_graph, name) is not None for name in orchestra_graph.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(orchestra_graph, "Grpah")


def test_the_import_loads_none_of_the_heavy_modules() -> None:
    program = f"import sys, orchestra_graph; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_error_is_in_the_tree_at_the_top_of_its_module() -> None:
    errors = importlib.import_module("orchestra_graph.errors")
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.OrchestraError)]
    tree = (errors.__doc__ or "").splitlines()
    drawn = {line.split("─")[-1].split()[0] for line in tree if "──" in line} | {"OrchestraError"}
    assert {kind.__name__ for kind in kinds} == drawn


def test_every_module_says_what_it_is() -> None:
    package = Path(orchestra_graph.__file__).parent
    for path in package.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path
