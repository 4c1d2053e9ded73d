"""`Worker`: takes every run of an engine's graphs that can move, and that nobody drives.

Any number of these work on one database, in any number of processes and machines. They need not know of each other: of
two that want a run, the store lets one have it.

Rule 1. A run that cannot be driven is left alone, and said once: for good where only other code mends that, else for a
while, and longer each time.
Rule 2. Nothing that the store does ends a worker. It waits, and goes on.
Rule 3. It looks when something was written, when a run has ended, and when its poll interval is over; never more than
half of the time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Literal

from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import GraphChanged, GraphError, RunOwned, StoreError
from orchestra_graph.runtime.fleet import Driven, Fleet
from orchestra_graph.store.base import RunRow

__all__ = ["Tell", "Told", "Worker"]

_LOG = logging.getLogger("orchestra_graph.worker")
_GAP = 0.1  # between two looks for what others have written, in seconds
_FIRST_PAUSE = 0.1  # before a run is tried again; each one that follows doubles it
_LONGEST_PAUSE = 30.0
_PATIENCE = 3.0  # with pauses below this a run is still expected to go on: it is too early to say that all is done
_AT_ONCE = 32  # so many are taken side by side: their commits are one


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a worker says.

    Attributes:
        run: The key of the run.
        graph: Of the run.
        what: It was ``taken``, or ``rests``; it is tried again ``later``, or is ``left`` alone for good.
        status: How it rests; ``running`` where it was let go, or another engine has it.
        why: Why it is not driven.
    """

    run: str
    graph: str
    what: Literal["taken", "rests", "later", "left"]
    status: RunStatus | None = None
    why: str = ""

    def __str__(self) -> str:
        match self.what:
            case "taken":
                return f"{self.run} ({self.graph}) taken"
            case "rests":
                return f"{self.run} ({self.graph}) {'let go' if self.status == 'running' else self.status}"
            case "later":
                return f"{self.run} ({self.graph}) is tried again later: {self.why}"
            case "left":
                return f"{self.run} ({self.graph}) is left alone: {self.why}"


Tell = Callable[[Told], object]


@dataclass(slots=True)
class _Pause:
    """A run that is not to be tried before a certain time."""

    until: float  # by the event loop's clock
    length: float
    said: str = ""


