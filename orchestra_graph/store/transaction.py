"""Transactions of nodes in a SQLite file: on a connection of their own, while the writer of the store stands still.

Rule 1. SQLite has one writer at a time. While a node's transaction is open, nothing of this store is sent off; it is
queued, and goes off when the transaction has ended. So nobody of this process ever waits for SQLite's lock with a
thread, and transactions and all other writes take turns.
Rule 2. A node's statement can neither end the transaction, nor change the connection, nor write to a table of this
library: SQLite itself asks `_allowed` of each thing that a statement would do.
Rule 3. Between a begin and its end there is always somebody who ends it: whoever was given the transaction.
"""

from __future__ import annotations

import asyncio
import copy
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestra_graph.errors import EngineBug, OrchestraError, StoreClosed, StoreError
from orchestra_graph.store.base import Append, Fenced
from orchestra_graph.store.door import hand_over, open_connection, sqlite_connection
from orchestra_graph.store.faults import store_error
from orchestra_graph.store.ledger import Ledger
from orchestra_graph.store.patience import to_the_end
from orchestra_graph.store.tables import metadata
from orchestra_graph.store.writer import Writer

if TYPE_CHECKING:
    import aiosqlite
    from sqlalchemy import Connection

__all__ = ["SqliteTransaction", "Transactions"]

T = TypeVar("T")

_OURS = frozenset(metadata.tables)
_REFUSED = frozenset(
    {sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
)
_WRITES = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_DROP_TABLE})
_ON_TABLE = frozenset(  # where the table is the second thing that is named
    {
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TRIGGER,
    }
)
_PRAGMAS = frozenset({"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"})
_AGAIN = 0.05  # seconds after which a statement that goes on is told once more to stop
_DEFERRED = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%deferrable%'"


def _allowed(action: int, one: str | None, two: str | None, *_: str | None) -> int:
    """What SQLite asks before it prepares a statement of a node."""
    refused = (
        action in _REFUSED
        or (action == sqlite3.SQLITE_PRAGMA and one not in _PRAGMAS)
        or (action in _WRITES and one in _OURS)
        or (action in _ON_TABLE and two in _OURS)
    )
    return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK


class Transactions:
    """Opens the transactions of one store, one at a time.

    Args:
        path: The file.
        url: For messages.
        writer: Stands still meanwhile.
        ledger: What an append does.
        patience: Seconds to wait while another process writes.
        committed: Called in the event loop when something was committed.
    """

    def __init__(
        self,
        path: Path,
        url: str,
        writer: Writer,
        ledger: Ledger,
        patience: float,
        committed: Callable[[], None],
    ):
        self.url, self.ledger = url, ledger
        self._path, self._patience, self._writer, self._committed = path, patience, writer, committed
        self._connection: aiosqlite.Connection | None = None
        self._core: Connection | None = None
        self._open: SqliteTransaction | None = None
        self._closed = False

    async def begin(self, run: int, epoch: int) -> SqliteTransaction:
        """See `Store.begin`. Waits for the transactions that were asked for before; the first first.

        Raises:
            StoreBusy: Another process wrote for too long.
        """
        await self._writer.hold()
        if self._closed:
            self._writer.let_go()
            raise StoreClosed(self.url, "the store was closed before the transaction had begun")
        transaction = SqliteTransaction(self)
        try:
            await to_the_end(self._start(transaction, Append(run=run, epoch=epoch)))
        except BaseException:
            await to_the_end(transaction.rollback())
            raise
        return transaction

    async def append(self, change: Append) -> None:
        """See `Store.append`, for a change that ends a transaction."""
        transaction = change.within
        if not isinstance(transaction, SqliteTransaction) or transaction.transactions is not self:
            raise EngineBug(f"an append within {transaction!r:.80}, which is no transaction of this store")
        await to_the_end(transaction.commit(change))

    async def close(self) -> None:
        """Undo what is open, and close the connection. Not to be cancelled."""
        self._closed = True
        if self._open is not None:
            await self._open.rollback()
        connection, self._connection = self._connection, None
        if connection is not None:
            await self.ask(self._leave, connection)
            await connection.close()

    # -- for a transaction ---------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection yet."""
        return self._connection is not None

    @property
    def database(self) -> sqlite3.Connection:
        """The connection; to be used in its thread only."""
        assert self._connection is not None
        return sqlite_connection(self._connection)

    @property
    def core(self) -> Connection:
        """The same in SQLAlchemy's clothes."""
        assert self._core is not None
        return self._core

    def ask(self, work: Callable[[], T], connection: aiosqlite.Connection | None = None) -> asyncio.Future[T]:
        """Have something done in the connection's thread."""
        connection = connection or self._connection
        assert connection is not None
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        hand_over(connection, work, future)
        return future

    def ended(self, transaction: SqliteTransaction, *, wrote: bool) -> None:
        """The writer goes on."""
        if self._open is transaction:
            self._open = None
        self._writer.let_go()
        if wrote:
            self._committed()

    def own(self, error: BaseException) -> BaseException:
        """An error of this library for what was raised in the thread."""
        if isinstance(error, sqlite3.Error):
            return store_error(self.url, error)
        return copy.copy(error) if isinstance(error, OrchestraError) else error

    async def _start(self, transaction: SqliteTransaction, head: Append) -> None:
        self._open = transaction
        try:
            if self._connection is None:
                await self._connect()
            await self.ask(lambda: transaction.start(head))
        except (sqlite3.Error, OrchestraError) as error:
            raise self.own(error) from error

    async def _connect(self) -> None:
        connection = await open_connection(self._path, self._patience)
        try:
            self._core = await self.ask(lambda: _dressed(sqlite_connection(connection)), connection)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection

    def _leave(self) -> None:
        core, self._core = self._core, None
        if core is not None:
            core.close()


