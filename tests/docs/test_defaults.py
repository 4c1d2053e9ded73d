"""The table of defaults in semantics.md is what the code says."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest

import orchestra_graph
from docs.pages import page
from orchestra_graph.cli.config import DEFAULT_DATABASE
from orchestra_graph.runtime import scribe
from orchestra_graph.store.sqlite import SqliteStore

_CALL = re.compile(r"`((?:\w+\.)*\w+)\((\w+)=([^`]+)\)`")
TABLE = page("docs/semantics.md").partition("## Every default")[2]


@pytest.mark.parametrize(("what", "parameter", "value"), _CALL.findall(TABLE))
def test_a_default_is_what_the_table_says(what: str, parameter: str, value: str) -> None:
    function: Any = orchestra_graph
    for name in what.split("."):
        function = getattr(function, name)
    assert inspect.signature(function).parameters[parameter].default == ast.literal_eval(value)


def test_the_table_names_every_default_of_these() -> None:
    listed = {(what, parameter) for what, parameter, _ in _CALL.findall(TABLE)}
    for name in ("Retry", "Limits"):
        parameters = inspect.signature(getattr(orchestra_graph, name)).parameters
        assert {(name, parameter) for parameter in parameters} <= listed


def test_the_defaults_that_no_call_shows() -> None:
    assert f"`{DEFAULT_DATABASE}`" in TABLE
    patience = inspect.signature(SqliteStore).parameters["busy_timeout"].default
    assert f"`StoreBusy` | {patience:.0f} seconds |" in TABLE
    assert f"when {scribe._SNAPSHOT_ROWS} rows and twice the size" in TABLE
    assert scribe._SNAPSHOT_GROWTH == 2
