"""The store in a SQLite file.

Rule 1. All writes of an open store go through the one connection of its `Writer`; those of its `Readers` may only read.
Rule 2. A caller awaits a future that is told of the result. Connections are opened and closed by a task of its own,
which nobody cancels.
Rule 3. A store belongs to the event loop and to the process that opened it. Do not carry it over a fork: open another
one there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiosqlite

from orchestra_graph.clock import Clock, SystemClock
from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import StoreClosed, StoreError
from orchestra_graph.store import statements as sql
from orchestra_graph.store.base import Append, LogRow, NewRun, QuestionRow, QuestionStatus, RunRow, Snapshot
from orchestra_graph.store.changes import Changes, Watch
from orchestra_graph.store.door import open_connection
from orchestra_graph.store.faults import store_error
from orchestra_graph.store.identity import Identity
from orchestra_graph.store.ledger import AnswerGiven, Ledger
from orchestra_graph.store.migrate import bring_up_to_date
from orchestra_graph.store.patience import to_the_end
from orchestra_graph.store.place import sqlite_path
from orchestra_graph.store.readers import Readers
from orchestra_graph.store.rows import SELECT_RUNS, begins_with, log_row, question_row, run_row
from orchestra_graph.store.rules import is_over
from orchestra_graph.store.tables import runs
from orchestra_graph.store.writer import Durability, Writer

__all__ = ["SqliteStore"]

_READERS = 4
_POLL = 0.05


@dataclass(frozen=True, slots=True)
class _Open:
    """What there is while the store is open."""

    readers: Readers
    connection: aiosqlite.Connection  # the writer's
    identity: Identity
    ledger: Ledger
    writer: Writer
    changes: Changes
    answers: Changes
    watch: Watch


class SqliteStore:
    """A `Store` in one SQLite file, used by any number of processes of one machine.

    A run is owned by an open store, until that is closed or its process is dead (see `Identity`).
    """

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "normal",
        clock: Clock | None = None,
        busy_timeout: float = 10.0,
    ):
        """Name the file; nothing is opened yet.

        Args:
            url: ``sqlite:///runs.db``, relative to the working directory, or ``sqlite:////var/lib/runs.db``.
            durability: ``"normal"`` survives the death of the process; where a change asks for it, and for an answer,
                the loss of power, too. ``"full"``: every commit survives it.
            clock: Where the time comes from.
            busy_timeout: How many seconds to wait while another process writes, before `StoreBusy`.

        Raises:
            StoreError: The URL names no file.
        """
        self.url = url
        self._path = sqlite_path(url)
        self._durability: Durability = durability
        self._clock: Clock = clock or SystemClock()
        self._busy_timeout = busy_timeout
        self._open: _Open | None = None

    async def __aenter__(self) -> SqliteStore:
        """Open the file; make it, or bring it up to date, where that is needed."""
        if self._open is not None:
            raise StoreError(self.url, "this store is open already. Open another one on the same file")
        try:
            await to_the_end(self._start())
        except asyncio.CancelledError:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: Any) -> None:
        """Finish what was queued, give up every ownership, close."""
        opened, self._open = self._open, None
        if opened is not None:
            await to_the_end(self._stop(opened))

    # -- writing -------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        now = self._now()
        created: tuple[RunRow, bool] = await now.writer.submit(now.ledger.create, new)
        return created

    async def claim(self, run: int) -> RunRow:
        """See `Store.claim`."""
        now = self._now()
        row: RunRow = await now.writer.submit(now.ledger.claim, run)
        return row

    async def append(self, change: Append) -> None:
        """See `Store.append`."""
        now = self._now()
        await now.writer.submit(now.ledger.append, change, sync=change.sync, chain=change.run)

    async def answer(self, run: int, question: str, answer: str, at: float) -> QuestionRow:
        """See `Store.answer`."""
        now = self._now()
        given = AnswerGiven(run, question, answer, at)
        row: QuestionRow = await now.writer.submit(now.ledger.answer, given, sync=True, then=now.answers.happened)
        return row

    # -- reading -------------------------------------------------------------------------------------

    async def find(self, key: str) -> RunRow | None:
        """See `Store.find`."""
        found = await self._read(sql.RUN_OF_KEY, key)
        return run_row(found[0]) if found else None

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
        query = SELECT_RUNS.order_by(runs.c.id.desc()).limit(limit)
        if status:
            query = query.where(runs.c.status.in_(status))
        if graph is not None:
            query = query.where(runs.c.graph == graph)
        if key:
            query = query.where(*begins_with(runs.c.key, key))
        if since is not None:
            query = query.where(runs.c.created_at >= since)
        if until is not None:
            query = query.where(runs.c.created_at < until)
        if after is not None:
            query = query.where(runs.c.id < after)
        text, values = sql.spelled(query)
        return [run_row(row) for row in await self._read(text, *values)]

    async def shape(self, fingerprint: str) -> str | None:
        """See `Store.shape`."""
        found = await self._read(sql.SHAPE, fingerprint)
        return str(found[0][0]) if found else None

    async def snapshot(self, run: int) -> Snapshot | None:
        """See `Store.snapshot`."""
        found = await self._read(sql.SNAPSHOT, run)
        return Snapshot(*found[0]) if found else None

    async def log(self, run: int, *, after: int = -1, upto: int | None = None) -> list[LogRow]:
        """See `Store.log`."""
        rows = await self._read(sql.LOG, run, after, sys.maxsize if upto is None else upto)
        return [log_row(row) for row in rows]

    async def rows(self, run: int, seqs: Sequence[int]) -> list[LogRow]:
        """See `Store.rows`."""
        return [log_row(row) for row in await self._read(sql.ROWS, run, json.dumps(list(seqs)))]

    async def blobs(self, hashes: Iterable[str]) -> dict[str, str]:
        """See `Store.blobs`."""
        return dict(await self._read(sql.BLOBS, json.dumps(list(hashes))))

    async def cached(self, key: str, now: float) -> str | None:
        """See `Store.cached`."""
        for body, expires_at in await self._read(sql.CACHED, key):
            if not is_over(expires_at, now):
                return str(body)
            opened = self._now()
            await opened.writer.submit(opened.ledger.drop_cached, (key, now))
        return None

    async def questions(
        self, run: int | None = None, *, status: Sequence[QuestionStatus] = ("open",)
    ) -> list[QuestionRow]:
        """See `Store.questions`."""
        text, with_status = _QUESTIONS[run is not None]
        of_run = () if run is None else (run,)
        if status:
            rows = await self._read(with_status, *of_run, json.dumps(list(status)))
        else:
            rows = await self._read(text, *of_run)
        return [question_row(row) for row in rows]

    async def question(self, run: int, question: str) -> QuestionRow | None:
        """See `Store.question`."""
        found = await self._read(sql.QUESTION, run, question)
        return question_row(found[0]) if found else None

    async def news(self, asked: Mapping[int, Collection[str]], *, now: float | None = None) -> list[QuestionRow]:
        """See `Store.news`."""
        named = [(number, name) for number, names in asked.items() for name in names]
        return [question_row(row) for row in await self._read(sql.NEWS, json.dumps(named), "open", now)]

    async def changes(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.changes`."""
        now = self._now()
        return await now.watch.wait(now.changes, timeout)

    async def answers(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.answers`."""
        now = self._now()
        return await now.watch.wait(now.answers, timeout)

    # -- inside --------------------------------------------------------------------------------------

    def _now(self) -> _Open:
        if self._open is None:
            raise StoreClosed(self.url, "the store is not open. Use it inside of   async with store:")
        return self._open

    async def _read(self, text: str, *values: Any) -> list[Any]:
        return await self._now().readers.read(text, values)

    async def _start(self) -> None:
        await asyncio.to_thread(bring_up_to_date, self._path, self.url)
        readers = Readers(self.url)
        try:
            connection = await open_connection(self._path, self._busy_timeout)
        except sqlite3.Error as error:
            raise store_error(self.url, error) from error
        try:
            opened = await self._set_up(readers, connection)
            await readers.open(self._path, _READERS, self._busy_timeout)
        except BaseException:
            await readers.close()
            await connection.close()
            raise
        self._open = opened

    async def _set_up(self, readers: Readers, connection: aiosqlite.Connection) -> _Open:
        """Make *connection* the writing one."""
        changes, answers = Changes(), Changes()
        writer = Writer(connection, self.url, self._durability, changes.happened)
        try:
            version = await writer.ask(_may_write)
        except sqlite3.Error as error:
            raise store_error(self.url, error) from error
        watch = Watch(lambda: writer.ask(_data_version), version, (changes, answers), _POLL)
        identity = Identity(self._path, self.url)
        ledger = Ledger(self.url, identity, self._clock)
        return _Open(readers, connection, identity, ledger, writer, changes, answers, watch)

    async def _stop(self, opened: _Open) -> None:
        opened.changes.happened()  # whoever waits for a change shall wait no longer
        opened.answers.happened()
        await opened.writer.finish()
        if opened.identity.is_secured:
            # Where this cannot be stored, the lock says it: nobody waits for an engine whose lock is free.
            with contextlib.suppress(StoreError):
                await opened.writer.submit(opened.ledger.sign_out, None)
            opened.identity.give_up()
        await opened.readers.close()
        await opened.connection.close()


_QUESTIONS = {
    False: (sql.QUESTIONS, sql.QUESTIONS_WITH_STATUS),
    True: (sql.QUESTIONS_OF_RUN, sql.QUESTIONS_OF_RUN_WITH_STATUS),
}


def _may_write(database: sqlite3.Connection) -> int:
    database.execute("PRAGMA journal_mode = WAL").fetchone()
    return _data_version(database)


def _data_version(database: sqlite3.Connection) -> int:
    """A number that changes when another connection commits; commits of this connection leave it as it is."""
    version: int = database.execute("PRAGMA data_version").fetchone()[0]
    return version
