"""`Engine`: what users hold to start runs and to find them. It drives them over one store.

Who drives: an engine drives a run that it started, or on which this process calls `wait`, `result`, `resume` or
`retry`, if nobody else owns it. Everything else only reads, or appends an answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar, overload

from orchestra_graph.clock import Clock, SystemClock
from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import BadInput, UnknownGraph, UnknownRun
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.policies import Limits
from orchestra_graph.ids import new_run_key
from orchestra_graph.runtime.blobs import log_row
from orchestra_graph.runtime.fleet import Fleet
from orchestra_graph.runtime.hooks import Hook
from orchestra_graph.runtime.outcomes import Outcome
from orchestra_graph.runtime.retention import USUALLY, prune
from orchestra_graph.runtime.run import Run
from orchestra_graph.runtime.starting import accept_input, check_name, check_same_start
from orchestra_graph.runtime.worker import Worker
from orchestra_graph.state.schema import State
from orchestra_graph.store import open_store
from orchestra_graph.store.base import NewRun, Store
from orchestra_graph.store.keys import Keys
from orchestra_graph.store.patience import to_the_end

__all__ = ["Engine", "Run"]

S = TypeVar("S", bound=State)
Durability = Literal["normal", "full"]


class Engine(Fleet):
    """Runs graphs, and keeps their runs in a database. Used as ``async with Engine(url, graphs=[...]) as engine:``.

    Leaving the block lets go of every run: what is being written is finished, what was interrupted starts again
    wherever the run is resumed.

    Args:
        url: ``sqlite:///path.db``; None keeps runs in memory, for as long as the engine lives. Or a store that was made
            before, and is not open: a test brings its own (see `orchestra_graph.testing`).
        graphs: The graphs whose runs it may drive. They are compiled on entering.
        resources: What nodes with a `Resource` parameter get: objects found by type, or a mapping of names. Whether
            all are there is checked before a run is driven: to read or to answer, none is needed. What a function
            made with ``@asynccontextmanager`` or ``@contextmanager`` gives is opened and closed with the engine, and
            the value that it yields is the resource.
        limits: How far each run may go where its start does not say otherwise.
        durability: ``"normal"`` survives the death of the process, ``"full"`` a power loss, too. Answers and
            irreversible nodes are always written as with ``"full"``.
        hooks: Functions, sync or async, that are told every `events.RunEvent` of the runs that this engine drives,
            once it is durable, in order. What they raise is logged; no run waits for them or fails by them.
        concurrency: How many nodes of one run may run at once.
        threads: How many sync nodes may run at once, in all runs; 0: they run in the event loop, one at a time.
        max_claims: How many processes that drive a run may die in a row, with nothing done in between, before it is
            left alone as *dead*; `Run.retry` revives it.
        lease: How many seconds after its last sign of life this engine is taken for dead, and its runs are taken over;
            where the store knows by leases, and not by a lock of this machine.
        keys: What values are encrypted with in the database; None: they are not.
        clock: Tells the time.
    """

    def __init__(
        self,
        url: str | Store | None = None,
        *,
        graphs: Iterable[Graph[Any]] = (),
        resources: Iterable[Any] | Mapping[str, Any] = (),
        limits: Limits | None = None,
        durability: Durability = "normal",
        hooks: Iterable[Hook] = (),
        concurrency: int = 256,
        threads: int = 40,
        max_claims: int = 5,
        lease: float = 30.0,
        keys: Keys | None = None,
        clock: Clock | None = None,
    ):
        clock = clock or SystemClock()
        super().__init__(
            open_store(url, durability=durability, clock=clock, lease=lease, keys=keys),
            graphs=graphs,
            resources=resources,
            limits=limits,
            hooks=hooks,
            concurrency=concurrency,
            threads=threads,
            max_claims=max_claims,
            clock=clock,
        )

    async def __aenter__(self) -> Engine:
        await self._enter()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._open.__aexit__(*exc)

    # -- runs ---------------------------------------------------------------------------------------

    async def start(
        self,
        graph: Graph[S],
        state: S,
        /,
        *,
        key: str | None = None,
        limits: Limits | None = None,
        pinned: bool = False,
        drive: bool = True,
    ) -> Run[S]:
        """Start a run, and drive it.

        Args:
            graph: The graph.
            state: What it starts with.
            key: A name for the run. The same key gives the same run again, however often this is called.
            limits: How far it may go.
            pinned: Only code with exactly this version of the graph may drive it, whatever else would fit.
            drive: Whether this engine drives it; False leaves that to a worker (`work`), or to whoever waits for it.

        Raises:
            GraphError: The graph is declared wrong.
            BadInput: *state* does not fit.
            RunKeyTaken: The key belongs to a run of another graph, or with another input.
        """
        plan = self._plan(graph)
        if drive:
            self._resources.check(plan)
        began, fragments = accept_input(plan, state, self.clock.now(), limits or self.limits or plan.limits)
        logged = log_row(0, began, fragments)
        new = NewRun(
            key=check_name("the key", key) if key else new_run_key(graph.name),
            graph=plan.name,
            version=plan.version,
            fingerprint=plan.fingerprint,
            shape=json.dumps(plan.shape),
            body=logged.row.body,
            blobs=logged.blobs,
            at=began.at,
            pinned=pinned,
        )
        row, created = await to_the_end(self._create(plan, new, began, drive=drive))
        if not created:
            await check_same_start(self.store, row, plan, state, fragments, pinned=pinned)
        return Run(self, row, graph)

    @overload
    async def get(self, key: str, /) -> Run[State]: ...
    @overload
    async def get(self, key: str, graph: Graph[S], /) -> Run[S]: ...
    async def get(self, key: str, graph: Graph[Any] | None = None, /) -> Run[Any]:
        """The run with this key. Reads only.

        Raises:
            UnknownRun: There is none.
            UnknownGraph: It is a run of another graph than *graph*.
        """
        row = await self.store.find(key)
        if row is None:
            raise UnknownRun(key, self.store.url, [r.key for r in await self.store.runs(limit=200)])
        if graph is not None:
            self._plan(graph)
            if row.graph != graph.name:
                raise UnknownGraph(row.graph, [graph.name])
        return Run(self, row, graph or self._graphs.get(row.graph))

    async def find(
        self,
        *,
        status: RunStatus | Sequence[RunStatus] = (),
        graph: Graph[Any] | str | None = None,
        key: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[Run[State]]:
        """Runs, the newest first, page by page.

            page = await engine.find(status="failed")
            while page:
                ...
                page = await engine.find(status="failed", after=page[-1].key)

        Runs that are started meanwhile are newer than any page but the first, so none is met twice or left out.

        Args:
            status: Only these.
            graph: Only of this graph.
            key: Only those whose key begins so.
            since: Only those started at this time or later: an aware datetime, or seconds since the epoch.
            until: Only those started before this time.
            after: The key of the last run of the page before.
            limit: How many make a page.

        Raises:
            UnknownRun: There is no run with the key *after*.
            BadInput: A datetime says nothing about its time zone.
        """
        rows = await self.store.runs(
            status=(status,) if isinstance(status, str) else status,
            graph=graph.name if isinstance(graph, Graph) else graph,
            key=key or None,
            since=_moment("since", since),
            until=_moment("until", until),
            after=None if after is None else await self._number(after),
            limit=limit,
        )
        return [Run(self, row, self._graphs.get(row.graph)) for row in rows]

    async def _number(self, key: str) -> int:
        row = await self.store.find(key)
        if row is None:
            raise UnknownRun(key, self.store.url, [r.key for r in await self.store.runs(limit=200)])
        return row.number

    async def cancel(self, key: str, /) -> None:
        """Cancel the run with this key; see `Run.cancel`.

        Raises:
            UnknownRun: There is none.
            RunEnded: It has ended before.
        """
        await (await self.get(key)).cancel()

    async def work(self, *, poll: float = 1.0, most: int = 100, until_idle: bool = False) -> None:
        """Drive every run of this engine's graphs that can move and that nobody drives, until this is cancelled.

        These are runs whose engine died or let them go, and runs that wait and to which somebody has said something, or
        whose time has come. Any number of engines may do so on one database. Who cancels this, or leaves the engine,
        loses nothing: what is driven goes on until the engine is left, and is let go then.

        Args:
            poll: Look after so many seconds, though nobody has said that there is something to see. A question that
                expires is noticed by that.
            most: Drive at most so many runs at once.
            until_idle: Return when nothing is left to be done.
        """
        await Worker(self, poll=poll, most=most).go(until_idle=until_idle)

    async def prune(
        self,
        *,
        older_than: timedelta,
        status: RunStatus | Sequence[RunStatus] = USUALLY,
        graph: Graph[Any] | str | None = None,
    ) -> int:
        """Remove old runs for good, with all that belongs to them; in small transactions, so nobody is held up.

        A run that is running, or that anybody drives, is never removed. A fork does not need its origin.

        Args:
            older_than: Only runs whose status has not changed for longer than this.
            status: Only runs with one of these.
            graph: Only runs of this graph.

        Returns:
            How many were removed.

        Raises:
            BadInput: Runs that are running were asked for, or a time that is to come.
        """
        if older_than < timedelta(0):
            raise BadInput(f"older_than={older_than!r} is less than nothing:   older_than=timedelta(days=30)")
        now = self.clock.now()
        pruned = await prune(
            self.store,
            before=now - older_than.total_seconds(),
            now=now,
            status=(status,) if isinstance(status, str) else status,
            graph=graph.name if isinstance(graph, Graph) else graph,
        )
        return pruned.runs

    @overload
    async def gather(self, *runs: Run[S], timeout: float | None = None) -> list[Outcome[S]]: ...  # noqa: ASYNC109
    @overload
    async def gather(self, *runs: Run[Any], timeout: float | None = None) -> list[Outcome[Any]]: ...  # noqa: ASYNC109
    async def gather(self, *runs: Run[Any], timeout: float | None = None) -> list[Outcome[Any]]:  # noqa: ASYNC109
        """Drive many runs until all of them rest, and say how each does, in the order given.

        Args:
            runs: The runs; of this engine.
            timeout: Give up after so many seconds; the runs go on.

        Raises:
            TimeoutError: Not all of them rested in time.
            GraphChanged: One of the runs cannot go on with the code's graph. The others do.
        """
        waiting = [asyncio.ensure_future(run.wait()) for run in runs]
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.gather(*waiting)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def _moment(name: str, at: datetime | float | None) -> float | None:
    if not isinstance(at, datetime):
        return at
    if at.tzinfo is None:
        raise BadInput(f"{name}={at!r} says nothing about its time zone:   {name}=at.replace(tzinfo=UTC)")
    return at.timestamp()
