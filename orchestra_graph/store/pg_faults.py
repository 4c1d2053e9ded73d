"""What PostgreSQL's errors mean to us. See https://www.postgresql.org/docs/current/errcodes-appendix.html."""

from __future__ import annotations

import psycopg

from orchestra_graph.errors import StoreBroken, StoreBusy, StoreError, StoreFull, StoreLost, StoreOlder

__all__ = ["is_lost", "is_not_ready", "is_worth_another_try", "statement_error", "store_error"]

_MEANING: dict[str, tuple[type[StoreError], str]] = {
    "53100": (StoreFull, "the server's disk is full. What was stored before is safe; make room and go on"),
    "53200": (StoreFull, "the server is out of memory. What was stored before is safe"),
    "53300": (StoreLost, "the server has no connection left. Raise max_connections, or run fewer workers"),
    "55P03": (StoreBusy, "somebody else holds a lock for too long. Try again"),
    "40001": (StoreBusy, "somebody else changed the same rows, again and again. Try again"),
    "40P01": (StoreBusy, "somebody else wants the same locks, again and again. Try again"),
    "25006": (
        StoreError,
        "the database is read-only: a standby, or it was set so. Name the primary server, with "
        "?target_session_attrs=read-write  behind several hosts",
    ),
    "42P01": (StoreOlder, "a table is missing. Bring the schema up to date:   orchestra db upgrade --db URL"),
    "42703": (StoreOlder, "a column is missing. Bring the schema up to date:   orchestra db upgrade --db URL"),
    "42501": (StoreError, "this user may not do that. Let the owner of the tables grant it"),
    "XX001": (StoreBroken, "the database is damaged. Bring back a backup"),
    "XX002": (StoreBroken, "an index of the database is damaged:   REINDEX DATABASE"),
}

# By the first two letters.
_CLASSES: dict[str, tuple[type[StoreError], str]] = {
    "08": (StoreLost, "the connection was lost"),
    "28": (StoreError, "the server does not let this user in. Look at the name and the password"),
    "3D": (StoreError, "there is no such database. Make it:   createdb NAME"),
    "57": (StoreLost, "the server ended the statement, or is being stopped or started"),
}

_ENDED = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "53300"})
# 23503: what others tidied away just now is written again the second time.
_TRY_AGAIN = frozenset({"40001", "40P01", "23505", "23503"})
_NOT_READY = ("starting up", "shutting down", "not yet accepting", "in recovery mode")


def store_error(url: str, error: psycopg.Error) -> StoreError:
    """Our error for psycopg's, with the database's own words in it and as its cause."""
    code = error.sqlstate or ""
    known = _MEANING.get(code) or _CLASSES.get(code[:2])
    if known is None and error.sqlstate is None and "FATAL:" in str(error):  # of a connection that was not made
        known = (StoreLost if is_not_ready(error) else StoreError, "the server refuses the connection")
    if known is None:
        known = (StoreLost, "the server cannot be reached") if is_lost(error) else (StoreError, "PostgreSQL refused")
    cls, meaning = known
    found = cls(url, f"{meaning} ({' '.join(str(error).split())}).")
    found.__cause__ = error
    return found


def statement_error(url: str, error: psycopg.Error) -> StoreError:
    """Our error for what PostgreSQL says of a statement that a user wrote: a missing table is one of theirs."""
    if (error.sqlstate or "").startswith("42"):
        found = StoreError(url, f"PostgreSQL refused ({' '.join(str(error).split())}).")
        found.__cause__ = error
        return found
    return store_error(url, error)


def is_lost(error: BaseException) -> bool:
    """Whether there is no connection any more, or none was made."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return isinstance(error, psycopg.Error) and error.sqlstate in _ENDED
    if isinstance(error, psycopg.errors.PipelineAborted):  # another statement failed before it
        return False
    code = error.sqlstate
    return code is None or code[:2] == "08" or code in _ENDED


def is_not_ready(error: BaseException) -> bool:
    """Whether the server is there and will let us in soon."""
    return any(words in str(error) for words in _NOT_READY)


def is_worth_another_try(error: BaseException) -> bool:
    """Whether the same transaction may well go through when it is done again from its beginning.

    Two that create a run with one key are among them: the second time the second finds the run of the first.
    """
    return isinstance(error, psycopg.Error) and error.sqlstate in _TRY_AGAIN
