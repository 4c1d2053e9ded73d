"""A loop that appends 1 KB each turn: bytes stored, and whether the last turns cost more than the first."""

from __future__ import annotations

import os
import sqlite3
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from orchestra_graph import END, Done, Engine, Graph, Limits, State, add, append, node
from tests.benchmarks.report import Figure

__all__ = ["measure"]

_DOCUMENT = "x" * 1_000
_times: list[float] = []


class Notes(State):
    turns: int
    count: Annotated[int, add] = 0
    notes: Annotated[list[str], append] = []


@node(writes="notes")
async def write(turns: int) -> str:
    _times.append(time.perf_counter())
    return f"{len(_times):06}{_DOCUMENT[6:]}"


@node(writes="count")
async def tick() -> int:
    return 1


def more(turns: int, count: int) -> bool:
    return count < turns


graph = Graph(Notes, name="growth", limits=Limits(turns=1_000_000))
graph.start(write)
graph.edge(write, tick)
graph.edge(tick, write, when=more)
graph.edge(tick, END, otherwise=True)


async def _run(path: Path, turns: int) -> tuple[float, float]:
    _times.clear()
    async with Engine(f"sqlite:///{path}", graphs=[graph]) as engine:
        run = await engine.start(graph, Notes(turns=turns), key="growth")
        outcome = await run.wait()
        assert isinstance(outcome, Done)
        assert len(outcome.state.notes) == turns
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    steps = [b - a for a, b in pairwise(_times)]
    # The median of 50 turns: one pause of the machine is not a cost of the engine.
    first, last = sorted(steps[:50])[25], sorted(steps[-50:])[25]
    size = os.path.getsize(path)
    return size / (turns * 1_000), last / first


async def measure(folder: Path) -> list[Figure]:
    """500 and 2,000 turns."""
    figures = []
    for turns in (500, 2_000):
        size, slower = await _run(folder / f"growth{turns}.db", turns)
        figures.append(
            Figure(f"bytes stored, beside the payload ({turns} turns of 1 KB)", size, 2.0, f"{size * turns:.0f} KB")
        )
        figures.append(Figure(f"the last 50 turns, beside the first 50 ({turns} turns)", slower, 1.3, "medians"))
    return figures
