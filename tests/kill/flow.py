"""A graph with a branch, a join, a loop, a fan-out, a question and an irreversible node; every node leaves a line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Literal

from orchestra_graph import Context, Graph, Item, Question, State, add, append, ask, extend, later, node

__all__ = ["Held", "Work", "door", "flow", "held", "noted"]

noted: Callable[[], None] = lambda: None  # noqa: E731
"""Called after each line; a worker puts its own here."""

door: Connection | None = None
"""To the process that looks on; a worker puts its own here."""


class Work(State):
    effects: Path
    kind: Literal["long", "short"] = later()
    facts: Annotated[list[str], extend] = []
    rounds: Annotated[int, add] = 0
    parts: list[int] = later()
    made: Annotated[list[str], append] = []
    agreed: bool = later()
    text: str = ""


def note(effects: Path, ctx: Context) -> None:
    """One line for each time that a node does its work; written with one call, so that a kill never cuts it."""
    handle = os.open(effects, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(handle, f"{ctx.id}\n".encode())
    os.close(handle)
    noted()


@node(writes="kind")
async def sort(effects: Path, ctx: Context) -> Literal["long", "short"]:
    note(effects, ctx)
    return "long"


@node(writes="facts")
def left(effects: Path, ctx: Context) -> list[str]:
    note(effects, ctx)
    return ["left"]


@node(writes="facts")
async def right(effects: Path, ctx: Context) -> list[str]:
    note(effects, ctx)
    return ["right"]


@node(writes="facts")
async def further(effects: Path, ctx: Context) -> list[str]:
    note(effects, ctx)
    return ["further"]


@node(writes="rounds")
async def refine(effects: Path, facts: list[str], ctx: Context) -> int:
    note(effects, ctx)
    return 1


def enough(rounds: int) -> bool:
    return rounds >= 3


@node(writes="parts")
async def split(effects: Path, rounds: int, ctx: Context) -> list[int]:
    note(effects, ctx)
    return list(range(rounds + 2))


@node(writes="made")
async def make(effects: Path, part: Item[int], ctx: Context) -> str:
    note(effects, ctx)
    return f"part {part}"


@ask(writes="agreed")
def agree(effects: Path, made: list[str], ctx: Context) -> Question[bool]:
    note(effects, ctx)
    return Question(f"Ship {len(made)}?")


@node(effect="irreversible")
async def ship(effects: Path, ctx: Context) -> None:
    note(effects, ctx)


@node(writes="text")
async def close(effects: Path, facts: list[str], made: list[str], ctx: Context) -> str:
    note(effects, ctx)
    return f"{', '.join(facts)}; {', '.join(made)}"


flow = Graph(Work, name="killed")
flow.start(sort)
flow.switch(sort, "kind", {"long": [left, right], "short": close})
flow.edge(right, further)
flow.edge([left, further], refine)
flow.edge(refine, split, when=enough)
flow.edge(refine, refine, otherwise=True)
flow.each(split, "parts", make, collect=agree, limit=2)
flow.switch(agree, "agreed", {True: ship, False: close})
flow.edge(ship, close)


class Held(State):
    first: int = later()
    second: int = later()
    said: Annotated[list[str], append] = []


@node(writes="first")
async def begin() -> int:
    return os.getpid()


@node(writes="second")
async def stay(ctx: Context) -> int:
    """Where there is somebody who looks on, wait for a word from there."""
    if door is not None:
        door.send(f"{ctx.id} runs")
        await asyncio.to_thread(door.recv)
    return os.getpid()


held = Graph(Held, name="held")
held.chain(begin, stay)
held.start(begin)
