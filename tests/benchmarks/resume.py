"""A cold resume: from the start of a process to the first line of the node behind the question."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from orchestra_graph import Engine, Waiting
from tests.benchmarks.pauses import Case, graph
from tests.benchmarks.report import Figure

__all__ = ["measure"]

_RESUMING = """
import asyncio, time
from typing import Any
from orchestra_graph import Engine, Graph, Question, State, ask, node

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
    return Question(f"Go on with {{kind}}?")

@node(writes="reply")
async def reply(kind: str, agreed: bool) -> str:
    print(time.time())
    return f"{{kind}}: {{agreed}}"

graph = Graph(Case, name="pauses")
graph.start(sort)
graph.chain(sort, agree, reply)

async def main():
    async with Engine({url!r}, graphs=[graph]) as engine:
        await (await engine.get({key!r}, graph)).wait()

asyncio.run(main())
"""
_LIBRARIES = """
import time, asyncio, sqlite3
import aiosqlite, sqlalchemy
from pydantic import BaseModel, TypeAdapter
class Model(BaseModel): field: int
print(time.time())
"""
_BARE = "import time; print(time.time())"


def _milliseconds(program: str) -> float:
    """From the start of a process to what it prints, which is the time."""
    began = time.time()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return (float(done.stdout) - began) * 1e3


async def _parked(url: str, keys: list[str]) -> None:
    """Runs whose question has an answer that nobody has seen yet."""
    async with Engine(url, graphs=[graph]) as engine:
        for key in keys:
            outcome = await (await engine.start(graph, Case(text="a"), key=key)).wait()
            assert isinstance(outcome, Waiting)
    async with Engine(url, graphs=[graph]) as engine:
        for key in keys:
            run = await engine.get(key, graph)
            await run.answer((await run.questions())[0].id, True)


async def measure(folder: Path) -> list[Figure]:
    """Beside a process that only loads the libraries without which nothing can be read; the best of five."""
    url, keys = f"sqlite:///{folder / 'cold.db'}", [f"run-{i}" for i in range(5)]
    await _parked(url, keys)
    ours = [await asyncio.to_thread(_milliseconds, _RESUMING.format(url=url, key=key)) for key in keys]
    floor = [await asyncio.to_thread(_milliseconds, _LIBRARIES) for _ in keys]
    bare = [await asyncio.to_thread(_milliseconds, _BARE) for _ in keys]
    detail = f"{min(ours):.0f} / {min(floor):.0f} ms; the interpreter alone: {min(bare):.0f} ms"
    return [
        Figure("a cold resume, beside loading pydantic, SQLAlchemy, aiosqlite", min(ours) / min(floor), 3.0, detail)
    ]
