"""Transactions of nodes in PostgreSQL: a few connections, each with one transaction at a time.

Rule 1. An open transaction holds no lock of ours: the run is locked, and looked at again, by the append that ends it.
So a takeover does not wait for it, and what it did is undone.
Rule 2. It is stored once: see `Pen`. What cannot be stored is not tried again here, because the node's statements are
gone: the node fails.
Rule 3. Other appends of the run wait while the transaction is being stored; those of other runs do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import re
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from orchestra_graph.errors import OrchestraError, StoreClosed, StoreError, StoreLost
from orchestra_graph.store import pg_sql
from orchestra_graph.store.base import Append, Fenced
from orchestra_graph.store.group_commit import GroupCommit
from orchestra_graph.store.patience import to_the_end
from orchestra_graph.store.pg_connect import Target
from orchestra_graph.store.pg_door import Door, Patience
from orchestra_graph.store.pg_faults import is_lost, statement_error
from orchestra_graph.store.pg_ledger import Member, PgLedger
from orchestra_graph.store.pg_pen import Db, Pen
from orchestra_graph.store.pg_writer import Wire
from orchestra_graph.store.statements import POSTGRES

__all__ = ["PgTransaction", "Slots"]

T = TypeVar("T")

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_ENDS = frozenset(
    {"ABORT", "BEGIN", "COMMIT", "END", "PREPARE", "RELEASE", "ROLLBACK", "SAVEPOINT", "START", "DEALLOCATE", "DISCARD"}
)
_CANCEL = 0.05  # seconds between two looks at a statement that is to be stopped


class _Slot:
    """A connection for one transaction after the other."""

    def __init__(self, target: Target, pen: str, patience: float):
        self.door = Door(target)
        self.pen = Pen(self.door, target, pen, patience)
        self._core: Any = None
        self._dressed: psycopg.Connection[Any] | None = None

    def core(self) -> Any:
        """The connection in SQLAlchemy's clothes, which spell statements and read rows. In the door's thread."""
        connection = self.door.connection()
        if self._dressed is not connection:
            self._core, self._dressed = _dressed(connection), connection
        return self._core


class Slots:
    """Opens the transactions of one store, a few at a time; whoever asks first is first."""

    def __init__(
        self,
        target: Target,
        ledger: PgLedger,
        writer: GroupCommit,
        wire: Wire,
        member: Member,
        committed: Callable[[], None],
        number: int,
        patience: float,
    ):
        """Without any connection.

        Args:
            target: The database.
            ledger: What an append does.
            writer: Writes the other appends of a run.
            wire: Tells other stores.
            member: Who owns the runs.
            committed: Called in the event loop when something was stored.
            number: At most so many transactions at a time.
            patience: Seconds to wait for a server that is away.
        """
        self.target, self.ledger, self.writer, self.wire, self.member = target, ledger, writer, wire, member
        self.committed = committed
        self.patience = patience
        self._slots = [_Slot(target, f"{member.id}/{at + 1}", patience) for at in range(number)]
        self._free = list(self._slots)
        self._waiting = deque[asyncio.Future[_Slot]]()
        self._open: set[PgTransaction] = set()
        self._closed = False

    async def begin(self, run: int, epoch: int) -> PgTransaction:
        """See `Store.begin`."""
        slot = await self._slot()
        transaction = PgTransaction(self, slot)
        self._open.add(transaction)
        try:
            await to_the_end(transaction.start(Append(run=run, epoch=epoch)))
        except BaseException:
            await to_the_end(transaction.rollback())
            raise
        return transaction

    def ended(self, transaction: PgTransaction) -> None:
        """Its connection is free."""
        self._open.discard(transaction)
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(transaction.slot)
                return
        self._free.append(transaction.slot)

    async def close(self) -> None:
        """Undo what is open, and close the connections. Not to be cancelled."""
        self._closed = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(self._gone())
        for transaction in list(self._open):
            await transaction.rollback()
        for slot in self._slots:
            await slot.door.close()

    async def _slot(self) -> _Slot:
        if self._closed:
            raise self._gone()
        if self._free:
            return self._free.pop()
        waiting: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():  # it had come in that very moment
                self._free.append(waiting.result())
            raise

    def _gone(self) -> StoreClosed:
        return StoreClosed(self.target.url, "the store was closed before the transaction had begun")


class PgTransaction:
    """A `Transaction`. Made by `Slots.begin`."""

    def __init__(self, slots: Slots, slot: _Slot):
        self.slot = slot
        self._slots = slots
        self._connection: psycopg.Connection[Any] | None = None
        self._number: Any = None  # the server's, of the transaction
        self._asked = self._answered = 0  # statements; the second is counted in the thread
        self._over = False
        self._broken: StoreError | None = None

    async def start(self, head: Append) -> None:
        """Begin, and see that the run is ours."""
        try:
            await self.slot.door.ask(lambda: self._begin(head))
        except (psycopg.Error, OrchestraError) as error:
            raise self._own(error) from error

    async def execute(self, statement: Any, parameters: Any = None) -> list[Any]:
        """See `Transaction.execute`."""
        return await self._ask(lambda: self._execute(statement, parameters))

    async def check(self) -> None:
        """See `Transaction.check`."""
        await self._ask(lambda: self._execute("SET CONSTRAINTS ALL IMMEDIATE", None))

    async def rollback(self) -> None:
        """See `Transaction.rollback`."""
        if self._over:
            return
        self._over = True
        try:
            done = self.slot.door.ask(self._roll_back)
            while not done.done():
                await asyncio.wait([done], timeout=_CANCEL)
                connection = self._connection
                if connection is not None and self._asked != self._answered:
                    with contextlib.suppress(psycopg.Error):
                        await asyncio.to_thread(connection.cancel_safe, timeout=5.0)
            done.result()
        finally:
            self._slots.ended(self)

    async def store(self, change: Append, turn: asyncio.Future[Any]) -> None:
        """Append, and commit all of it. Not to be cancelled.

        Args:
            change: The change.
            turn: From `GroupCommit.hold_run`, of the run.

        Raises:
            StoreError: Nothing was stored: neither the change, nor what the node did.
            Fenced: The same.
        """
        try:
            await turn
        except BaseException:  # what was to be stored before failed
            await self.rollback()
            raise
        failed: BaseException | None = None
        try:
            self._check_usable()
            self._over = True
            try:
                await self.slot.door.ask(lambda: self._append(change))
            finally:
                self._slots.ended(self)
        except (Exception, Fenced) as error:
            failed = self._own(error)
            raise failed from error
        finally:
            self._slots.writer.let_go_run(change.run, failed)
        self._slots.committed()

    def _check_usable(self) -> None:
        if self._over:
            raise StoreError(self._slots.target.url, "this transaction has ended")
        if self._broken is not None:
            raise self._broken

    async def _ask(self, work: Callable[[], T]) -> T:
        self._check_usable()
        self._asked += 1
        found: T | StoreError = await self.slot.door.ask(lambda: self._safely(work))
        if isinstance(found, StoreError):
            self._broken = found
            raise found
        return found

    def _own(self, error: BaseException) -> BaseException:
        if isinstance(error, psycopg.Error):
            return self._slots.target.fault(error)
        return copy.copy(error) if isinstance(error, OrchestraError) else error

    # -- in the door's thread ------------------------------------------------------------------------

    def _begin(self, head: Append) -> None:
        patience = Patience(self._slots.patience)
        while True:
            try:
                self.slot.core()
                connection = self.slot.door.connection()
                connection.execute(pg_sql.BEGIN)
                self._connection = connection
                [(self._number,)] = connection.execute("SELECT txid_current()").fetchall()
                self._slots.ledger.check_owns(Db(connection), head)
                return
            except psycopg.Error as error:
                self.slot.door.drop()
                if not is_lost(error) or not patience.wait():
                    raise

    def _execute(self, statement: Any, parameters: Any) -> list[Any]:
        from sqlalchemy import text

        spelled = text(statement) if isinstance(statement, str) else statement
        _refuse_ends(spelled, self._slots.target.url)
        result = self.slot.core().execute(spelled, parameters)
        return list(result.fetchall()) if result.returns_rows else []

    def _safely(self, work: Callable[[], T]) -> T | StoreError:
        """What came of it, or why nothing of the transaction can be stored any more."""
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        url = self._slots.target.url
        cause: BaseException | None = None
        try:
            if self._over:
                return StoreError(url, "this transaction has ended")
            if self._is_open():
                done = work()
                if self._is_open():
                    return done
            found = StoreError(url, "a statement of the node has ended the transaction, or the server has")
        except StoreError as error:
            return error
        except (DBAPIError, psycopg.Error) as error:
            inner = error.orig if isinstance(error, DBAPIError) else error
            cause = error
            found = (
                statement_error(url, inner)
                if isinstance(inner, psycopg.Error)
                else StoreError(url, f"a statement cannot be run: {error}")
            )
        except (SQLAlchemyError, ValueError, TypeError, AttributeError) as error:
            found, cause = StoreError(url, f"a statement cannot be run: {error}"), error
        finally:
            self._answered += 1
        if cause is not None:
            found.__cause__ = cause
        return found

    def _is_open(self) -> bool:
        connection = self._connection
        return (
            connection is not None
            and not connection.closed
            and connection.info.transaction_status == TransactionStatus.INTRANS
        )

    def _append(self, change: Append) -> None:
        connection = self._connection
        if connection is None or not self._is_open():
            self._roll_back()
            raise StoreLost(self._slots.target.url, "the transaction of the node was cut off. Nothing was stored")

        def do(db: Db) -> None:
            db.execute(pg_sql.HURRY, (f"{max(int(self._slots.member.lease * 1000), 1)}",))
            db.execute(pg_sql.LOCK_RUNS, (json.dumps([change.run]),))
            number = db.execute("SELECT txid_current()")
            db.ask_ahead(POSTGRES.HEAD, (change.run,))
            if number.fetchone() != (self._number,):
                raise StoreError(self._slots.target.url, "a statement of the node has ended the transaction")
            self._slots.ledger.append(db, change)

        def finish(db: Db) -> None:
            if change.sync:
                db.execute(pg_sql.SYNC)
            self._slots.wire.tell(db, answer=False)

        try:
            self.slot.pen.end(connection, do, finish)
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
            self.slot.core().rollback()  # it forgets what it thinks is open
        except Exception:
            self.slot.door.drop()  # which undoes it, too


def _refuse_ends(statement: Any, url: str) -> None:
    """Refuse what would end the transaction, or begin another one. Procedures cannot: the server sees to that."""
    words = _COMMENTS.sub(" ", getattr(statement, "text", "")).replace(";", " ").split(None, 1)
    if words and words[0].upper() in _ENDS:
        raise StoreError(
            url,
            f"a node's statement may not be {words[0].upper()}: the transaction is stored with the node's result, and "
            f"undone where the node fails. Leave it out",
        )


def _dressed(connection: psycopg.Connection[Any]) -> Any:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    connection.prepare_threshold = 0  # the server takes one statement at a time then, and no "COMMIT; BEGIN"
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None
    )
    return engine.connect()
