"""500 runs that wait for a person: parked by one engine, answered and driven to the end by another."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from orchestra_graph import Done, Engine, Graph, Question, State, Waiting, ask, node
from tests.benchmarks.report import Figure
from tests.benchmarks.rows import again, count

__all__ = ["measure"]

RUNS = 500


class Case(State):
    text: str
    kind: str = ""
    agreed: bool = False
    reply: str = ""


@node(writes="kind")
async def sort(text: str) -> str:
    return text.upper()


@ask(writes="agreed")
def agree(kind: str) -> Question[bool]:
    return Question(f"Go on with {kind}?")


@node(writes="reply")
async def reply(kind: str, agreed: bool) -> str:
    return f"{kind}: {agreed}"


graph = Graph(Case, name="pauses")
graph.start(sort)
graph.chain(sort, agree, reply)


async def _park(url: str, runs: int = RUNS) -> None:
    async def one(engine: Engine, number: int) -> None:
        outcome = await (await engine.start(graph, Case(text=f"case {number}"), key=f"case-{number}")).wait()
        assert isinstance(outcome, Waiting)

    async with Engine(url, graphs=[graph]) as engine:
        await asyncio.gather(*(one(engine, number) for number in range(runs)))


async def _finish(url: str, runs: int = RUNS) -> None:
    async def one(engine: Engine, number: int) -> None:
        run = await engine.get(f"case-{number}", graph)
        [question] = await run.questions()
        await run.answer(question.id, True)
        outcome = await run.wait()
        assert isinstance(outcome, Done)
        assert outcome.state.reply == f"CASE {number}: True"

    async with Engine(url, graphs=[graph]) as engine:
        await asyncio.gather(*(one(engine, number) for number in range(runs)))


async def measure(folder: Path) -> list[Figure]:
    """Both halves beside a bare commit of each row that was stored."""
    path = folder / "pauses.db"
    url, warm = f"sqlite:///{path}", f"sqlite:///{folder / 'warm.db'}"
    await _park(warm, 5)
    await _finish(warm, 5)
    began = time.perf_counter()
    await _park(url)
    parked, rows = time.perf_counter() - began, count(path)
    began = time.perf_counter()
    await _finish(url)
    finished, rest = time.perf_counter() - began, count(path) - rows
    one = again(path, folder / "again.db", batch=1) / (rows + rest)
    each = 1e3 / RUNS
    return [
        Figure(
            f"{RUNS} runs up to their question, beside a bare commit of each row",
            parked / (rows * one),
            12.0,
            f"{parked * each:.1f} ms a run",
        ),
        Figure(
            f"{RUNS} answered and driven to the end, beside the same",
            finished / (rest * one),
            12.0,
            f"{finished * each:.1f} ms a run",
        ),
    ]
