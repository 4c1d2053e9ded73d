"""A loop of 100,000 turns: what a process holds must not grow with what it has done."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

from orchestra_graph import Done, Engine, Graph, Limits, State, node
from tests.benchmarks.apart import resident, run_apart
from tests.benchmarks.report import Figure

__all__ = ["measure"]

TURNS = 100_000
WARM = 25_000  # by then the page cache of the database is full
_seen: dict[int, int] = {}


class Clock(State):
    turns: int
    turn: int = 0


@node(writes="turn")
async def tick(turn: int) -> int:
    if turn in (WARM, TURNS - 1):
        gc.collect()
        _seen[turn] = resident()
    return turn + 1


def more(turns: int, turn: int) -> bool:
    return turn < turns


graph = Graph(Clock, name="memory", limits=Limits(turns=TURNS))
graph.start(tick)
graph.edge(tick, tick, when=more)


async def _run(path: str) -> float:
    async with Engine(f"sqlite:///{path}", graphs=[graph]) as engine:
        outcome = await (await engine.start(graph, Clock(turns=TURNS), key="memory")).wait()
    assert isinstance(outcome, Done)
    assert outcome.state.turn == TURNS
    return (_seen[TURNS - 1] - _seen[WARM]) / (TURNS - 1 - WARM)


def _apart(path: str) -> float:
    return asyncio.run(_run(path))


async def measure(folder: Path) -> list[Figure]:
    """Bytes of memory that a turn leaves behind, from turn 25,000 on."""
    path = folder / "memory.db"
    left = await run_apart(_apart, str(path))
    size = path.stat().st_size / TURNS
    return [Figure(f"memory left behind by a turn of {TURNS:,}, in bytes", left, 1.0, f"{size:.0f} bytes on disk")]
