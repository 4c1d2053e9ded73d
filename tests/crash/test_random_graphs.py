"""Two hundred random graphs, killed everywhere, in memory, on SQLite and on PostgreSQL: always the same end.

`make test` kills some points of each on the databases, and all points in memory; `make crash` kills all of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra_graph.testing.clock import run_virtually
from orchestra_graph.testing.crash import CrashReport, crash_everywhere
from orchestra_graph.testing.postgres import throwaway_postgres
from tests.crash.programs import steady_graph
from tests.graph.programs import Case

GRAPHS, PARTS = 200, 10
MOST = None if os.environ.get("CRASH_ALL") else 3
"""Points of each graph on a database."""

pytestmark = [pytest.mark.properties, pytest.mark.timeout(3600 if MOST is None else 120)]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def told(where: str, reports: list[CrashReport]) -> None:
    points, again = sum(r.points for r in reports), sum(r.interrupted for r in reports)
    print(f"{where}: {len(reports)} graphs, killed {points} times; cut off and called again: {again}; finished: 0")
    assert {report.outcome for report in reports} == {"done"}


@pytest.mark.parametrize("part", range(PARTS))
def test_in_memory_at_every_point(part: int) -> None:
    made = [steady_graph(seed) for seed in range(part, GRAPHS, PARTS)]
    told("memory", [run_virtually(crash_everywhere(graph, Case())) for graph in made])


@pytest.mark.parametrize("part", range(PARTS))
def test_on_sqlite(tmp_path: Path, part: int) -> None:
    made = [steady_graph(seed) for seed in range(part, GRAPHS, PARTS)]

    async def main() -> list[CrashReport]:
        return [
            await crash_everywhere(g, Case(), url=f"sqlite:///{tmp_path}/runs.db", most=MOST, seed=part) for g in made
        ]

    told("SQLite", asyncio.run(main()))


@pytest.mark.parametrize("part", range(PARTS))
def test_on_postgresql(part: int) -> None:
    made = [steady_graph(seed) for seed in range(part, GRAPHS, PARTS)]

    async def main(url: str) -> list[CrashReport]:
        return [await crash_everywhere(graph, Case(), url=url, most=MOST, seed=part) for graph in made]

    with throwaway_postgres() as database:
        told("PostgreSQL", asyncio.run(main(database.url)))