def _dressed(database: sqlite3.Connection) -> Connection:
    """A connection of SQLAlchemy over one of sqlite3: it spells statements and reads rows, and ends nothing."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA synchronous = FULL")  # cannot be set inside of a transaction, which may need it
    engine = create_engine("sqlite://", creator=lambda: database, poolclass=StaticPool, pool_reset_on_return=None)
    return engine.connect()


class SqliteTransaction:
    """A `Transaction`. Made by `Transactions.begin`."""

    def __init__(self, transactions: Transactions):
        self.transactions = transactions
        self._over = self._ending = False
        self._broken: StoreError | None = None

    async def execute(self, statement: Any, parameters: Any = None) -> list[Any]:
        """See `Transaction.execute`."""
        return await self._ask(lambda: self._execute(statement, parameters))

    async def check(self) -> None:
        """See `Transaction.check`: SQLite defers nothing but foreign keys that say so."""
        await self._ask(self._check)

    async def rollback(self) -> None:
        """See `Transaction.rollback`."""
        if self._over:
            return
        self._over = True
        try:
            if self.transactions.is_connected:
                ended = self.transactions.ask(self._roll_back)
                while not ended.done():  # a statement that is just about to begin would not hear the first call
                    if not self._ending:
                        self.transactions.database.interrupt()
                    await asyncio.wait((ended,), timeout=_AGAIN)
                ended.result()
        finally:
            self.transactions.ended(self, wrote=False)

    async def commit(self, change: Append) -> None:
        """Append, and commit all of it. Not to be cancelled.

        Raises:
            StoreError: Nothing was stored: neither the change, nor what the node did.
            Fenced: The same.
        """
        if self._over:
            raise self._gone()
        self._over, done = True, False
        try:
            error = await self.transactions.ask(lambda: self._append(change))
            done = error is None
        finally:
            self.transactions.ended(self, wrote=done)
        if error is not None:
            raise self.transactions.own(error) from error

    async def _ask(self, work: Callable[[], T]) -> T:
        if self._over:
            raise self._gone()
        if self._broken is not None:
            raise self._broken
        found = await self.transactions.ask(lambda: self._safely(work))
        if isinstance(found, StoreError):
            self._broken = found
            raise found
        return found

    def _gone(self) -> StoreError:
        return StoreError(self.transactions.url, "this transaction has ended")

    # -- in the connection's thread ------------------------------------------------------------------

    def start(self, head: Append) -> None:
        """Begin, and make sure that the run is ours."""
        database = self.transactions.database
        database.set_authorizer(None)
        database.execute("BEGIN IMMEDIATE")
        self.transactions.ledger.check_owns(database, head)
        database.set_authorizer(_allowed)

    def _safely(self, work: Callable[[], T]) -> T | StoreError:
        """What came of it, or why nothing of the transaction can be stored any more."""
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        url, found = self.transactions.url, None
        cause: Exception | None = None
        try:
            if self._over:
                return self._gone()
            done = work()
            if self.transactions.database.in_transaction:
                return done
            found = StoreError(url, "SQLite has undone the transaction by itself")
        except StoreError as error:
            return error
        except (DBAPIError, sqlite3.Error) as error:
            cause = error
            inner = error.orig if isinstance(error, DBAPIError) else error
            if getattr(inner, "sqlite_errorcode", 0) == sqlite3.SQLITE_AUTH:
                found = StoreError(url, _REFUSAL.format(inner))
            elif isinstance(inner, sqlite3.Error):
                found = store_error(url, inner)
        except (SQLAlchemyError, ValueError, TypeError, AttributeError) as error:
            cause = error
        if found is None:
            found = StoreError(url, f"a statement cannot be run: {cause}")
        found.__cause__ = cause
        return found

    def _execute(self, statement: Any, parameters: Any) -> list[Any]:
        from sqlalchemy import text

        spelled = text(statement) if isinstance(statement, str) else statement
        result = self.transactions.core.execute(spelled, parameters)
        return list(result.fetchall()) if result.returns_rows else []

    def _check(self) -> None:
        database = self.transactions.database
        database.set_authorizer(None)
        try:
            for (table,) in database.execute(_DEFERRED).fetchall():
                quoted = table.replace('"', '""')
                found = database.execute(f'PRAGMA foreign_key_check("{quoted}")').fetchone()
                if found is not None:
                    _, row, parent, _ = found
                    raise StoreError(
                        self.transactions.url,
                        f"row {row} of {table} names a row of {parent} that is not there. Its FOREIGN KEY is deferred, "
                        f"so it has to be there when the block is left",
                    )
        finally:
            database.set_authorizer(_allowed)

    def _append(self, change: Append) -> BaseException | None:
        database = self.transactions.database
        database.set_authorizer(None)
        try:
            if not database.in_transaction:
                return StoreError(self.transactions.url, "SQLite has undone the transaction by itself")
            self.transactions.ledger.append(database, change)
            database.execute("COMMIT")
        except (Exception, Fenced) as error:
            self._roll_back()
            return error
        return None

    def _roll_back(self) -> None:
        self._ending = True
        database = self.transactions.database
        database.set_authorizer(None)
        if database.in_transaction:
            database.execute("ROLLBACK")


_REFUSAL = (
    "a statement of a node's transaction may not begin, end or nest transactions, attach databases, set pragmas, or "
    "change the tables of this library; it may read them ({})"
)
