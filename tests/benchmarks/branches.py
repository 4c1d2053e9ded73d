"""Unequal branches: the node behind the fast one starts when its input is there, not when the slow one ends."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from orchestra_graph import Done, Engine, Graph, State, node
from tests.benchmarks.report import Figure

__all__ = ["measure"]

_marks: dict[str, float] = {}


class Sides(State):
    left: str = ""
    right: str = ""
    both: str = ""


@node
async def fork() -> None:
    return None


@node(writes="left")
async def quick() -> str:
    _marks["quick ended"] = time.perf_counter()
    return "l"


@node(writes="left")
async def follow(left: str) -> str:
    _marks["follow began"] = time.perf_counter()
    return f"{left}!"


@node(writes="right")
async def slow() -> str:
    await asyncio.sleep(0.25)
    _marks["slow ended"] = time.perf_counter()
    return "r"


@node(writes="both")
async def join(left: str, right: str) -> str:
    return left + right


graph = Graph(Sides, name="branches")
graph.start(fork)
graph.edge(fork, [quick, slow])
graph.edge(quick, follow)
graph.edge([follow, slow], join)


async def measure(folder: Path) -> list[Figure]:
    """Milliseconds from the end of the fast node to the start of the next, the commit between them included."""
    waits = []
    async with Engine(f"sqlite:///{folder / 'branches.db'}", graphs=[graph]) as engine:
        for _ in range(11):
            outcome = await (await engine.start(graph, Sides())).wait()
            assert isinstance(outcome, Done)
            assert outcome.state.both == "l!r"
            assert _marks["follow began"] < _marks["slow ended"]
            waits.append((_marks["follow began"] - _marks["quick ended"]) * 1e3)
    detail = f"the slowest of {len(waits)}: {max(waits):.1f} ms; the slow branch takes 250 ms"
    return [Figure("the next node of the fast branch starts after, in ms", statistics.median(waits), 20.0, detail)]
