"""What storing cannot be cheaper than: the very rows that a database has, inserted once more into bare tables."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

__all__ = ["again", "count"]

_TABLE = """
CREATE TABLE events (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
                     at REAL NOT NULL, body TEXT NOT NULL);
CREATE UNIQUE INDEX by_run ON events (run, seq);
"""
_COLUMNS = "run, seq, kind, at, body"
_INSERT = f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"


def count(path: Path) -> int:
    """How many log rows a database has."""
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT count(*) FROM events").fetchone()
    return int(found)


def again(path: Path, copy: Path, *, batch: int) -> float:
    """Seconds to insert the log rows of *path* into a new database, *batch* rows in one transaction."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM events ORDER BY id").fetchall()
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.executescript("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _TABLE)
        began = time.perf_counter()
        for first in range(0, len(rows), batch):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", rows[first : first + batch]
            )
            connection.execute("COMMIT")
        return time.perf_counter() - began
