"""Nodes that end when the test says so, and in its order: for tests of what runs side by side.

A node made by a `Stage` writes its id to ``log``. Everything that a test waits for is an event, so it is as fast as the
engine, and the same on every store.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from orchestra_graph import Context, Engine, Graph, Node, Run, State, append, later, node

from .common import until

__all__ = ["Board", "Stage", "ids", "ran"]


class Board(State):
    """What the tests of joins, races, limits and errors write to."""

    log: Annotated[list[str], append] = []
    items: list[str] = ["a", "b", "c"]
    groups: list[list[str]] = [["a", "b"], ["c"]]
    verdict: str = later()
    ok: bool = False
    n: int = 0


class Stage:
    """Makes nodes that wait for the test.

    Attributes:
        began: The ids of the activations that have begun, in order; one that is tried again stands here twice.
        cancelled: Those that were cancelled while they waited.
    """

    def __init__(self) -> None:
        self.began: list[str] = []
        self.cancelled: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._errors: dict[str, BaseException] = {}

    def node(self, name: str, **options: Any) -> Node[Any]:
        """A node that ends, or fails, when the test lets it."""

        @node(writes="log", name=name, **options)
        async def wait(ctx: Context) -> str:
            await self.wait(ctx)
            return ctx.id

        return wait

    def nodes(self, *names: str) -> list[Node[Any]]:
        return [self.node(name) for name in names]

    async def wait(self, ctx: Context) -> None:
        """What such a node does."""
        self.began.append(ctx.id)
        try:
            await self._gate(ctx.id).wait()
        except asyncio.CancelledError:
            self.cancelled.append(ctx.id)
            raise
        self._gate(ctx.id).clear()
        if ctx.id in self._errors:
            raise self._errors.pop(ctx.id)

    def _gate(self, identity: str) -> asyncio.Event:
        return self._gates.setdefault(identity, asyncio.Event())

    def let(self, *identities: str) -> None:
        """Let these end as soon as they have begun."""
        for identity in identities:
            self._gate(identity).set()

    async def end(self, run: Run[Any], *identities: str) -> None:
        """Let these end one after the other: each has begun, and what follows from its end, before the next one."""
        for identity in identities:
            await self.begins(identity)
            self.let(identity)
            await until(partial(_settled, run, identity))

    async def fail(self, run: Run[Any], identity: str, error: BaseException | None = None) -> None:
        """Let an activation fail."""
        self._errors[identity] = error or ValueError(f"no {identity}")
        await self.end(run, identity)

    async def begins(self, *identities: str) -> None:
        """Wait until these have begun."""
        for identity in identities:
            await until(partial(self.began.count, identity))


def _settled(run: Run[Any], identity: str) -> bool:
    """Whether an activation has ended; no join is to be asked about that any more, and nobody is to be cancelled."""
    driven = run._engine._driving.get(run._row.number)
    if driven is None:
        return True
    drive, state = driven.drive, driven.drive.run
    activation = state.live.get(identity)
    if drive._inbox or (activation is not None and activation.status == "running"):
        return False
    if any(other not in state.live for other in drive._tasks):
        return False
    return not state.undecided or state.halt is not None


def ids(record: Any, *status: str) -> list[str]:
    """The activations of a record that have one of these statuses."""
    return [a.id for a in record.activations if a.status in status]


def note(name: str, **options: Any) -> Node[Any]:
    """A node that writes its id at once."""

    @node(writes="log", name=name, **options)
    async def work(ctx: Context) -> str:
        return ctx.id

    return work


async def ran(graph: Graph[Any], state: State | None = None, url: str | None = None) -> list[str]:
    """Run a graph to its end, and give its log."""
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, state or Board())
        log: list[str] = (await run.result()).log
        return log
