"""What the tests of hostile databases share: runs of every kind, values to put into them, and the doors to read by."""

from __future__ import annotations

import copy
import json
import random
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import add
from typing import Annotated, Any

from orchestra_graph import END, Engine, Graph, Item, Question, State, append, ask, node
from orchestra_graph.core.snapshot import freeze
from orchestra_graph.errors import EngineBug, OrchestraError
from orchestra_graph.runtime.run import Run
from orchestra_graph.store.base import LogRow, Snapshot
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import Kept, MemoryDatabase

__all__ = ["BOMBS", "DOORS", "Door", "desk", "guarded", "kept_in", "made", "meet", "spoiled"]


class Doc(State):
    topic: str
    parts: list[int] = []
    notes: Annotated[list[str], append] = []
    total: Annotated[int, add] = 0
    turns: int = 0
    big: str = ""
    good: bool = False


@node(writes="parts")
def plan(topic: str) -> list[int]:
    return [1, 2, 3]


@node(writes=("notes", "total"))
def work(part: Item[int]) -> dict[str, Any]:
    return {"notes": f"part {part}", "total": part}


@node(writes="big")
def long(topic: str) -> str:
    return "x" * 20_000


@node
def meet_here(topic: str) -> None:
    if topic == "fail":
        raise ValueError("it was told to")


@node(writes="turns")
def judge(turns: int) -> int:
    return turns + 1


@ask(writes="good")
def approve(topic: str) -> Question[bool]:
    return Question(f"Publish {topic}?", to="anna", details={"topic": topic})


desk = Graph(Doc, name="desk")
desk.start(plan, long)
desk.each(plan, "parts", work, collect=judge, limit=2)
desk.edge(judge, judge, when=lambda turns: turns < 2)
desk.edge(judge, meet_here, otherwise=True)
desk.edge(long, meet_here)
desk.edge(meet_here, approve)
desk.edge(approve, END)


async def made() -> MemoryDatabase:
    """Runs that wait, are done, and have failed; each with a snapshot of its last row."""
    database = MemoryDatabase()
    async with Engine(MemoryStore(database), graphs=[desk]) as engine:
        for topic in ("wait", "done", "fail"):
            run = await engine.start(desk, Doc(topic=topic), key=topic)
            await run.wait()
            if topic == "done":
                (asked,) = await run.questions()
                await run.answer(asked.id, True)
                await run.wait()
        for kept in database.runs.values():
            state = await (await engine.get(kept.row.key, desk))._load()
            kept.snapshot = Snapshot(kept.log[-1].seq, freeze(state))
    return database
