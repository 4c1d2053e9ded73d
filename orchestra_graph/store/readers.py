"""The reading connections of a store.

Rule 1. A read is one hand-over: one statement, from its start to its last row. No connection keeps a transaction open
between two reads, so none of them sees what is old, and none keeps SQLite from folding its log back into the file.
Rule 2. There is no task here that could be cancelled. A caller awaits a future of its own; when it is cancelled, the
statement goes on, and nobody is told what it found.
Rule 3. What was handed over before `close` is read to its end.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiosqlite

from orchestra_graph.store.door import hand_over, open_connection, sqlite_connection
from orchestra_graph.store.faults import store_error

__all__ = ["Readers"]


class _Reader:
    """One connection, and how much it was given to do."""

    __slots__ = ("_connection", "_database", "waiting")

    def __init__(self, connection: aiosqlite.Connection):
        self._connection = connection
        self._database = sqlite_connection(connection)
        self.waiting = 0  # a hint: a read whose caller was cancelled is not counted any more

    def read(self, sql: str, values: Sequence[Any]) -> asyncio.Future[Any]:
        self.waiting += 1
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(self._end)
        hand_over(self._connection, lambda: self._fetch(sql, values), future)
        return future

    async def close(self) -> None:
        await self._connection.close()

    def _end(self, _: asyncio.Future[Any]) -> None:
        self.waiting -= 1

    def _fetch(self, sql: str, values: Sequence[Any]) -> list[Any] | sqlite3.Error:
        """In the connection's thread. An error is a result: else one that nobody waits for any more would be logged."""
        try:
            return self._database.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            return error


class Readers:
    """A few connections that can read and not write. A read goes to the one that has the least to do.

    More than one, so that a read of a long log does not hold up the small ones.
    """

    def __init__(self, url: str):
        """Without any connection; see `open`.

        Args:
            url: For error messages.
        """
        self._url = url
        self._readers: list[_Reader] = []

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
                reader = _Reader(await open_connection(path, patience))
            except sqlite3.Error as error:
                raise store_error(self._url, error) from error
            self._readers.append(reader)
            await self._found(reader.read("PRAGMA query_only = ON", ()))

    async def read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows that a statement finds.

        Raises:
            StoreError: The database refuses.
        """
        return await self._found(min(self._readers, key=_waiting).read(sql, values))

    async def close(self) -> None:
        """Close the connections, when all that was handed over is done. Not to be cancelled."""
        for reader in self._readers:
            await reader.close()
        self._readers.clear()

    async def _found(self, reading: asyncio.Future[Any]) -> list[Any]:
        found = await reading
        if isinstance(found, sqlite3.Error):
            raise store_error(self._url, found) from found
        rows: list[Any] = found
        return rows


def _waiting(reader: _Reader) -> int:
    return reader.waiting
