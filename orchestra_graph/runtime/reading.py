"""`Reading`: everything about a run that can be looked at without moving it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Generic, TypeVar, cast

from orchestra_graph.core.record import RunRecord, RunStatus
from orchestra_graph.core.run import RunState
from orchestra_graph.errors import UnknownGraph, UnknownRun
from orchestra_graph.events import RunEvent
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.explain import Explanation, explain
from orchestra_graph.runtime.fleet import Fleet
from orchestra_graph.runtime.gone import told_when_gone
from orchestra_graph.runtime.history import Change, HistoryStep, changes_of, history_of, run_at, state_so_far
from orchestra_graph.runtime.invoke import Invoker
from orchestra_graph.runtime.load import Loaded, load_run
from orchestra_graph.runtime.mail import Message
from orchestra_graph.runtime.moving import check_goes_on
from orchestra_graph.runtime.outcomes import OpenQuestion
from orchestra_graph.runtime.records import record_of
from orchestra_graph.runtime.replay import Replay, replay_of
from orchestra_graph.runtime.stream import events_of
from orchestra_graph.runtime.telling import Cursor
from orchestra_graph.runtime.wellformed import reading
from orchestra_graph.state.schema import State
from orchestra_graph.store.base import RunRow

__all__ = ["Reading"]

S = TypeVar("S", bound=State)


class Reading(Generic[S]):
    """What can be read of a run; the base of `Run`.

    Attributes:
        key: Its name.
        graph: The name of its graph.
    """

    def __init__(self, engine: Fleet, row: RunRow, graph: Graph[S] | None):
        self._engine, self._row, self._graph = engine, row, graph
        self.key, self.graph = row.key, row.graph

    def __repr__(self) -> str:
        return f"<run {self.key} of {self.graph}>"

    # -- as it is -----------------------------------------------------------------------------------

    async def status(self) -> RunStatus:
        """How the run stands, by the database."""
        return (await self._now()).status

    async def _now(self) -> RunRow:
        row = await self._engine.store.find(self.key)
        if row is None:
            raise UnknownRun(self.key, self._engine.store.url)
        return row

    def _plan(self) -> Plan:
        graph = self._graph or self._engine._graphs.get(self.graph)
        if graph is None:
            raise UnknownGraph(self.graph, list(self._engine._graphs))
        return self._engine._plan(graph)

    async def _load(self) -> RunState:
        driven = self._engine._driving.get(self._row.number)
        if driven is not None:
            return driven.drive.run
        return (await self._stored(await self._now())).run

    @told_when_gone
    async def _stored(self, row: RunRow) -> Loaded:
        plan = self._plan()
        await check_goes_on(self._engine.store, plan, row)
        return await load_run(self._engine.store, plan, row)

    async def state(self) -> S:
        """The state so far: everything that has been written, merged. Fields that nothing was written to are unset."""
        return cast("S", state_so_far(await self._load()))

    @told_when_gone
    async def record(self) -> RunRecord:
        """What happened so far, as a table; needs no code."""
        return await record_of(self._engine.store, await self._now())

    async def questions(self) -> list[OpenQuestion]:
        """The questions that wait for an answer, the oldest first."""
        rows = await self._engine.store.questions(self._row.number)
        now = self._engine.clock.now()
        return [
            OpenQuestion.of(row, self._engine.store.url)
            for row in rows
            if row.expires_at is None or row.expires_at > now
        ]

    async def unread(self) -> list[Message]:
        """The messages that were sent to the run and that no node has taken, the oldest first."""
        rows = await self._engine.store.inbox(self._row.number)
        with reading(self._engine.store.url, "a message", self.key):
            return [Message.of(row) for row in rows if not row.channel.startswith("$")]

    @told_when_gone
    async def explain(self) -> Explanation:
        """Why it does not go on: what it waits for, and what to type next; needs no code. Printed, it is prose."""
        row = await self._now()
        return await explain(self._engine.store, row, self._engine.clock.now())

    # -- as it came to be ---------------------------------------------------------------------------

    def events(self, after: str | None = None, *, follow: bool = True) -> AsyncGenerator[RunEvent, None]:
        """What happens to the run, from its start or from any event on; live, and as often as wanted.

            async for event in run.events():
                if isinstance(event, events.NodeFinished): ...

        Whoever drives the run, in whatever process, and whether it still goes on: the durable events are the same, in
        the same order, with the same cursors. Read on with the cursor of the last event that you had, and none is
        missed and none comes twice. Nothing is driven by this, and no code of the graph is needed.

        It ends after a `events.RunEnded` behind which nothing stands in the log at that moment. (To see what a later
        retry does, read on from there once it was asked for.) While the run waits for a person, or nobody drives it,
        it stays open.

        `events.Emitted` and `events.Progress` are not stored: they come only to readers of the engine that drives the
        run, while it does.

        Args:
            after: The cursor of the last event that is known; None: from the start.
            follow: Wait for more. False: give what is there, and end.

        Raises:
            WrongCursor: *after* is no place in the events of this run.
        """
        cursor = None if after is None else Cursor.of(after, self._row)
        return events_of(self._engine.store, self._row, self._engine.live, after=cursor, follow=follow)

    @told_when_gone
    async def history(self) -> list[HistoryStep]:
        """Every step that the run has made: the rows of its log; needs no code."""
        return await history_of(self._engine.store, self._row)

    async def state_at(self, step: int, /) -> S:
        """The state right after a step: everything that had been written by then, merged, as `state` would have said.

        Args:
            step: The number of the step, as in `history`.

        Raises:
            UnknownStep: There is none with this number.
        """
        return cast("S", state_so_far(await self._at(step)))

    @told_when_gone
    async def _at(self, step: int) -> RunState:
        return await run_at(self._engine.store, await self._now(), self._plan(), step)

    async def reused(self) -> list[str]:
        """Of a fork: the activations that were not run, because their results stood in the log of the original.

        As ids, in the order in which they were taken; those before the fork are not among them. Empty for a run that is
        no fork.
        """
        steps = await self.history()
        forked = max((step.number for step in steps if step.what == "RunForked"), default=len(steps))
        return [step.id for step in steps[forked:] if step.reused is not None and step.id is not None]

    @told_when_gone
    async def replay(self) -> Replay:
        """Fold the log from its first row on, and compare with the snapshot, the status, and the choices in it.

        Nothing is written and no node is run; conditions and the other functions on edges are called once more. They
        give another answer than the one in the log where they are not pure, or their code has changed since.

        Raises:
            StoreBroken: The log cannot be read, or something in it cannot have happened.
            UnknownGraph: The engine was not given the graph of this run.
        """
        engine, plan = self._engine, self._plan()
        invoker = Invoker(plan, self.key, engine._resources, engine._threads)
        return await replay_of(engine.store, self._row, plan, invoker)

    async def diff(self, one: int, other: int, /) -> list[Change]:
        """Every field that is not the same after two steps; raises as `state_at` does."""
        return changes_of(await self.state_at(one), await self.state_at(other))
