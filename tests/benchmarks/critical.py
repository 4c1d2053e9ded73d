"""A wide graph of unequal branches: it takes as long as its longest way, and not longer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from random import Random
from typing import Annotated

from orchestra_graph import Done, Engine, Graph, Node, State, append, node
from tests.benchmarks.report import Figure

__all__ = ["measure"]

WIDTH, LENGTH = 24, 8


class Sheet(State):
    log: Annotated[list[str], append] = []


def _step(name: str, seconds: float) -> Node[object]:
    @node(writes="log", name=name)
    async def step() -> str:
        await asyncio.sleep(seconds)
        return name

    return step


def _graph() -> tuple[Graph[Sheet], float]:
    """24 branches of 8 nodes; no two nodes take equally long. And the seconds along the longest way."""
    chance = Random(7)
    graph = Graph(Sheet, name="critical")
    fork, join = _step("fork", 0.01), _step("join", 0.01)
    graph.start(fork)
    ends, longest = [], 0.0
    for branch in range(WIDTH):
        times = [chance.choice([0.005, 0.02, 0.1]) * chance.uniform(0.8, 1.2) for _ in range(LENGTH)]
        steps = [_step(f"n{branch}_{i}", seconds) for i, seconds in enumerate(times)]
        graph.chain(fork, *steps)
        ends.append(steps[-1])
        longest = max(longest, sum(times))
    graph.edge(ends, join)
    return graph, longest + 0.02


async def measure(folder: Path) -> list[Figure]:
    """The whole time, beside the sleeps along the longest way; the best of three."""
    graph, longest = _graph()
    taken = []
    async with Engine(f"sqlite:///{folder / 'critical.db'}", graphs=[graph]) as engine:
        for _ in range(3):
            began = time.perf_counter()
            outcome = await (await engine.start(graph, Sheet())).wait()
            taken.append(time.perf_counter() - began)
            assert isinstance(outcome, Done)
            assert len(outcome.state.log) == WIDTH * LENGTH + 2
    detail = f"{min(taken) * 1e3:.0f} / {longest * 1e3:.0f} ms; {WIDTH} branches of {LENGTH} nodes"
    return [Figure("unequal branches, beside their critical path", min(taken) / longest, 1.25, detail)]
