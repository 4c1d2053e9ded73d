"""Compiling graphs of 1,000 nodes: the cost of a node must not grow with their number."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from orchestra_graph import Graph, Node, State, add, last, node
from tests.benchmarks.report import Figure

__all__ = ["SHAPES", "measure"]


class Sheet(State):
    count: Annotated[int, add] = 0
    left: str = ""
    right: str = ""
    newest: Annotated[str, last] = ""


def _step(index: int, writes: str) -> Node[object]:
    if writes == "count":

        @node(writes="count", name=f"n{index}")
        async def counting(count: int) -> int:
            return 1

        return counting

    @node(writes=writes, name=f"n{index}")
    async def writing(left: str, right: str) -> str:
        return left + right

    return writing


def chain(size: int) -> Graph[Sheet]:
    """One after the other."""
    graph = Graph(Sheet, name="chain")
    steps = [_step(i, "count") for i in range(size)]
    graph.start(steps[0])
    graph.chain(*steps)
    return graph


def ladder(size: int) -> Graph[Sheet]:
    """Diamonds, one after the other: a fork into two sides that write a field each, and a join."""
    graph = Graph(Sheet, name="ladder")
    top = _step(0, "count")
    graph.start(top)
    for i in range(1, size - 2, 3):
        left, right, join = _step(i, "left"), _step(i + 1, "right"), _step(i + 2, "count")
        graph.edge(top, [left, right])
        graph.edge([left, right], join)
        top = join
    return graph


def fork(size: int) -> Graph[Sheet]:
    """All side by side, between a fork and a join."""
    graph = Graph(Sheet, name="fork")
    top, join = _step(0, "count"), _step(1, "count")
    graph.start(top)
    wide = [_step(i, "count") for i in range(2, size)]
    graph.edge(top, wide)
    graph.edge(wide, join)
    return graph


def again(count: int) -> bool:
    return count < 100


def loops(size: int) -> Graph[Sheet]:
    """Loops inside of loops, four deep, and one such nest after the other."""
    graph = Graph(Sheet, name="loops")
    before: Node[object] | None = None
    for first in range(0, size - 7, 8):
        nest = [_step(first + i, "count") for i in range(8)]
        graph.start(nest[0]) if before is None else graph.edge(before, nest[0], otherwise=True)
        graph.chain(*nest)
        for depth in range(3):
            graph.edge(nest[6 - depth], nest[1 + depth], when=again)
        graph.edge(nest[7], nest[0], when=again)
        before = nest[7]
    return graph


SHAPES: dict[str, Callable[[int], Graph[Sheet]]] = {
    "chain": chain,
    "ladder of diamonds": ladder,
    "wide fork": fork,
    "row of nested loops": loops,
}


def _compile(make: Callable[[int], Graph[Sheet]], size: int) -> float:
    graph = make(size)
    began = time.perf_counter()
    graph.compile()
    return (time.perf_counter() - began) / size


async def measure(folder: Path) -> list[Figure]:
    """A node of 1,000 beside one of 250."""
    _compile(chain, 50)
    figures = []
    for name, make in SHAPES.items():
        small = min(_compile(make, 250) for _ in range(3))
        large = min(_compile(make, 1_000) for _ in range(2))
        detail = f"{large * 1e3:.2f} s for 1,000 nodes; {large * 1e6:.0f} / {small * 1e6:.0f} us a node"
        figures.append(Figure(f"compiling a {name}: a node of 1,000, beside one of 250", large / small, 2.0, detail))
    return figures
