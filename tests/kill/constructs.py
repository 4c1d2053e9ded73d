"""One small graph for each construct. Every node leaves a line, and adds its name to a log in the state.

Whatever depends on who is first is decided by construction: who must lose waits for ever, or has several nodes to go
while the other has one. So a run has the same end however often it is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from orchestra_graph import (
    END,
    Cache,
    Context,
    Graph,
    Item,
    Node,
    Question,
    Replace,
    Retry,
    State,
    add,
    all_of,
    append,
    ask,
    batches,
    each_one,
    first,
    node,
    until,
    zipped,
)
from orchestra_graph.graph.policies import JoinRule
from tests.kill.flow import note

__all__ = ["CONSTRUCTS", "Sheet", "graph_of"]


class Sheet(State):
    effects: Path
    log: Annotated[list[str], append] = []
    turn: Annotated[int, add] = 0
    items: list[int] = [0, 1, 2]
    agreed: bool = False


class Refused(Exception):
    """What a node raises that is to fail."""


def step(name: str, *, waits: bool = False) -> Node[Any]:
    """A node that leaves its line; one that *waits* is there until it is withdrawn."""

    @node(writes="log", name=name)
    async def work(effects: Path, ctx: Context) -> str:
        note(effects, ctx)
        if waits:
            await asyncio.Event().wait()
        return name

    return work


def failing(name: str, retry: Retry | None = None) -> Node[Any]:
    @node(writes="log", name=name, retry=retry)
    async def work(effects: Path, ctx: Context) -> str:
        note(effects, ctx)
        raise Refused(name)

    return work


@node(writes="turn")
async def turn(effects: Path, ctx: Context) -> int:
    note(effects, ctx)
    return 1


@node(writes="log")
async def item(effects: Path, n: Item[int], ctx: Context) -> str:
    note(effects, ctx)
    return f"item {n}"


@ask(writes="agreed")
def agree() -> Question[bool]:
    return Question("Go on?")


def thrice(turn: int) -> bool:
    return turn < 3


def sheet(name: str) -> Graph[Sheet]:
    return Graph(Sheet, name=name)


def joined(name: str, rule: JoinRule) -> Graph[Sheet]:
    """A short branch and a long one meet."""
    graph = sheet(name)
    short, long, join = step("short"), [step(f"long{i}") for i in range(3)], step("join")
    graph.start([short, long[0]])
    graph.chain(*long, join)
    graph.edge(short, join)
    graph.edge(join, step("after"))
    graph.join(join, rule)
    return graph


def shortened(name: str, rule: JoinRule) -> Graph[Sheet]:
    """The same, where the long branch never ends by itself."""
    graph = sheet(name)
    short, slow, join = step("short"), step("slow", waits=True), step("join")
    graph.start([short, slow])
    graph.edge([short, slow], join)
    graph.edge(join, step("after"))
    graph.join(join, rule)
    return graph


def logged(log: list[str]) -> bool:
    return "short" in log


def in_batches() -> Graph[Sheet]:
    graph = sheet("batches")
    begin, collect = step("begin"), step("collect")
    graph.start(begin)
    graph.each(begin, "items", item, collect=collect)
    graph.join(collect, batches(2))
    return graph


def raced() -> Graph[Sheet]:
    """A node, a question and a node that never ends, in every turn of a loop."""
    graph = sheet("race")
    fork, fast, slow = step("fork"), step("fast"), step("slow", waits=True)
    others = [step("after_slow"), step("after_agree")]
    graph.start(fork)
    graph.edge(fork, [fast, slow, agree])
    graph.race(fast, slow, agree)
    graph.edge(slow, others[0])
    graph.edge(agree, others[1])
    graph.edge([fast, *others], turn)
    graph.edge(turn, fork, when=thrice)
    graph.edge(turn, step("end"), otherwise=True)
    return graph


def on_error() -> Graph[Sheet]:
    """A failure with another attempt, of which the second fails for good; beside it somebody is at work."""

    @node(writes="log")
    async def mend(effects: Path, ctx: Context) -> str:
        note(effects, ctx)
        return f"mended {ctx.error.message if ctx.error else '-'}"

    graph = sheet("on error")
    fail, beside = failing("fail", Retry(attempts=2, delay=0.001, on=(Refused,))), step("beside")
    graph.start([fail, beside])
    graph.edge(fail, END)
    graph.edge(fail, step("other"), on_error=ValueError)
    graph.edge(fail, mend, on_error=(LookupError, Refused))
    graph.edge([mend, beside], step("after"))
    return graph


def excused() -> Graph[Sheet]:
    """One of two branches fails for good, and is not needed."""
    graph = sheet("excused")
    join, fail, good = step("join"), failing("fail"), [step("good"), step("better")]
    graph.start([fail, good[0]])
    graph.chain(*good, join)
    graph.edge(fail, join)
    graph.join(join, first(1))
    graph.edge(join, step("after"))
    return graph


def limited(name: str, **limits: int) -> Graph[Sheet]:
    """A loop that a limit ends, in the middle of a turn of two branches."""
    graph = sheet(name)
    left, right, fallback = step("left"), step("right"), step("fallback")
    graph.start(turn)
    graph.edge(turn, [left, right])
    graph.edge([left, right], turn)
    graph.limit(turn, then=fallback, **limits)
    graph.edge(fallback, step("after"))
    return graph


def limited_as_a_whole() -> Graph[Sheet]:
    """A limit of the graph itself, which withdraws whatever is at work anywhere."""
    graph = sheet("limit of the graph")
    fallback = step("fallback")
    graph.start([turn, step("slow", waits=True)])
    graph.edge(turn, turn, when=few)
    graph.edge(turn, step("end"), otherwise=True)
    graph.limit(steps=3, then=fallback)
    return graph


def terminated(status: Any) -> Graph[Sheet]:
    graph = sheet(f"terminate {status}")
    begin, stop = step("begin"), step("stop")
    graph.start(begin)
    graph.edge(begin, [stop, step("slow", waits=True), agree])
    graph.edge(agree, step("after"))
    graph.terminate(stop, status=status)
    return graph


class Part(State):
    """A graph in a graph: the log is the one outside, the rest its own."""

    effects: Path
    log: Annotated[list[str], append] = []
    size: int
    made: Annotated[int, add] = 0
    agreed: bool = False


@node(writes="made")
async def count(effects: Path, size: int, ctx: Context) -> int:
    note(effects, ctx)
    return size


def part(name: str) -> Graph[Part]:
    """Two side by side, and a third that ends it while a fourth is at work."""
    graph = Graph(Part, name=name)
    one, stop = step("one"), step("stop")
    graph.start(count)
    graph.edge(count, [one, step("lazy", waits=True)])
    graph.edge(one, stop)
    graph.terminate(stop)
    return graph


def nested_in_a_loop() -> Graph[Sheet]:
    graph = sheet("graph in a loop")
    inner = graph.add(part("part"), inputs={"size": "turn"}, outputs={"made": "turn"})
    graph.start(turn)
    graph.edge(turn, inner)
    graph.edge(inner, turn, when=few)
    graph.edge(inner, step("after"), otherwise=True)
    return graph


def few(turn: int) -> bool:
    return turn < 5


class Element(State):
    """A graph for one element of a list."""

    effects: Path
    log: Annotated[list[str], append] = []
    subject: Item[int]
    parts: list[int] = [7, 8]
    seen: str = ""


@node(writes="seen")
async def look(effects: Path, subject: int, ctx: Context) -> str:
    note(effects, ctx)
    return f"seen {subject}"


@node(writes="log")
async def keep(effects: Path, seen: str, ctx: Context) -> str:
    note(effects, ctx)
    return seen


@node(writes="log")
async def inside(effects: Path, n: Item[int], ctx: Context) -> str:
    note(effects, ctx)
    return f"inside {n}"


def nested_in_an_each() -> Graph[Sheet]:
    """In each graph there is an each of its own, too."""
    inner = Graph(Element, name="element")
    inner.start(look)
    inner.each(look, "parts", inside, collect=keep)
    graph = sheet("graph in an each")
    begin, collect = step("begin"), step("collect")
    graph.start(begin)
    graph.each(begin, "items", inner, collect=collect, limit=2)
    return graph


def each_in_each() -> Graph[Sheet]:
    graph = sheet("nested each")
    begin, middle, last = step("begin"), step("middle"), step("last")

    @node(writes="log")
    async def outer(effects: Path, n: Item[int], ctx: Context) -> str:
        note(effects, ctx)
        return f"outer {n}"

    graph.start(begin)
    graph.each(begin, "items", outer, collect=last)
    graph.each(outer, "items", item, collect=middle, limit=2)
    graph.edge(middle, last)
    return graph


def replaced() -> Graph[Sheet]:
    """A loop that keeps no more than three lines, beside a branch that adds one."""

    @node(writes="log")
    async def cut(effects: Path, log: list[str], turn: int, ctx: Context) -> str | Replace[list[str]]:
        note(effects, ctx)
        return f"turn {turn}" if len(log) < 3 else Replace([*log[-2:], f"cut {turn}"])

    graph = sheet("replace")
    beside, after = step("beside"), step("after")
    graph.start(turn)
    graph.edge(turn, [cut, beside])
    graph.edge([cut, beside], turn, when=thrice)
    graph.edge([cut, beside], after, otherwise=True)
    return graph


def cached() -> Graph[Sheet]:
    """A node that is run in the first turn, and whose result is used again in the others."""

    @node(writes="log", cache=Cache())
    async def costly(effects: Path, items: list[int], ctx: Context) -> str:
        note(effects, ctx)
        return f"of {len(items)}"

    graph = sheet("cache")
    graph.start(turn)
    graph.edge(turn, costly)
    graph.edge(costly, turn, when=thrice)
    graph.edge(costly, step("after"), otherwise=True)
    return graph


def broken(name: str) -> Graph[Part]:
    """A graph of which a node fails for good, while another one is at work and somebody is asked."""
    graph = Graph(Part, name=name)
    graph.start([count, step("lazy", waits=True), agree])
    graph.edge(count, failing("fail"))
    return graph


def nested_that_fails() -> Graph[Sheet]:
    """An edge of the graph outside takes what fails inside."""
    graph = sheet("graph that fails")
    inner = graph.add(broken("broken"), inputs={"size": "turn"})
    graph.start(inner)
    graph.edge(inner, step("never"))
    graph.edge(inner, step("mend"), on_error=Refused)
    graph.edge("mend", step("after"))
    return graph


def nested_in_a_race() -> Graph[Sheet]:
    """The graph wins, by a node that ends it; a question and a node that never ends lose."""
    graph = sheet("graph in a race")
    inner, slow = graph.add(part("part"), inputs={"size": "turn"}, outputs={"made": "turn"}), step("slow", waits=True)
    graph.start([inner, slow, agree])
    graph.race(inner, slow, agree)
    graph.edge([inner, slow], step("after"))
    return graph


def limited_in_time() -> Graph[Sheet]:
    """What never ends is cut off, with what has come to it."""
    graph = sheet("limit of seconds")
    first_of_all, slow = step("begin"), step("slow", waits=True)
    graph.start(first_of_all)
    graph.chain(first_of_all, slow)
    graph.limit(slow, seconds=0.05, then=step("fallback"))
    return graph


CONSTRUCTS: Mapping[str, Callable[[], Graph[Sheet]]] = {
    "all of": lambda: joined("all of", all_of()),
    "each one": lambda: joined("each one", each_one()),
    "first": lambda: joined("first", first()),
    "first, cancel the rest": lambda: shortened("first, cancel", first(cancel_rest=True)),
    "first of two": lambda: joined("first of two", first(2)),
    "until": lambda: joined("until", until(logged)),
    "until, cancel the rest": lambda: shortened("until, cancel", until(logged, cancel_rest=True)),
    "zipped": lambda: joined("zipped", zipped()),
    "batches": in_batches,
    "race": raced,
    "on error": on_error,
    "excused": excused,
    "limit of turns": lambda: limited("limit of turns", turns=2),
    "limit of steps": lambda: limited("limit of steps", steps=4),
    "limit of seconds": limited_in_time,
    "limit of the graph": limited_as_a_whole,
    "terminate": lambda: terminated("done"),
    "terminate, failed": lambda: terminated("failed"),
    "graph in a loop": nested_in_a_loop,
    "graph in an each": nested_in_an_each,
    "graph that fails": nested_that_fails,
    "graph in a race": nested_in_a_race,
    "nested each": each_in_each,
    "replace": replaced,
    "cache": cached,
}


@cache
def graph_of(name: str) -> Graph[Sheet]:
    """The graph of a construct; the same one each time."""
    return CONSTRUCTS[name]()
