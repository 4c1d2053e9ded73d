"""Conversations drawn at random: whatever comes when, each message is taken once, and the run comes to its end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Annotated, Any, Literal

import pytest

from orchestra_graph import (
    END,
    Context,
    Done,
    Engine,
    Graph,
    Item,
    Node,
    RunBusy,
    RunEnded,
    State,
    append,
    events,
    first,
    node,
    receive,
)

from .virtual import LoopClock, in_virtual_time

Busy = Literal["queue", "reject", "interrupt"]
BUSY: tuple[Busy, ...] = ("queue", "reject", "interrupt")


class Talk(State):
    said: Annotated[list[str], append] = []
    log: Annotated[list[str], append] = []
    parts: list[int] = [1, 2, 3]


def drawn(seed: int) -> Graph[Talk]:
    """A loop that begins with a message: branches, an `each`, a `first` that withdraws the rest, an inner loop."""
    chance = random.Random(seed)

    def work(name: str) -> Node[Any]:
        @node(name=name, writes="log")
        async def slow(ctx: Context) -> str:
            await asyncio.sleep(random.Random(f"{seed}/{ctx.id}").choice((0, 0.1, 1, 5)))
            return ctx.id

        return slow

    @node(name="part", writes="log")
    async def part(item: Item[int], ctx: Context) -> str:
        await asyncio.sleep(item / 3)
        return ctx.id

    hear = receive("user", str, writes="said", interrupts=True)
    graph = Graph(Talk, name="talk")
    graph.start(hear)
    before: Node[Any] = hear
    for number in range(chance.randrange(1, 4)):
        join = work(f"join{number}")
        kind = chance.choice(("line", "branches", "first", "each", "loop"))
        if kind == "line":
            graph.edge(before, join)
        elif kind == "each":
            graph.each(
                before, "parts", graph.add(part, name=f"part{number}"), collect=join, limit=chance.choice((1, 2))
            )
        elif kind == "loop":
            body = work(f"body{number}")
            graph.edge(before, body)
            graph.edge(body, body, when=lambda log: len(log) % 3 == 0)
            graph.edge(body, join, otherwise=True)
        else:
            branches = [work(f"b{number}_{i}") for i in range(chance.randrange(2, 4))]
            graph.edge(before, branches)
            graph.edge(branches, join)
            if kind == "first":
                graph.join(join, first(1, cancel_rest=True))
        before = join
    graph.edge(before, END, when=lambda said: "bye" in said)
    graph.edge(before, hear, otherwise=True)
    return graph


@pytest.mark.parametrize("seed", range(120))
def test_each_message_is_taken_once(seed: int) -> None:
    talk(seed)


@in_virtual_time
async def talk(seed: int) -> None:
    chance, sent = random.Random(f"{seed}/messages"), list[str]()
    graph = drawn(seed)
    async with Engine(graphs=[graph], clock=LoopClock()) as engine:
        run = await engine.start(graph, Talk(), key="t")

        async def say(number: int) -> None:
            await asyncio.sleep(chance.choice((0, 0.05, 0.5, 2, 10)) * chance.random())
            text = f"m{number}"
            try:
                await run.send("user", text, id=text, busy=chance.choice(BUSY))
                if chance.random() < 0.3:
                    await run.send("user", text, id=text)
                sent.append(text)
            except (RunBusy, RunEnded):
                return

        async with asyncio.timeout(3600):
            await asyncio.gather(*(say(number) for number in range(8)))
            await run.wait()
            await run.send("user", "bye")
            outcome = await run.wait()
        assert isinstance(outcome, Done), outcome
        assert Counter(outcome.state.said) == Counter([*sent, "bye"])
        assert await run.unread() == []
        done = [event.id async for event in run.events(follow=False) if isinstance(event, events.NodeFinished)]
        assert max(Counter(done).values()) == 1
        written = [event async for event in run.events(follow=False) if isinstance(event, events.NodeFinished)]
        taken = [event.message for event in written if event.message is not None]
        assert len(taken) == len(set(taken)) == len(sent) + 1
