"""1,000 durable steps in a chain."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from orchestra_graph import Done, Engine, Graph, Node, State, add, node
from tests.benchmarks.floors import commits_inline, commits_through_a_thread
from tests.benchmarks.report import Figure

__all__ = ["measure"]


class Counter(State):
    count: Annotated[int, add] = 0


def _step(index: int) -> Node[object]:
    @node(writes="count", name=f"step_{index:04}")
    async def step(count: int) -> int:
        return 1

    return step


def _graph(length: int) -> Graph[Counter]:
    graph = Graph(Counter, name="chain")
    steps = [_step(i) for i in range(length)]
    graph.start(steps[0])
    graph.chain(*steps)
    return graph


async def _run(path: Path, graph: Graph[Counter], length: int) -> float:
    async with Engine(f"sqlite:///{path}", graphs=[graph]) as engine:
        began = time.perf_counter()
        run = await engine.start(graph, Counter(), key="chain")
        outcome = await run.wait()
        took = time.perf_counter() - began
    assert isinstance(outcome, Done)
    assert outcome.state.count == length
    return took


async def measure(folder: Path, length: int = 1_000, rounds: int = 3) -> list[Figure]:
    """The chain beside the two floors; the best of a few rounds each, taken in turn."""
    import asyncio

    graph = _graph(length)
    graph.compile()
    ours, inline, hop = [], [], []
    for i in range(rounds):
        inline.append(await asyncio.to_thread(commits_inline, folder / f"inline{i}.db", length))
        hop.append(await asyncio.to_thread(commits_through_a_thread, folder / f"hop{i}.db", length))
        ours.append(await _run(folder / f"chain{i}.db", graph, length))
    best, floor, thread = min(ours), min(inline), min(hop)
    micro = 1e6 / length
    return [
        Figure(
            "a durable step, beside an inline commit", best / floor, 8.0, f"{best * micro:.0f} / {floor * micro:.0f} us"
        ),
        Figure(
            "a durable step, beside a commit through a thread",
            best / thread,
            3.0,
            f"{best * micro:.0f} / {thread * micro:.0f} us",
        ),
    ]
