"""The store in a SQLite file.

Rule 1. All writes of an open store go through the one connection of its `Writer`; all others may only read.
Rule 2. What is awaited on a connection is awaited by a task of its own, never by the caller, who may be cancelled.
Rule 3. A store belongs to the event loop and to the process that opened it. Do not carry it over a fork: open another
one there.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import AsyncAdaptedQueuePool, Select, event, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orchestra_graph.clock import Clock, SystemClock
from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import StoreBusy, StoreClosed, StoreError
from orchestra_graph.store.base import Append, LogRow, NewRun, QuestionRow, QuestionStatus, RunRow, Snapshot
from orchestra_graph.store.changes import Changes, Watch
from orchestra_graph.store.faults import store_error
from orchestra_graph.store.identity import Identity
from orchestra_graph.store.ledger import AnswerGiven, Ledger
from orchestra_graph.store.migrate import bring_up_to_date
from orchestra_graph.store.patience import to_the_end
from orchestra_graph.store.place import sqlite_path
from orchestra_graph.store.rows import (
    SELECT_EVENTS,
    SELECT_QUESTIONS,
    SELECT_RUNS,
    begins_with,
    log_row,
    question_row,
    run_row,
)
from orchestra_graph.store.rules import is_over
from orchestra_graph.store.tables import blobs, events, graphs, node_cache, questions, runs, snapshots
from orchestra_graph.store.writer import Durability, Writer

__all__ = ["SqliteStore"]

_READERS = 4
_POLL = 0.05
_IN_ONE_QUERY = 500  # old releases of SQLite take at most 999 parameters

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Open:
    """What there is while the store is open."""

    engine: AsyncEngine
    connection: AsyncConnection
    identity: Identity
    ledger: Ledger
    writer: Writer
    changes: Changes
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
        self._reads: set[asyncio.Task[Any]] = set()

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

    async def claim(self, run: int) -> int:
        """See `Store.claim`."""
        now = self._now()
        epoch: int = await now.writer.submit(now.ledger.claim, run)
        return epoch

    async def append(self, change: Append) -> None:
        """See `Store.append`."""
        now = self._now()
        await now.writer.submit(now.ledger.append, change, sync=change.sync, chain=change.run)

    async def answer(self, run: int, question: str, answer: str, at: float) -> QuestionRow:
        """See `Store.answer`."""
        now = self._now()
        given = AnswerGiven(run, question, answer, at)
        row: QuestionRow = await now.writer.submit(now.ledger.answer, given, sync=True)
        return row

    # -- reading -------------------------------------------------------------------------------------

    async def find(self, key: str) -> RunRow | None:
        """See `Store.find`."""
        found = await self._read(SELECT_RUNS.where(runs.c.key == key), run_row)
        return found[0] if found else None

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
        return await self._read(query, run_row)

    async def shape(self, fingerprint: str) -> str | None:
        """See `Store.shape`."""
        found = await self._read(
            select(graphs.c.shape).where(graphs.c.fingerprint == fingerprint), lambda row: str(row[0])
        )
        return found[0] if found else None

    async def snapshot(self, run: int) -> Snapshot | None:
        """See `Store.snapshot`."""
        query = select(snapshots.c.seq, snapshots.c.body).where(snapshots.c.run == run)
        found = await self._read(query, lambda row: Snapshot(*row))
        return found[0] if found else None

    async def log(self, run: int, *, after: int = -1, upto: int | None = None) -> list[LogRow]:
        """See `Store.log`."""
        query = SELECT_EVENTS.where(events.c.run == run, events.c.seq > after).order_by(events.c.seq)
        if upto is not None:
            query = query.where(events.c.seq <= upto)
        return await self._read(query, log_row)

    async def rows(self, run: int, seqs: Sequence[int]) -> list[LogRow]:
        """See `Store.rows`."""
        wanted = sorted(set(seqs))
        found: list[LogRow] = []
        for start in range(0, len(wanted), _IN_ONE_QUERY):
            some = wanted[start : start + _IN_ONE_QUERY]
            query = SELECT_EVENTS.where(events.c.run == run, events.c.seq.in_(some)).order_by(events.c.seq)
            found += await self._read(query, log_row)
        return found

    async def blobs(self, hashes: Iterable[str]) -> dict[str, str]:
        """See `Store.blobs`."""
        wanted = sorted(set(hashes))
        found: dict[str, str] = {}
        for start in range(0, len(wanted), _IN_ONE_QUERY):
            query = select(blobs.c.hash, blobs.c.body).where(blobs.c.hash.in_(wanted[start : start + _IN_ONE_QUERY]))
            found.update(await self._read(query, lambda row: (row[0], row[1])))
        return found

    async def cached(self, key: str, now: float) -> str | None:
        """See `Store.cached`."""
        query = select(node_cache.c.body, node_cache.c.expires_at).where(node_cache.c.key == key)
        for body, expires_at in await self._read(query, lambda row: (str(row[0]), row[1])):
            if not is_over(expires_at, now):
                return body
            opened = self._now()
            await opened.writer.submit(opened.ledger.drop_cached, (key, now))
        return None

    async def questions(
        self, run: int | None = None, *, status: Sequence[QuestionStatus] = ("open",)
    ) -> list[QuestionRow]:
        """See `Store.questions`."""
        query = SELECT_QUESTIONS.order_by(questions.c.id)
        if run is not None:
            query = query.where(questions.c.run == run)
        if status:
            query = query.where(questions.c.status.in_(status))
        return await self._read(query, question_row)

    async def changes(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.changes`."""
        return await self._now().watch.wait(timeout)

    # -- inside --------------------------------------------------------------------------------------

    def _now(self) -> _Open:
        if self._open is None:
            raise StoreClosed(self.url, "the store is not open. Use it inside of   async with store:")
        return self._open

    async def _read(self, query: Select[Any], make: Callable[[Sequence[Any]], T]) -> list[T]:
        task = asyncio.ensure_future(self._fetch(self._now().engine, query, make))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)
        return await asyncio.shield(task)

    async def _fetch(self, engine: AsyncEngine, query: Select[Any], make: Callable[[Sequence[Any]], T]) -> list[T]:
        try:
            async with engine.connect() as connection:
                return [make(row) for row in await connection.execute(query)]
        except DBAPIError as error:
            raise self._as_ours(error) from error
        except PoolTimeout as error:
            raise StoreBusy(
                self.url, "too many readers wait for one of its connections. Read less at a time"
            ) from error

    def _as_ours(self, error: DBAPIError) -> Exception:
        return store_error(self.url, error.orig) if isinstance(error.orig, sqlite3.Error) else error

    async def _start(self) -> None:
        await asyncio.to_thread(bring_up_to_date, self._path, self.url)
        engine = self._make_engine()
        connection = engine.connect()
        try:
            await connection.start()
            self._open = await self._set_up(engine, connection)
        except BaseException as error:
            await connection.close()
            await engine.dispose()
            if isinstance(error, DBAPIError):
                raise self._as_ours(error) from error
            raise

    def _make_engine(self) -> AsyncEngine:
        # In autocommit mode sqlite3 begins no transactions of its own: a read sees what is committed just then.
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self._path)),
            poolclass=AsyncAdaptedQueuePool,  # SQLAlchemy before 2.0.38 would open the file for each read
            pool_size=_READERS + 1,
            max_overflow=0,
            connect_args={"timeout": self._busy_timeout, "isolation_level": None},
        )
        event.listen(engine.sync_engine, "connect", _only_read)
        return engine

    async def _set_up(self, engine: AsyncEngine, connection: AsyncConnection) -> _Open:
        """Make *connection* the writing one; it is never given back to the pool before the end."""
        driver: Any = (await connection.get_raw_connection()).driver_connection
        changes = Changes()
        writer = Writer(driver, self.url, self._durability, changes.happened)
        try:
            version = await writer.ask(_may_write)
        except sqlite3.Error as error:
            raise store_error(self.url, error) from error
        watch = Watch(lambda: writer.ask(_data_version), version, changes, _POLL)
        identity = Identity(self._path, self.url)
        return _Open(engine, connection, identity, Ledger(self.url, identity, self._clock), writer, changes, watch)

    async def _stop(self, opened: _Open) -> None:
        opened.changes.happened()  # whoever waits for a change shall wait no longer
        await opened.writer.finish()
        if opened.identity.is_secured:
            # Where this cannot be stored, the lock says it: nobody waits for an engine whose lock is free.
            with contextlib.suppress(StoreError):
                await opened.writer.submit(opened.ledger.sign_out, None)
            opened.identity.give_up()
        await asyncio.gather(*self._reads, return_exceptions=True)
        await opened.connection.close()
        await opened.engine.dispose()


def _only_read(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only = ON")
    cursor.close()


def _may_write(database: sqlite3.Connection) -> int:
    database.execute("PRAGMA query_only = OFF")
    database.execute("PRAGMA journal_mode = WAL").fetchone()
    return _data_version(database)


def _data_version(database: sqlite3.Connection) -> int:
    """A number that changes when another connection commits; commits of this connection leave it as it is."""
    version: int = database.execute("PRAGMA data_version").fetchone()[0]
    return version
