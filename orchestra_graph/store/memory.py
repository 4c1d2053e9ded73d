"""The store for runs that nobody needs afterwards: `graph.run()` without a database, and tests.

It keeps the contract of `Store`, but for what only a file can do: other processes do not see it, and it has no SQL.
Its runs live as long as its `MemoryDatabase`; any number of stores may be open on one, each as an engine of its own, to
play a fleet in one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Self

from orchestra_graph.clock import Clock
from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import StoreClosed, StoreError
from orchestra_graph.ids import new_engine_id
from orchestra_graph.store.base import (
    Append,
    Fenced,
    LogRow,
    MessageRow,
    NewRun,
    QuestionRow,
    QuestionStatus,
    RunRow,
    Size,
    Snapshot,
    Transaction,
)
from orchestra_graph.store.changes import Changes
from orchestra_graph.store.memory_database import URL, MemoryDatabase
from orchestra_graph.store.rules import is_over

__all__ = ["MemoryStore"]

_BEATS = 3  # in each lease: two may be missed


class MemoryStore:
    """A `Store` that keeps runs in this process.

    Attributes:
        url: ``memory://``.
        database: Where the runs are. Another store on it is another engine.
        engine: The id of the engine while the store is open, else None.
        lost: See `Store`.
    """

    url = URL

    def __init__(
        self, database: MemoryDatabase | None = None, *, clock: Clock | None = None, lease: float | None = None
    ):
        """Take a database, or make an empty one.

        Args:
            database: Shared with other stores; None: one of its own.
            clock: Where the time comes from; None: from the database's clock.
            lease: After so many seconds without a heartbeat, others may take what this engine owns, by the clock of the
                database. None: as long as the store is open it is alive, and there are no heartbeats; 30 on a
                database that was given.
        """
        self.database = database or MemoryDatabase(clock=clock)
        self.engine: str | None = None
        self.lost: Callable[[Collection[int]], object] | None = None
        self._clock: Clock = clock or self.database.clock
        self._lease = lease if lease is not None or database is None else 30.0
        self._owned: dict[int, int] = {}  # what it believes to own, with the epoch of each
        self._changes = Changes()
        self._answers = Changes()
        self._next_beat: asyncio.TimerHandle | None = None
        self._closed = "the store is not open. Use it inside of   async with store:"

    async def __aenter__(self) -> Self:
        """Open, as a new engine."""
        if self.engine is not None:
            raise StoreError(self.url, "this store is open already. Make another one:   MemoryStore(store.database)")
        self.engine = new_engine_id()
        self.database.sign_in(self.engine, self._lease)
        self.database.listen(self._changes, self._answers)
        self._plan_beat()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        """Give up every ownership, close."""
        engine = self._leave()
        if engine is not None:
            self.database.sign_out(engine)

    # -- dying, for tests ----------------------------------------------------------------------------

    def crash(self) -> None:
        """Die as a process does by ``kill -9``: nothing is given up, and every call raises `StoreClosed` from now on.

        What it owned is free when its lease is over; at once where it has none.
        """
        engine = self._leave()
        self._closed = "this store has crashed. Make another one:   async with MemoryStore(store.database) as store:"
        if engine is not None and self._lease is None:
            self.database.expire(engine)

    def pause(self) -> None:
        """Beat no more, as a process that is stopped; calls go on, so that its late writes can be seen refused."""
        if self._next_beat is not None:
            self._next_beat.cancel()
            self._next_beat = None

    def resume(self) -> None:
        """Wake up after `pause`: beat, and notice what was lost meanwhile."""
        if self._next_beat is None and self._lease is not None:
            self._beat()

    # -- writing -------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        row, created = self.database.create(self._opened(), new)
        if created:
            self._owned[row.number] = row.epoch
        return row, created

    async def claim(self, run: int) -> RunRow:
        """See `Store.claim`."""
        row = self.database.claim(self._opened(), run)
        self._owned[run] = row.epoch
        return row

    async def append(self, change: Append) -> None:
        """See `Store.append`."""
        engine = self._opened()
        try:
            self.database.append(engine, change, self._clock.now())
        except Fenced:
            if not self.database.owns(engine, change.run, self._owned.get(change.run, change.epoch)):
                self._owned.pop(change.run, None)  # whoever appended knows it now
            raise
        if change.release:
            self._owned.pop(change.run, None)

    async def answer(self, run: int, question: str, answer: str, at: float) -> QuestionRow:
        """See `Store.answer`."""
        self._opened()
        return self.database.answer(run, question, answer, at)

    async def send(self, message: MessageRow, *, alone: int | None = None) -> tuple[MessageRow, bool]:
        """See `Store.send`."""
        self._opened()
        return self.database.send(message, alone)

    async def begin(self, run: int, epoch: int) -> Transaction:
        """Refuse: there is no SQL here."""
        if not self.database.owns(self._opened(), run, epoch):
            raise Fenced(f"run {run} is not in epoch {epoch} of engine {self.engine}")
        raise StoreError(
            self.url,
            "runs that are kept in memory have no SQL, and so no transactions. Keep them in a database:   "
            "Engine('sqlite:///runs.db')",
        )

    async def prune(
        self, *, before: float, status: Collection[RunStatus], graph: str | None = None, limit: int = 100
    ) -> list[str]:
        """See `Store.prune`."""
        return self.database.prune(self._opened(), before, status, graph, limit)

    async def tidy(self, *, now: float, limit: int = 1000) -> int:
        """See `Store.tidy`."""
        self._opened()
        return self.database.tidy(now, limit)

    async def compact(self) -> None:
        """Do nothing: what was removed takes no room."""
        self._opened()

    # -- reading -------------------------------------------------------------------------------------

    async def find(self, key: str) -> RunRow | None:
        """See `Store.find`."""
        self._opened()
        found = self.database.by_key.get(key)
        return found.row if found else None

    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        graph: str | None = None,
        key: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[RunRow]:
        """See `Store.runs`."""
        self._opened()
        fit = (
            kept.row
            for number, kept in reversed(self.database.runs.items())
            if (after is None or number < after)
            and (not status or kept.row.status in status)
            and graph in (None, kept.row.graph)
            and kept.row.key.startswith(key or "")
            and (since is None or kept.row.created_at >= since)
            and (until is None or kept.row.created_at < until)
        )
        return list(islice(fit, limit))

    async def due(self, graphs: Mapping[str, str], *, now: float, limit: int = 100) -> list[RunRow]:
        """See `Store.due`."""
        return self.database.due(self._opened(), graphs, now, limit)

    async def shape(self, fingerprint: str) -> str | None:
        """See `Store.shape`."""
        self._opened()
        return self.database.shapes.get(fingerprint)

    async def snapshot(self, run: int) -> Snapshot | None:
        """See `Store.snapshot`."""
        self._opened()
        kept = self.database.runs.get(run)
        return kept.snapshot if kept else None

    async def log(self, run: int, *, after: int = -1, upto: int | None = None) -> list[LogRow]:
        """See `Store.log`."""
        self._opened()
        kept = self.database.runs.get(run)
        return kept.log[max(after + 1, 0) : None if upto is None else max(upto + 1, 0)] if kept else []

    async def rows(self, run: int, seqs: Sequence[int]) -> list[LogRow]:
        """See `Store.rows`."""
        self._opened()
        kept = self.database.runs.get(run)
        return [kept.log[seq] for seq in sorted(set(seqs)) if 0 <= seq < len(kept.log)] if kept else []

    async def blobs(self, hashes: Iterable[str]) -> dict[str, str]:
        """See `Store.blobs`."""
        self._opened()
        there = self.database.blobs
        return {name: there[name] for name in hashes if name in there}

    async def cached(self, key: str, now: float) -> str | None:
        """See `Store.cached`."""
        self._opened()
        found = self.database.cached.get(key)
        if found is not None and is_over(found.expires_at, now):
            del self.database.cached[key]
            return None
        return found.body if found else None

    async def questions(
        self, run: int | None = None, *, status: Sequence[QuestionStatus] = ("open",)
    ) -> list[QuestionRow]:
        """See `Store.questions`."""
        self._opened()
        database = self.database
        if run is None:
            rows = [database.runs[number].questions[name] for number, name in database.asked]
        else:
            rows = list(kept.questions.values()) if (kept := database.runs.get(run)) else []
        return [row for row in rows if not status or row.status in status]

    async def question(self, run: int, question: str) -> QuestionRow | None:
        """See `Store.question`."""
        self._opened()
        kept = self.database.runs.get(run)
        return kept.questions.get(question) if kept else None

    async def news(self, asked: Mapping[int, Collection[str]], *, now: float | None = None) -> list[QuestionRow]:
        """See `Store.news`."""
        self._opened()
        named = [
            kept.questions[name]
            for number, names in asked.items()
            if (kept := self.database.runs.get(number)) is not None
            for name in names
            if name in kept.questions
        ]
        found = [row for row in named if row.status != "open" or (now is not None and is_over(row.expires_at, now))]
        return sorted(found, key=lambda row: self.database.asked[row.run, row.id])

    async def inbox(self, run: int | None = None, *, taken: bool = False) -> list[MessageRow]:
        """See `Store.inbox`."""
        engine = self._opened()
        if run is None:
            return self.database.inbox_of(engine, taken)
        kept = self.database.runs.get(run)
        return [row for row in kept.inbox.values() if taken or row.taken is None] if kept else []

    async def sizes(self) -> dict[str, Size]:
        """See `Store.sizes`."""
        self._opened()
        return self.database.sizes()

    async def changes(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.changes`."""
        self._opened()
        return await self._changes.wait(timeout)

    async def answers(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.answers`."""
        self._opened()
        return await self._answers.wait(timeout)

    # -- inside --------------------------------------------------------------------------------------

    def _opened(self) -> str:
        if self.engine is None:
            raise StoreClosed(self.url, self._closed)
        return self.engine

    def _leave(self) -> str | None:
        engine, self.engine = self.engine, None
        self.pause()
        self._owned.clear()
        if engine is not None:
            self.database.leave(self._changes, self._answers)
            self._changes.happened()  # whoever waits for a change shall wait no longer
            self._answers.happened()
        return engine

    def _plan_beat(self) -> None:
        if self._lease is not None:
            self._next_beat = asyncio.get_running_loop().call_later(self._lease / _BEATS, self._beat)

    def _beat(self) -> None:
        engine = self._opened()
        self.database.sign_in(engine, self._lease)
        self._plan_beat()
        gone = [run for run, epoch in self._owned.items() if not self.database.owns(engine, run, epoch)]
        for run in gone:
            del self._owned[run]
        if gone and self.lost is not None:
            self.lost(gone)
