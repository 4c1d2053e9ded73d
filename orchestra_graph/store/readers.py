"""The reading connections of a store.

Rule 1. A read is one hand-over: one statement, from its start to its last row. No connection keeps a transaction open
between two reads, so none of them sees what is old, and none keeps SQLite from folding its log back into the file.
Rule 2. There is no task here that could be cancelled. A caller awaits a future of its own; when it is cancelled, the
statement goes on, and nobody is told what it found.
Rule 3. What was asked before `close` is read to its end.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orchestra_graph.store.door import Reply, hand_over, open_connection, sqlite_connection
from orchestra_graph.store.faults import store_error

__all__ = ["Readers"]


class Readers:
    """A few connections that can read and not write. What waits is read by the first that is free.

    More than one, so that a read of a long log does not hold up the small ones.
    """

    def __init__(self, url: str):
        """Without any connection; see `open`.

        Args:
            url: For error messages.
        """
        self._url = url
        self._all: list[Any] = []
        self._free: list[Any] = []
        self._queue = deque[_Read]()
        self._landed: asyncio.Future[None] | None = None  # made by `close`

    async def open(self, path: Path, number: int, patience: float) -> None:
        """Open the connections. Not to be cancelled.

        Args:
            path: The file; a database already.
            number: How many.
            patience: Seconds to wait for a lock.

        Raises:
            StoreError: The file cannot be opened.
        """
        for _ in range(number):
            try:
                connection = await open_connection(path, patience)
            except sqlite3.Error as error:
                raise store_error(self._url, error) from error
            self._all.append(connection)
            self._free = [connection]
            await self.read("PRAGMA query_only = ON")
        self._free = list(self._all)

    async def read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows that a statement finds.

        Raises:
            StoreError: The database refuses.
        """
        read = _Read(self, sql, values)
        self._queue.append(read)
        if self._free:
            self._fly(self._free.pop())
        found = await read.future
        if isinstance(found, BaseException):
            raise self._as_ours(found)
        rows: list[Any] = found
        return rows

    async def close(self) -> None:
        """Close the connections, when everything is read that was asked for. Not to be cancelled."""
        while len(self._free) < len(self._all):
            self._landed = asyncio.get_running_loop().create_future()
            await self._landed
        for connection in self._all:
            await connection.close()
        self._all, self._free = [], []

    # -- what a subclass for another database does otherwise -----------------------------------------

    def _hand_over(self, connection: Any, work: Callable[[], Any], reply: Reply) -> None:
        hand_over(connection, work, reply)

    def _rows(self, connection: Any, sql: str, values: Sequence[Any]) -> list[Any]:
        """In the connection's thread."""
        return sqlite_connection(connection).execute(sql, values).fetchall()

    def _as_ours(self, error: BaseException) -> BaseException:
        return store_error(self._url, error) if isinstance(error, sqlite3.Error) else error

    # -- inside --------------------------------------------------------------------------------------

    def _fly(self, connection: Any) -> None:
        read = self._queue.popleft()
        read.connection = connection
        self._hand_over(connection, read.carry_out, read)

    def _land(self, connection: Any) -> None:
        """A connection is free. The next read is sent off at once, so that the disk never waits for the callers."""
        if self._queue:
            self._fly(connection)
        else:
            self._free.append(connection)
        if self._landed is not None and not self._landed.done():
            self._landed.set_result(None)


class _Read:
    """One statement on its way. What a connection's thread takes for the future of its work; see `Reply`."""

    __slots__ = ("_readers", "_sql", "_values", "connection", "future")

    def __init__(self, readers: Readers, sql: str, values: Sequence[Any]):
        self._readers, self._sql, self._values = readers, sql, values
        self.connection: Any = None  # as soon as one is free
        # An error is its result, too: one that nobody waits for any more is nobody's business.
        self.future: asyncio.Future[list[Any] | BaseException] = asyncio.get_running_loop().create_future()

    def carry_out(self) -> list[Any]:
        """In the connection's thread."""
        if self.connection is None or self.future.cancelled():
            return []
        return self._readers._rows(self.connection, self._sql, self._values)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self.future.get_loop()

    def done(self) -> bool:
        return False

    def set_result(self, found: list[Any] | BaseException, /) -> None:
        assert self.connection is not None
        self._readers._land(self.connection)
        if not self.future.done():  # whoever waited may have been cancelled
            self.future.set_result(found)

    def set_exception(self, error: BaseException, /) -> None:
        self.set_result(error)
