"""An `each` over 1,000 and 10,000 items: the cost of one item must not grow with their number."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from orchestra_graph import Done, Engine, Graph, Item, State, append, node
from tests.benchmarks.report import Figure

__all__ = ["measure"]


class Wide(State):
    items: list[int]
    squares: Annotated[list[int], append] = []
    total: int = 0


@node
async def begin() -> None:
    return None


@node(writes="squares")
async def square(item: Item[int]) -> int:
    return item * item


@node(writes="total")
async def collect(squares: list[int]) -> int:
    return sum(squares)


graph = Graph(Wide, name="fan")
graph.start(begin)
graph.each(begin, "items", square, collect=collect)


async def _run(path: Path, width: int) -> float:
    async with Engine(f"sqlite:///{path}", graphs=[graph]) as engine:
        began = time.perf_counter()
        run = await engine.start(graph, Wide(items=list(range(width))), key="fan")
        outcome = await run.wait()
        took = time.perf_counter() - began
    assert isinstance(outcome, Done)
    assert outcome.state.total == sum(i * i for i in range(width))
    return took / width


async def measure(folder: Path) -> list[Figure]:
    """Time for each item, 10,000 beside 1,000; the best of three runs each."""
    await _run(folder / "warm.db", 100)
    narrow = min([await _run(folder / f"fan{i}.db", 1_000) for i in range(3)])
    wide = min([await _run(folder / f"wide{i}.db", 10_000) for i in range(3)])
    detail = f"{wide * 1e6:.0f} / {narrow * 1e6:.0f} us an item"
    return [Figure("an item of an each over 10,000, beside one over 1,000", wide / narrow, 1.5, detail)]
