"""1,000 runs of five nodes at once, in one database."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

from orchestra_graph import Done, Engine, Graph, Node, State, add, node
from tests.benchmarks.apart import resident, run_apart
from tests.benchmarks.report import Figure
from tests.benchmarks.rows import again, count

__all__ = ["measure"]

RUNS = 1_000
STEPS = 5


class Counter(State):
    count: Annotated[int, add] = 0


def _step(index: int) -> Node[object]:
    @node(writes="count", name=f"step_{index}")
    async def step(count: int) -> int:
        await asyncio.sleep(0)
        return 1

    return step


graph = Graph(Counter, name="many")
steps = [_step(i) for i in range(STEPS)]
graph.start(steps[0])
graph.chain(*steps)


async def _all(path: Path) -> tuple[float, int]:
    """Seconds from the first start to the last end, and bytes of memory taken meanwhile for each run."""

    async def one(engine: Engine, key: str) -> None:
        outcome = await (await engine.start(graph, Counter(), key=key)).wait()
        assert isinstance(outcome, Done)
        assert outcome.state.count == STEPS

    async with Engine(f"sqlite:///{path}", graphs=[graph]) as engine:
        await one(engine, "warm")
        before, began = resident(), time.perf_counter()
        tasks = [asyncio.create_task(one(engine, f"run-{i}")) for i in range(RUNS)]
        most = before
        while not all(task.done() for task in tasks):
            most = max(most, resident())
            await asyncio.wait(tasks, timeout=0.05)
        await asyncio.gather(*tasks)
        return time.perf_counter() - began, (most - before) // RUNS


def _apart(path: str) -> tuple[float, int]:
    return asyncio.run(_all(Path(path)))


async def measure(folder: Path) -> list[Figure]:
    """The time of all beside that of writing the same rows, one commit for each; and the memory of one run."""
    path = folder / "many.db"
    took, memory = await run_apart(_apart, str(path))
    rows = count(path)
    floor = again(path, folder / "again.db", batch=1)
    batched = again(path, folder / "batched.db", batch=100)
    detail = f"{RUNS / took:.0f} runs/s, {rows / took:.0f} rows/s; in batches of 100 the bare rows take {batched:.2f} s"
    return [
        Figure(f"{RUNS} runs at once, beside a bare commit of each row", took / floor, 8.0, f"{took:.2f} s; {detail}"),
        Figure(f"memory of one of {RUNS} runs at once, in KB", memory / 1_000, 100.0, "the most at any time"),
    ]
