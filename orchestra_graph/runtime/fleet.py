"""The runs that one engine drives: who takes one over, who lets it go, and what is open meanwhile.

Rule 1. A run is driven once in a process, however many handles there are to it.
Rule 2. What begins to be taken over is taken over, or released again, whoever is cancelled meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from contextvars import copy_context
from dataclasses import replace
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from orchestra_graph.clock import Clock
from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.run import RunState
from orchestra_graph.errors import RunEnded, RunOwned, StoreError
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import Limits
from orchestra_graph.runtime.cancelling import ask_to_cancel, cancel_stored, until_moved
from orchestra_graph.runtime.code_version import codes_of
from orchestra_graph.runtime.driver import Drive
from orchestra_graph.runtime.fork import Fork
from orchestra_graph.runtime.hooks import Hook, Hooks
from orchestra_graph.runtime.invoke import Invoker
from orchestra_graph.runtime.live import SPEAK, Live
from orchestra_graph.runtime.load import Behind, Loaded, load_run
from orchestra_graph.runtime.moving import carry_over, check_goes_on
from orchestra_graph.runtime.parking import park
from orchestra_graph.runtime.resources import Resources
from orchestra_graph.runtime.starting import check_pinned
from orchestra_graph.runtime.threads import Threads
from orchestra_graph.runtime.watching import Watcher
from orchestra_graph.store.base import Append, Fenced, LogRow, NewRun, RunRow, Store
from orchestra_graph.store.patience import to_the_end

__all__ = ["Driven", "Fleet"]

_Want: TypeAlias = Callable[[RunState], ev.Event]


class Driven:
    """A run that this engine drives."""

    __slots__ = ("drive", "task")

    def __init__(self, drive: Drive, task: asyncio.Task[RunStatus]):
        self.drive, self.task = drive, task


class Fleet:
    """What an `Engine` has of its runs; see there for the arguments.

    Attributes:
        clock: Tells the time.
        store: Where the runs are.
        live: What their nodes say while they run.
        limits: How far a run may go where nothing else is said.
        max_claims: How many owners of a run may die in a row before it is left alone.
    """

    def __init__(
        self,
        store: Store,
        *,
        graphs: Iterable[Graph[Any]],
        resources: Iterable[Any] | Mapping[str, Any],
        limits: Limits | None,
        hooks: Iterable[Hook],
        concurrency: int,
        threads: int,
        max_claims: int,
        clock: Clock,
    ):
        self.clock, self.store, self.limits, self.max_claims = clock, store, limits, max_claims
        self.live = Live()
        self._graphs = {graph.name: graph for graph in graphs}
        self._resources = Resources(resources)
        self._threads = Threads(threads)
        self._hooks = Hooks(hooks, store, self.live)
        self._watcher = Watcher(store)
        self._concurrency = concurrency
        self._driving: dict[int, Driven] = {}
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._ours: set[int] = set()
        self._dropped: dict[int, RunRow] = {}  # not driven any more, for the store failed, and maybe still owned
        self._open = AsyncExitStack()

    async def _enter(self) -> None:
        """Compile, open the store, then the resources."""
        for graph in self._graphs.values():
            graph.compile()
        self.store.lost = self._lose
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self.store)
            await self._resources.open(opened)
            opened.push_async_callback(self._hooks.close)
            opened.push_async_callback(self._stop)
            self._open = opened.pop_all()

    async def _stop(self) -> None:
        """Let go of every run."""
        for driven in self._driving.values():
            driven.drive.stop()
        await asyncio.gather(*(d.task for d in self._driving.values()), return_exceptions=True)
        await self._watcher.close()
        self._threads.close()

    def _lose(self, runs: Collection[int]) -> None:
        """Somebody else may own these runs now."""
        for number in runs:
            driven = self._driving.get(number)
            if driven is not None:
                driven.drive.lose()

    # -- driving ------------------------------------------------------------------------------------

    async def _create(
        self, plan: Plan, new: NewRun, began: ev.RunStarted, *, drive: bool = True
    ) -> tuple[RunRow, bool]:
        """Create a run, and drive it or leave it to others; or find the one that has its key."""
        try:
            row, created = await self.store.create(new)
        except StoreError:
            await self._look_for(new.key)
            raise
        if created:
            run = RunState.of(plan)
            evolve(run, began)
            self._hooks.written(row, [LogRow(0, new.kind, new.at, new.body)])
            if not drive:
                await self._release(row)
                return row, created
            self._drive(plan, row, row.epoch, Loaded(run, Behind()), status="running")
        return row, created

    async def _fork(self, plan: Plan, fork: Fork, *, drive: bool) -> tuple[RunRow, bool]:
        """Create a fork and drive it, or find the run that has its key."""
        row, created = await self.store.create(fork.new)
        if created:
            self._hooks.written(row, [fork.row])
            if not drive:
                await self._release(row)
            elif row.fingerprint == plan.fingerprint:
                self._drive(plan, row, row.epoch, fork.loaded, status="running")
            else:
                await self._taken(row, plan, None, None)
        return row, created

    def _plan(self, graph: Graph[Any]) -> Plan:
        known = self._graphs.setdefault(graph.name, graph)
        plan = graph.compile()
        if known is not graph:
            self._graphs[graph.name] = graph
        return plan

    def _drive(
        self,
        plan: Plan,
        row: RunRow,
        epoch: int,
        loaded: Loaded,
        first: ev.Event | None = None,
        status: RunStatus | None = None,
    ) -> Driven:
        invoker = Invoker(plan, row.key, self._resources, self._threads)
        drive = Drive(
            self.store,
            row,
            epoch,
            loaded,
            invoker,
            self._watcher,
            clock=self.clock,
            most=self._concurrency,
            status=status,
        )
        if self._hooks.any:
            drive.scribe.on_durable = lambda rows: self._hooks.written(row, rows)
        if first is not None:
            drive.put(first)
        context = copy_context()  # every task and thread of the run goes on from it
        context.run(SPEAK.set, self.live.speaker(row.number, self.clock))
        task = asyncio.create_task(drive.go(), name=f"run {row.key}", context=context)
        driven = self._driving[row.number] = Driven(drive, task)
        driven.task.add_done_callback(lambda task: self._rests(row, driven))
        self._ours.add(row.number)
        self._dropped.pop(row.number, None)
        return driven

    def _rests(self, row: RunRow, driven: Driven) -> None:
        if self._driving.get(row.number) is driven:
            del self._driving[row.number]
            self._hooks.rests(row.number)
        # What was raised is raised to whoever waits; nobody has to.
        failed = driven.task.cancelled() or driven.task.exception() is not None
        if failed or driven.drive.scribe.lost:
            self._dropped[row.number] = row

    async def _take(
        self, row: RunRow, plan: Plan, want: _Want | None = None, known: Loaded | None = None
    ) -> Driven | None:
        """Drive a run, from wherever it stands; None where there is nothing to drive.

        Args:
            row: The run.
            plan: Its graph.
            want: What is to happen to it, seen its state; may refuse. It just goes on where this is left out.
            known: Its state as it was read just now; nobody else's from now on.
        """
        # Whoever is cancelled here would leave a run behind that is owned and that nobody drives.
        return await to_the_end(self._taken(row, plan, want, known))

    async def _taken(self, row: RunRow, plan: Plan, want: _Want | None, known: Loaded | None) -> Driven | None:
        number, lock = row.number, self._locks.setdefault(row.number, asyncio.Lock())
        async with lock:
            while (driven := self._driving.get(number)) is not None:
                if not driven.drive.over:
                    if want is not None:
                        driven.drive.put(want(driven.drive.run))
                    return driven
                await asyncio.wait([driven.task])
            self._resources.check(plan)
            check_pinned(plan, row)
            await check_goes_on(self.store, plan, row)
            try:
                row = await self.store.claim(number)
            except StoreError:  # maybe it was done all the same
                self._dropped[number] = row
                raise
            epoch = row.epoch
            try:
                row, loaded = await self._loaded(plan, row, known)
                if row.claims > self.max_claims and want is None and loaded.run.status == "running":
                    self._hooks.written(row, await park(self.store, row, loaded.run, self.clock.now()))
                    self._hooks.rests(number)
                    return None
                first = self._go_on(loaded.run) if want is None else want(loaded.run)
            except Fenced:  # whoever owns it now drives it
                return None
            except BaseException:
                with suppress(StoreError):
                    await self._release(row)
                raise
            if first is None:
                await self._release(row)
                return None
            return self._drive(plan, row, epoch, loaded, first)

    async def _loaded(self, plan: Plan, row: RunRow, known: Loaded | None) -> tuple[RunRow, Loaded]:
        """The state of a run that is ours now; where it has another form than the code, it goes on with that."""
        if row.fingerprint == plan.fingerprint:
            fits = known is not None and known.run.plan is plan
            return row, await load_run(self.store, plan, row, known if fits else None)
        loaded, logged = await carry_over(self.store, plan, row, self.clock.now())
        if logged is not None:
            row = replace(row, version=plan.version, fingerprint=plan.fingerprint)
            self._hooks.written(row, [logged])
        return row, loaded

    async def _release(self, row: RunRow) -> None:
        try:
            with suppress(Fenced):  # it is not ours to release any more
                await self.store.append(Append(run=row.number, epoch=row.epoch, release=True))
        except StoreError:
            self._dropped[row.number] = row
            raise

    async def _look_for(self, key: str) -> None:
        """Let the worker see to a run that may have been created, though the store did not say so."""
        with suppress(StoreError):
            row = await self.store.find(key)
            if row is not None and row.status == "running":
                self._dropped[row.number] = row

    def _go_on(self, run: RunState) -> ev.Event | None:
        engine = f"process {os.getpid()} on {platform.node()}"
        return (
            ev.RunResumed(at=self.clock.now(), engine=engine, code=codes_of(run.plan))
            if run.status == "running"
            else None
        )

    async def _cancel(self, row: RunRow) -> Driven | None:
        """End a run; where this engine drives it, it is about to end. Another one is asked, and waited for."""
        asked = False
        while True:
            try:
                return await to_the_end(self._cancelled(row))
            except RunEnded as error:
                if asked and error.status == "cancelled":
                    return None
                raise
            except (RunOwned, Fenced):
                if not asked:
                    await ask_to_cancel(self.store, row, self.clock.now())
                asked = True
                await until_moved(self.store, row)

    async def _cancelled(self, row: RunRow) -> Driven | None:
        number, lock = row.number, self._locks.setdefault(row.number, asyncio.Lock())
        async with lock:
            while (driven := self._driving.get(number)) is not None:
                if not driven.drive.over:
                    status = driven.drive.run.status
                    if status in ("done", "cancelled"):
                        raise RunEnded(row.key, status, "be cancelled")
                    driven.drive.put(ev.RunCancelled(at=self.clock.now()))
                    return driven
                await asyncio.wait([driven.task])
            rows = await cancel_stored(self.store, row, self.clock.now())
            self._hooks.written(row, rows)
            self._hooks.rests(number)
            return None
