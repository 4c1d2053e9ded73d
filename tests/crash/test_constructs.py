"""Every construct of the language, killed at every commit and every wait; on virtual time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra_graph.testing.clock import run_virtually
from orchestra_graph.testing.crash import crash_everywhere
from tests.kill.constructs import CONSTRUCTS, Sheet, graph_of


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_killed_everywhere(tmp_path: Path, name: str) -> None:
    sheet = Sheet(effects=tmp_path / "effects")
    report = run_virtually(crash_everywhere(graph_of(name), sheet, ignore=["effects"]))
    print(report)
    assert report.points + report.missed == 2 * report.commits + report.waits
    assert report.missed <= report.points / 4
