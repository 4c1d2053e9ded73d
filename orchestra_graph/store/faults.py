"""What SQLite's errors mean to us. See https://www.sqlite.org/rescode.html."""

from __future__ import annotations

import sqlite3

from orchestra_graph.errors import StoreBroken, StoreBusy, StoreError, StoreFull

__all__ = ["is_busy", "store_error"]

_PRIMARY = 0xFF  # the lower byte of an extended result code

_MEANING: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (
        StoreFull,
        "there is no room left, on the disk or in the database's page limit. What was stored before is safe; "
        "make room and go on",
    ),
    sqlite3.SQLITE_BUSY: (
        StoreBusy,
        "another process holds the write lock for too long. End it, or wait and try again",
    ),
    sqlite3.SQLITE_LOCKED: (
        StoreBusy,
        "another connection of this process holds a lock for too long. Try again",
    ),
    sqlite3.SQLITE_NOTADB: (
        StoreBroken,
        "this file is no SQLite database. Use another file, or move this one away",
    ),
    sqlite3.SQLITE_CORRUPT: (
        StoreBroken,
        "this SQLite file is damaged. Bring back a backup, or save what can be read:   "
        "sqlite3 FILE .recover | sqlite3 NEW",
    ),
    sqlite3.SQLITE_READONLY: (
        StoreError,
        "the file, or its directory, is read-only. Allow this user to write to both: "
        "SQLite keeps files beside the database",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        StoreError,
        "the file cannot be opened. Its directory must exist, and this user must be allowed to write to both",
    ),
}


def store_error(url: str, error: sqlite3.Error) -> StoreError:
    """Our error for SQLite's, with SQLite's own words in it and as its cause."""
    code = getattr(error, "sqlite_errorcode", 0)
    # A full disk shows up in this way where the index of the write-ahead log has to grow.
    code = sqlite3.SQLITE_FULL if code == sqlite3.SQLITE_IOERR_SHMSIZE else code & _PRIMARY
    cls, meaning = _MEANING.get(code, (StoreError, "SQLite refused"))
    found = cls(url, f"{meaning} ({error}).")
    found.__cause__ = error
    return found


def is_busy(error: BaseException) -> bool:
    """Whether the database was locked by somebody else."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_BUSY
