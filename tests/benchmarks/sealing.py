"""Encryption: the same runs with keys, and without."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import Annotated

from orchestra_graph import Done, Engine, Graph, Keys, Node, State, append, node
from tests.benchmarks.report import Figure

__all__ = ["measure"]

RUNS, STEPS = 200, 5


class Letter(State):
    text: str
    pages: Annotated[list[str], append] = []


def _step(index: int) -> Node[object]:
    @node(writes="pages", name=f"step_{index}")
    async def step(text: str) -> str:
        return text

    return step


graph = Graph(Letter, name="sealing")
steps = [_step(i) for i in range(STEPS)]
graph.start(steps[0])
graph.chain(*steps)


async def _all(path: Path, keys: Keys | None) -> float:
    async def one(engine: Engine, key: str) -> None:
        outcome = await (await engine.start(graph, Letter(text="x" * 1_000), key=key)).wait()
        assert isinstance(outcome, Done)
        assert len(outcome.state.pages) == STEPS

    async with Engine(f"sqlite:///{path}", graphs=[graph], keys=keys) as engine:
        await one(engine, "warm")
        began = time.perf_counter()
        await asyncio.gather(*(one(engine, f"run-{i}") for i in range(RUNS)))
        return time.perf_counter() - began


async def measure(folder: Path) -> list[Figure]:
    """The time of both, taken in turn; the best of three each. And the sizes of both files."""
    keys = Keys({"bench": secrets.token_bytes(32)}, use="bench")
    plain, sealed = [], []
    for i in range(3):
        plain.append(await _all(folder / f"plain{i}.db", None))
        sealed.append(await _all(folder / f"sealed{i}.db", keys))
    most, least = (folder / "sealed0.db").stat().st_size, (folder / "plain0.db").stat().st_size
    detail = f"{min(sealed) / RUNS * 1e3:.2f} / {min(plain) / RUNS * 1e3:.2f} ms a run of {STEPS} KB"
    return [
        Figure("encrypted, beside the same in plain text", min(sealed) / min(plain), 2.5, detail),
        Figure("bytes of an encrypted database, beside the plain one", most / least, 1.6, f"{most // 1_000} KB"),
    ]
