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
import sqlite3
from dataclasses import dataclass
from typing import Any

import aiosqlite

from orchestra_graph.clock import Clock, SystemClock
from orchestra_graph.errors import StoreError
from orchestra_graph.store.base import Append
from orchestra_graph.store.changes import Changes, Watch
from orchestra_graph.store.door import open_connection
from orchestra_graph.store.faults import store_error
from orchestra_graph.store.identity import Identity
from orchestra_graph.store.migrate import bring_up_to_date
from orchestra_graph.store.patience import to_the_end
from orchestra_graph.store.place import sqlite_path
from orchestra_graph.store.readers import Readers
from orchestra_graph.store.sql_store import Opened, SqlStore
from orchestra_graph.store.sqlite_ledger import SqliteLedger
from orchestra_graph.store.statements import SQLITE
from orchestra_graph.store.transaction import SqliteTransaction, Transactions
from orchestra_graph.store.writer import Durability, Writer

__all__ = ["SqliteStore"]

_READERS = 4
_POLL = 0.05


@dataclass(frozen=True, slots=True)
class _Open(Opened):
    writer: Writer
    connection: aiosqlite.Connection  # the writer's
    identity: Identity
    transactions: Transactions


class SqliteStore(SqlStore):
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
        super().__init__(url, SQLITE)
        self._path = sqlite_path(url)
        self._durability: Durability = durability
        self._clock: Clock = clock or SystemClock()
        self._busy_timeout = busy_timeout

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
            assert isinstance(opened, _Open)
            await to_the_end(self._stop(opened))

    async def crash(self) -> None:
        """Die as a process does by ``kill -9``, for tests: nothing is given up, and what was queued is lost.

        What is in a transaction at this moment is stored, or not, as always.
        """
        opened, self._open = self._open, None
        if opened is not None:
            assert isinstance(opened, _Open)
            await to_the_end(self._die(opened))

    async def append(self, change: Append) -> None:
        """See `Store.append`."""
        if change.within is None:
            await super().append(change)
        else:
            await self._transactions.append(change)

    async def begin(self, run: int, epoch: int) -> SqliteTransaction:
        """See `Store.begin`. While it is open, nothing else is written here, by this process or another."""
        return await self._transactions.begin(run, epoch)

    async def compact(self) -> None:
        """See `Store.compact`: the file is written anew."""
        opened = self._now()
        assert isinstance(opened, _Open)
        await opened.writer.hold()  # a node's transaction is on another connection, and must be over
        try:
            await opened.writer.ask(_compact)
        except sqlite3.Error as error:
            raise store_error(self.url, error) from error
        finally:
            opened.writer.let_go()

    # -- inside --------------------------------------------------------------------------------------

    @property
    def _transactions(self) -> Transactions:
        opened = self._now()
        assert isinstance(opened, _Open)
        return opened.transactions

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
        ledger = SqliteLedger(self.url, identity, self._clock, SQLITE)
        transactions = Transactions(self._path, self.url, writer, ledger, self._busy_timeout, changes.happened)
        return _Open(readers, ledger, writer, changes, answers, watch, connection, identity, transactions)

    async def _stop(self, opened: _Open) -> None:
        opened.changes.happened()  # whoever waits for a change shall wait no longer
        opened.answers.happened()
        await opened.transactions.close()
        await opened.writer.finish()
        if opened.identity.is_secured:
            # Where this cannot be stored, the lock says it: nobody waits for an engine whose lock is free.
            with contextlib.suppress(StoreError):
                await opened.writer.submit(opened.ledger.sign_out, None)
            opened.identity.give_up()
        await opened.readers.close()
        await opened.connection.close()

    async def _die(self, opened: _Open) -> None:
        opened.writer.forget()
        await opened.transactions.close()
        await opened.writer.finish()
        opened.identity.abandon()
        await opened.readers.close()
        await opened.connection.close()


def _may_write(database: sqlite3.Connection) -> int:
    database.execute("PRAGMA journal_mode = WAL").fetchone()
    return _data_version(database)


def _compact(database: sqlite3.Connection) -> None:
    database.execute("VACUUM")
    # What was written anew is in the write-ahead log; the file becomes smaller when it is folded back.
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _data_version(database: sqlite3.Connection) -> int:
    """A number that changes when another connection commits; commits of this connection leave it as it is."""
    version: int = database.execute("PRAGMA data_version").fetchone()[0]
    return version
