"""The door to the thread of an aiosqlite connection.

aiosqlite's own methods take one trip to its thread for each statement: four for BEGIN, INSERT, COMMIT and the cursor,
which costs more than the commit itself. Here a whole transaction is one trip, and so is a whole read. aiosqlite has no
public way to do that; this uses the queue of its thread, which holds ``(future, function)`` in every release since
0.17, and which SQLAlchemy's dialect uses as well.

The thread asks of the future only what `Reply` names. `tests/store/test_door.py` fails if a release of aiosqlite
changes that.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import aiosqlite

__all__ = ["Reply", "hand_over", "open_connection", "sqlite_connection"]


class Reply(Protocol):
    """Who is told of the result, in the thread of the event loop: a future, or something that looks like one."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        ...

    def done(self) -> bool:
        """Whether nobody wants the result any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """The function returned."""
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """The function raised."""
        ...


async def open_connection(path: Path, patience: float) -> aiosqlite.Connection:
    """Open a file. Not to be cancelled.

    In autocommit mode: sqlite3 begins no transactions of its own, so a read sees what is committed just then.

    Args:
        path: The file.
        patience: Seconds to wait for a lock.
    """
    connection = aiosqlite.connect(path, timeout=patience, isolation_level=None)
    # A store that was never closed shall not keep the process from ending. Before 0.22 the connection is the thread.
    thread: Any = connection if isinstance(connection, Thread) else connection._thread
    thread.daemon = True
    return await connection


def hand_over(connection: aiosqlite.Connection, work: Callable[[], Any], reply: Reply) -> None:
    """Have *work* done in the connection's thread after all that was handed over before; does not wait."""
    queue: Any = connection._tx
    queue.put_nowait((reply, work))


def sqlite_connection(connection: aiosqlite.Connection) -> sqlite3.Connection:
    """The sqlite3 connection inside; to be used in the connection's thread only."""
    return connection._conn
