"""1,000 messages to one conversation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from orchestra_graph import Done, Engine, Graph, Limits, State, add, node, receive
from tests.benchmarks.report import Figure
from tests.benchmarks.rows import again, count

__all__ = ["measure"]

MESSAGES = 1_000


class Talk(State):
    heard: int = 0
    total: Annotated[int, add] = 0


hear = receive("user", int, writes="heard")


@node(writes="total")
async def reply(heard: int) -> int:
    return heard


def more(total: int) -> bool:
    return total < MESSAGES


graph = Graph(Talk, name="messages", limits=Limits(turns=MESSAGES * 2))
graph.start(hear)
graph.edge(hear, reply)
graph.edge(reply, hear, when=more)


async def _talk(path: Path, *, first: bool) -> float:
    """Seconds for all: they lie there before the run is driven, or each is sent while it waits."""
    url = f"sqlite:///{path}"
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, Talk(), key="talk", drive=not first)
        if first:
            for _ in range(MESSAGES):
                await run.send("user", 1)
        began = time.perf_counter()
        if not first:
            for _ in range(MESSAGES):
                await run.send("user", 1)
        outcome = await run.wait()
        took = time.perf_counter() - began
    assert isinstance(outcome, Done)
    assert outcome.state.total == MESSAGES
    return took


async def measure(folder: Path) -> list[Figure]:
    """A message beside a bare commit of a log row; the best of two."""
    sent = min([await _talk(folder / f"sent{i}.db", first=False) for i in range(2)])
    kept = min([await _talk(folder / f"kept{i}.db", first=True) for i in range(2)])
    path = folder / "sent0.db"
    one = min(again(path, folder / f"again{i}.db", batch=1) for i in range(2)) / count(path)
    each, bare = 1e6 / MESSAGES, one * 1e6
    return [
        Figure(
            "a message that is sent, taken and replied to, beside a bare commit",
            sent * each / bare,
            60.0,
            f"{sent * each:.0f} / {bare:.0f} us",
        ),
        Figure(
            "a message that was there before, taken and replied to, beside the same",
            kept * each / bare,
            60.0,
            f"{kept * each:.0f} / {bare:.0f} us",
        ),
    ]
