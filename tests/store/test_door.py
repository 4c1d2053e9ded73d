from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from orchestra_graph.store.door import hand_over, open_connection, sqlite_connection


class Listener:
    """Not a future, and all that a future is asked for."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.told: asyncio.Queue[tuple[Any, int]] = asyncio.Queue()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self.loop

    def done(self) -> bool:
        return False

    def set_result(self, result: Any, /) -> None:
        self.told.put_nowait((result, threading.get_ident()))

    def set_exception(self, error: BaseException, /) -> None:
        self.told.put_nowait((error, threading.get_ident()))


@pytest.mark.asyncio
async def test_the_thread_of_the_connection_answers_a_reply_on_the_event_loop() -> None:
    here = threading.get_ident()
    async with aiosqlite.connect(":memory:") as connection:
        listener = Listener()
        database = sqlite_connection(connection)
        assert isinstance(database, sqlite3.Connection)
        hand_over(connection, threading.get_ident, listener)
        hand_over(connection, lambda: database.execute("SELECT 7").fetchone(), listener)
        hand_over(connection, lambda: 1 / 0, listener)
        there, told_in = await listener.told.get()
        assert there != here
        assert told_in == here
        assert await listener.told.get() == ((7,), here)
        error, _ = await listener.told.get()
        assert isinstance(error, ZeroDivisionError)


@pytest.mark.asyncio
async def test_a_connection_is_in_autocommit_mode_and_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    connection = await open_connection(tmp_path / "some.db", 3.0)
    try:
        [thread] = set(threading.enumerate()) - before
        assert thread.daemon
        assert sqlite_connection(connection).isolation_level is None
    finally:
        await connection.close()
