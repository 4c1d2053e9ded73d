"""Transactions that are stored once, whatever happens to the connection on the way.

Rule 1. Each transaction writes its number into the row of its writing connection (``attempts``). Where the connection
is lost after COMMIT was sent, a new one looks at that row: the number is there, so it was stored; it is not, so it was
not, and it is done again. The look waits for a transaction that is still on its way.
Rule 2. What the server gave up for the sake of others, a deadlock say, is done again from its beginning.
Rule 3. A server that is away is waited for, until patience ends; then `StoreLost` says so. What became of a transaction
whose fate was still unknown is asked before the next one begins.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from orchestra_graph.errors import StoreLost
from orchestra_graph.store import pg_sql
from orchestra_graph.store.pg_connect import Target
from orchestra_graph.store.pg_door import Door, Patience
from orchestra_graph.store.pg_faults import is_lost, is_worth_another_try
from orchestra_graph.store.statements import POSTGRES

__all__ = ["Db", "Pen"]

T = TypeVar("T")

_TRIES = 10
_DOUBTFUL = frozenset({POSTGRES.HEAR})


class Db:
    """What a `Ledger` writes with: a connection that remembers whether anything was written."""

    def __init__(self, connection: psycopg.Connection[Any]):
        self._connection: Any = connection  # texts of statements come from the tables, not from literals
        self._ahead: dict[tuple[str, tuple[Any, ...]], Any] = {}
        self._wrote = False
        self._doubtful: list[Any] = []  # cursors of statements that may well have changed nothing

    def ask_ahead(self, sql: str, values: tuple[Any, ...]) -> None:
        """Send off a question that will be asked in a moment: many of them take one trip."""
        self._ahead[sql, values] = self._connection.execute(sql, values)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement; its cursor."""
        if self._ahead:
            known = self._ahead.pop((sql, tuple(values)), None)
            if known is not None:
                return known
        done = self._connection.execute(sql, values)
        if sql in _DOUBTFUL:
            self._doubtful.append(done)
        elif not sql.startswith(("SELECT", "BEGIN")):
            self._wrote = True
        return done

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of *rows*."""
        self._wrote = True
        for values in rows:
            self._connection.execute(sql, values)

    def wrote(self) -> bool:
        """Whether anything was written; takes a trip where it is not clear without."""
        if self._wrote or not self._doubtful:
            return self._wrote
        self._connection.execute("SELECT 1").fetchone()  # behind this the results are there
        return any(done.rowcount > 0 for done in self._doubtful)


class Pen:
    """One writing connection.

    Attributes:
        id: Its name in ``attempts``.
    """

    def __init__(self, door: Door, target: Target, pen: str, patience: float):
        """Take a connection for as long as the store is open.

        Args:
            door: The connection; used by nobody else for writing.
            target: The database.
            pen: A name that no other writing connection has, or ever had.
            patience: Seconds to wait for a server that is away.
        """
        self.id = pen
        self._door = door
        self._target = target
        self._patience = patience
        self._number = 0
        self._sent = False  # COMMIT was sent, and what became of it is not known
        self._outcome: Any = None

    def transact(self, do: Callable[[Db], T], finish: Callable[[Db], None]) -> T:
        """Do something in one transaction, in the thread of the door.

        Args:
            do: Called with the connection, inside of a transaction; maybe more than once.
            finish: Called when *do* is done, to write what depends on it.

        Returns:
            What *do* returned the time that was stored.

        Raises:
            StoreLost: The server was away for longer than one was patient.
            psycopg.Error: The database refuses; nothing was stored.
        """
        patience, tries = Patience(self._patience), _TRIES
        self._look_back(patience)
        while True:
            try:
                return self._once(do, finish)
            except psycopg.Error as error:
                if self._is_lost(error):
                    if self._was_stored(patience, error):
                        found: T = self._outcome
                        return found
                elif is_worth_another_try(error) and tries:
                    tries -= 1
                    time.sleep(random.uniform(0, 0.002 * 2 ** (_TRIES - tries)))
                else:
                    raise

    def end(self, connection: psycopg.Connection[Any], do: Callable[[Db], T], finish: Callable[[Db], None]) -> T:
        """The same in a transaction that is open already, which it ends.

        Raises:
            StoreLost: The connection was lost, and nothing of the transaction was stored.
        """
        self._look_back(Patience(self._patience))
        try:
            return self._carry_out(connection, do, finish)
        except psycopg.Error as error:
            if not self._is_lost(error):
                raise
            if self._was_stored(Patience(self._patience), error):
                found: T = self._outcome
                return found
            raise self._target.fault(error) from error

    def _once(self, do: Callable[[Db], T], finish: Callable[[Db], None]) -> T:
        connection = self._door.connection()

        def begin(db: Db) -> T:
            db.execute(pg_sql.BEGIN)
            return do(db)

        return self._carry_out(connection, begin, finish)

    def _carry_out(self, connection: psycopg.Connection[Any], do: Callable[[Db], T], finish: Callable[[Db], None]) -> T:
        self._number += 1
        try:
            with connection.pipeline():
                db = Db(connection)
                outcome = self._outcome = do(db)
                finish(db)
                connection.execute(pg_sql.MARK, (self.id, self._number))
                self._sent = True
                connection.execute("COMMIT")
        except BaseException as error:
            self._undo(connection, error)
            raise
        self._sent = False
        return outcome

    def _undo(self, connection: psycopg.Connection[Any], error: BaseException) -> None:
        if isinstance(error, psycopg.Error) and self._is_lost(error):
            return
        self._sent = False  # the server has said no
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            self._door.drop()  # which undoes it, too

    def _is_lost(self, error: BaseException) -> bool:
        connection = self._door._connection
        return is_lost(error) or connection is None or connection.broken or connection.closed

    def _was_stored(self, patience: Patience, error: psycopg.Error) -> bool:
        """Whether the transaction that was cut off is stored, after all. There is a connection again, then.

        Raises:
            StoreLost: There is none.
        """
        while patience.wait():
            try:
                connection = self._door.reconnect(patience)
                if not self._sent:
                    return False
                [(number,)] = connection.execute(pg_sql.MARKED, (self.id,)).fetchall()
                self._sent = False
                return bool(number == self._number)
            except psycopg.Error as again:
                if not self._is_lost(again):
                    raise
                error = again
        raise self._lost(error)

    def _lost(self, error: psycopg.Error) -> StoreLost:
        doubt = " Whether the last change was stored is not known yet." if self._sent else ""
        lost = StoreLost(
            self._target.url,
            f"the server cannot be reached, and could not for {self._patience:g} seconds "
            f"({' '.join(str(error).split())}).{doubt}",
        )
        lost.__cause__ = error
        return lost

    def _look_back(self, patience: Patience) -> None:
        """Wait until a transaction of whose fate nobody was told has ended."""
        if self._sent:
            with contextlib.suppress(psycopg.Error):
                self._door.drop()
            self._was_stored(patience, psycopg.OperationalError("the connection was lost"))