class Worker:
    """Drives the runs of one engine, until it is cancelled.

    Args:
        fleet: The engine, entered.
        poll: Look after so many seconds, though nobody has said that there is something to see.
        most: Drive at most so many runs at once, those that the engine started itself among them.
        tell: Is told what happens, beside the log.
    """

    def __init__(self, fleet: Fleet, *, poll: float, most: int, tell: Tell | None = None):
        self._fleet, self._poll, self._most, self._tell = fleet, poll, most, tell
        self._wake = asyncio.Event()
        self._pauses: dict[int, _Pause] = {}
        self._refused: dict[int, tuple[str, str]] = {}  # by version and fingerprint: those of the run may change
        self._held = False  # something is only not tried at the moment
        self._failures = 0  # of the store, in a row

    async def go(self, *, until_idle: bool) -> None:
        """Work; with *until_idle* until there is nothing to do any more."""
        listening = asyncio.create_task(self._listen(), name="worker", context=Context())
        try:
            while not (await self._look() and until_idle):
                await self._rest()
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    # -- looking ------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Notice whatever is written, by whomever."""
        while True:
            try:
                if await self._fleet.store.changes(self._poll):
                    self._wake.set()
                    await asyncio.sleep(_GAP)
            except StoreError:
                await asyncio.sleep(self._poll)  # who looks says it

    async def _rest(self) -> None:
        """Wait until there may be something to do."""
        now = asyncio.get_running_loop().time()
        pauses = [pause.until - now for pause in self._pauses.values() if pause.until > now]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(_GAP, min([self._poll, *pauses]))):
                await self._wake.wait()
        self._wake.clear()

    async def _look(self) -> bool:
        """Take what there is to take; whether nothing is left to be done."""
        fleet, loop = self._fleet, asyncio.get_running_loop()
        room, began = self._most - len(fleet._driving), loop.time()
        if room <= 0:
            return False
        try:
            rows = await self._due(room)
            self._failures = 0
        except StoreError as error:
            await self._store_failed(error)
            return False
        taken = False
        for start in range(0, len(rows), _AT_ONCE):
            taken |= any(await asyncio.gather(*map(self._take, rows[start : start + _AT_ONCE])))
        if taken:
            self._wake.set()  # maybe there are more
        else:
            await asyncio.sleep(loop.time() - began)
        return not (fleet._driving or taken or self._held)

    async def _due(self, room: int) -> list[RunRow]:
        """Those to be tried now, at most *room* of them."""
        fleet, now = self._fleet, asyncio.get_running_loop().time()
        graphs = {graph.name: graph.compile().version for graph in fleet._graphs.values()}
        self._pauses = {n: pause for n, pause in self._pauses.items() if pause.until + _LONGEST_PAUSE > now}
        left_alone = len(self._refused) + len(self._pauses)  # must not keep the others from being seen
        found = await fleet.store.due(graphs, now=fleet.clock.now(), limit=room + left_alone)
        rows = {row.number: row for row in (*fleet._dropped.values(), *found)}
        pauses = [pause for number in rows if (pause := self._pauses.get(number)) is not None]
        self._held = any(pause.length < _PATIENCE for pause in pauses)
        return [row for row in rows.values() if self._may_try(row, now)][:room]

    def _may_try(self, row: RunRow, now: float) -> bool:
        if row.number in self._fleet._driving or row.graph not in self._fleet._graphs:
            return False
        if self._refused.get(row.number) == (row.version, row.fingerprint):
            return False
        pause = self._pauses.get(row.number)
        return pause is None or pause.until <= now

    async def _store_failed(self, error: StoreError) -> None:
        if not self._failures:
            _LOG.warning("the store does not say what there is to do; it is asked again: %s", error)
        self._failures += 1
        await asyncio.sleep(min(_FIRST_PAUSE * 2**self._failures, self._poll))

    # -- taking -------------------------------------------------------------------------------------

    async def _take(self, row: RunRow) -> bool:
        """Drive a run, if that can be; whether it is driven now."""
        fleet = self._fleet
        try:
            driven = await fleet._take(row, fleet._graphs[row.graph].compile())
        except RunOwned:  # somebody else was faster
            fleet._dropped.pop(row.number, None)
            self._pause(row, length=self._poll)
        except (GraphChanged, GraphError) as error:
            fleet._dropped.pop(row.number, None)
            self._refused[row.number] = (row.version, row.fingerprint)
            self._say(Told(run=row.key, graph=row.graph, what="left", why=str(error)))
        except Exception as error:
            self._pause(row, error)
        else:
            if driven is not None:
                self._follow(row, driven)
                return True
            await self._not_driven(row)
        return False

    def _follow(self, row: RunRow, driven: Driven) -> None:
        self._say(Told(run=row.key, graph=row.graph, what="taken"))
        driven.task.add_done_callback(lambda task: self._rests(row, task))

    def _rests(self, row: RunRow, task: asyncio.Task[RunStatus]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self._pause(row, error)
        else:
            status = task.result()
            if status == "running":
                self._pause(row)
            else:
                self._pauses.pop(row.number, None)
            self._say(Told(run=row.key, graph=row.graph, what="rests", status=status))
        self._wake.set()

    async def _not_driven(self, row: RunRow) -> None:
        """There was nothing to drive: it has ended, or has killed too many."""
        self._fleet._dropped.pop(row.number, None)
        self._pause(row)
        with suppress(StoreError):
            now = await self._fleet.store.find(row.key)
            if now is not None and now.status == "dead":
                self._say(Told(run=row.key, graph=row.graph, what="rests", status="dead"))

    # -- leaving alone ------------------------------------------------------------------------------

    def _pause(self, row: RunRow, error: BaseException | None = None, *, length: float | None = None) -> None:
        """Do not try a run for a while."""
        before, now = self._pauses.get(row.number), asyncio.get_running_loop().time()
        if length is None:
            length = _FIRST_PAUSE if before is None else min(2 * before.length, _LONGEST_PAUSE)
        said = "" if before is None else before.said
        if error is not None and said != str(error):
            said = str(error)
            self._say(Told(run=row.key, graph=row.graph, what="later", why=said or type(error).__name__))
        self._pauses[row.number] = _Pause(now + length, length, said)

    def _say(self, told: Told) -> None:
        _LOG.log(logging.WARNING if told.why else logging.INFO, "%s", told)
        if self._tell is not None:
            self._tell(told)
