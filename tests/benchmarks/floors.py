"""What a durable step cannot be cheaper than: the bare commit of the same row into the same kind of table."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["commits_inline", "commits_through_a_thread"]

_TABLE = """
CREATE TABLE events (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
                     at REAL NOT NULL, body TEXT NOT NULL);
CREATE UNIQUE INDEX by_run ON events (run, seq);
CREATE TABLE runs (id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL);
INSERT INTO runs VALUES (1, 1);
"""
_BODY = '{"id":"step_0500","taken":[501],"took":0.000042,"writes":{"count":1}}'


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.executescript("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _TABLE)
    return connection


def _commit(connection: sqlite3.Connection, seq: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("SELECT epoch FROM runs WHERE id = 1").fetchone()
    connection.execute(
        "INSERT INTO events (run, seq, kind, at, body) VALUES (1, ?, 'NodeFinished', ?, ?)", (seq, time.time(), _BODY)
    )
    connection.execute("COMMIT")


def commits_inline(path: Path, count: int) -> float:
    """Seconds for *count* commits, one after the other, in this thread."""
    connection = _open(path)
    began = time.perf_counter()
    for seq in range(count):
        _commit(connection, seq)
    took = time.perf_counter() - began
    connection.close()
    return took


def commits_through_a_thread(path: Path, count: int) -> float:
    """Seconds for *count* commits, each awaited from an event loop and done in a thread."""
    connection = _open(path)

    async def main(hop: Callable[[int], asyncio.Future[None]]) -> float:
        began = time.perf_counter()
        for seq in range(count):
            await hop(seq)
        return time.perf_counter() - began

    async def run() -> float:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            return await main(lambda seq: loop.run_in_executor(pool, _commit, connection, seq))

    took = asyncio.run(run())
    connection.close()
    return took
