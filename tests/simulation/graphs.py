"""Small graphs for fleets, each with something else to lose; what their nodes do depends on their activation alone."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Annotated, Any

from orchestra_graph import Context, Graph, Item, Node, Question, Retry, State, add, append, ask, node, receive
from orchestra_graph.testing.simulation import Job

__all__ = ["GRAPHS", "Sheet", "jobs_of"]


class Sheet(State):
    log: Annotated[list[str], append] = []
    turn: Annotated[int, add] = 0
    items: list[int] = [0, 1, 2]
    agreed: bool = False
    name: str = ""
    shipped: str = ""
    heard: str = ""


def step(name: str, **options: Any) -> Node[Any]:
    """A node that takes a while, and says that it was there."""

    @node(writes="log", name=name, **options)
    async def work(ctx: Context) -> str:
        await asyncio.sleep(Random(ctx.id).choice((0.0, 0.1, 2.0, 12.0)))
        return ctx.id

    return work


@node(writes="turn")
async def turn(ctx: Context) -> int:
    await asyncio.sleep(0.5)
    return 1


@node(writes="log")
async def item(n: Item[int], ctx: Context) -> str:
    await asyncio.sleep(n)
    return f"item {n}"


@node(writes="log")
def count(log: list[str]) -> str:
    return f"{len(log)} so far"


@ask(writes="agreed")
def agree() -> Question[bool]:
    return Question("Go on?")


@ask(writes="name")
def sign() -> Question[str]:
    return Question("Who are you?", to="boss")


@node(writes="shipped", effect="irreversible")
async def ship(name: str, ctx: Context) -> str:
    await asyncio.sleep(3)
    return f"shipped by {name}"


def few(turn: int) -> bool:
    return turn < 3


def forked() -> Graph[Sheet]:
    graph = Graph(Sheet, name="forked")
    begin, left, right, further, join = (step(n) for n in ("begin", "left", "right", "further", "join"))
    graph.start(begin)
    graph.edge(begin, [left, right])
    graph.edge(right, further)
    graph.edge([left, further], join)
    graph.edge(join, count)
    return graph


def looped() -> Graph[Sheet]:
    graph = Graph(Sheet, name="looped")
    work = step("work")
    graph.start(turn)
    graph.edge(turn, work)
    graph.edge(work, turn, when=few)
    graph.edge(work, count, otherwise=True)
    return graph


def asked() -> Graph[Sheet]:
    graph = Graph(Sheet, name="asked")
    yes, no, last = step("yes"), step("no"), step("last")
    graph.start(step("begin"))
    graph.edge("begin", [agree, sign])
    graph.switch(agree, "agreed", {True: yes, False: no})
    graph.edge([yes, no, sign], last)
    return graph


def shipped() -> Graph[Sheet]:
    graph = Graph(Sheet, name="shipped")
    begin, last = step("begin"), step("last")
    graph.start(begin)
    graph.chain(begin, sign, ship, last)
    return graph


def spread() -> Graph[Sheet]:
    graph = Graph(Sheet, name="spread")
    begin = step("begin")
    graph.start(begin)
    graph.each(begin, "items", item, collect=count, limit=2)
    return graph


class Unlucky(Exception):
    """What a node raises at its first attempts."""


@node(writes="log", retry=Retry(attempts=3, delay=4.0, on=(Unlucky,)))
async def unlucky(ctx: Context) -> str:
    if ctx.attempt < 3:
        raise Unlucky(ctx.id)
    return "at last"


def retried() -> Graph[Sheet]:
    graph = Graph(Sheet, name="retried")
    graph.start([unlucky, step("beside")])
    graph.edge([unlucky, "beside"], count)
    return graph


hear = receive("note", str, writes="heard", name="hear")


@node(writes="turn")
async def noted(heard: str) -> int:
    await asyncio.sleep(1)
    return 1


@node(writes="log")
async def keep(heard: str, ctx: Context) -> str:
    return f"{ctx.id}: {heard}"


def mailed() -> Graph[Sheet]:
    """Three messages, one after the other."""
    graph = Graph(Sheet, name="mailed")
    graph.start(step("begin"))
    graph.chain("begin", hear, keep, noted)
    graph.edge(noted, hear, when=few)
    graph.edge(noted, count, otherwise=True)
    return graph


async def fetch(what: str) -> str:
    await asyncio.sleep(3)
    return f"{what} fetched"


@node(writes="log")
async def stepping(ctx: Context) -> str:
    """Three steps, of which each is kept when it is done."""
    return ", ".join([await ctx.step(what, fetch, what) for what in ("one", "two", "three")])


def stepped() -> Graph[Sheet]:
    graph = Graph(Sheet, name="stepped")
    graph.start([stepping, step("beside")])
    graph.edge([stepping, "beside"], count)
    return graph


GRAPHS: dict[str, Graph[Sheet]] = {
    graph.name: graph for graph in (forked(), looped(), asked(), shipped(), spread(), retried(), mailed(), stepped())
}
ANSWERS: dict[str, Any] = {"agree": True, "sign": "ada"}
RIVALS: dict[str, Any] = {"agree": False, "sign": "bob"}


def jobs_of(seed: int) -> list[Job]:
    """Two or three runs; the same for the same seed."""
    chance = Random(f"jobs {seed}")
    names = [chance.choice(sorted(GRAPHS)) for _ in range(chance.choice((1, 2, 3)))]
    return [
        Job(
            graph=GRAPHS[name],
            messages=[("note", f"note {n}") for n in range(chance.choice((3, 4)))] if name == "mailed" else (),
            input=Sheet(items=list(range(chance.randint(0, 4)))),
            answers=ANSWERS,
            rivals=chance.choice((None, RIVALS)),
            cancel=chance.random() < 0.2,
        )
        for name in names
    ]
