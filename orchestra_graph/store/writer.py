"""The writing connection of a SQLite store: each transaction of its `GroupCommit` is one trip to its thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Literal

import aiosqlite

from orchestra_graph.store.door import Reply, hand_over, sqlite_connection
from orchestra_graph.store.faults import is_busy, store_error
from orchestra_graph.store.group_commit import Failed, GroupCommit, Job, outcome_of

__all__ = ["Durability", "Writer"]

Durability = Literal["normal", "full"]


class Writer(GroupCommit):
    """The writing connection of a store, and what waits for it."""

    def __init__(
        self, connection: aiosqlite.Connection, url: str, durability: Durability, committed: Callable[[], None]
    ):
        """Take a connection in autocommit mode for as long as the store is open.

        Args:
            connection: Used by nobody else for writing.
            url: For error messages.
            durability: ``"full"``: every commit survives a power loss.
            committed: Called in the event loop after each commit that changed something.
        """
        self._connection = connection
        self._database = sqlite_connection(connection)
        self._url = url
        self._always_sync = durability == "full"
        super().__init__(committed)
        self._syncs: bool | None = None  # what the connection is set to; changed in its thread

    def ask(self, question: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        """Call *question* with the connection in its thread, between two transactions."""
        future = self._loop.create_future()
        hand_over(self._connection, lambda: question(self._database), future)
        return future

    def _hand_over(self, work: Callable[[], Any], reply: Reply) -> None:
        hand_over(self._connection, work, reply)

    def _is_hopeless(self, error: BaseException) -> bool:
        # Waiting for the lock again for each job would take their number times the patience.
        return is_busy(error)

    def _as_ours(self, error: BaseException) -> BaseException:
        return store_error(self._url, error) if isinstance(error, sqlite3.Error) else super()._as_ours(error)

    # -- in the connection's thread ------------------------------------------------------------------

    def _transaction(self, jobs: Sequence[Job], failed: dict[int | None, Failed]) -> list[Any]:
        """Do all jobs in one transaction; raises if any of them fails on the database, and nothing is stored then."""
        database = self._database
        self._set_sync(self._always_sync or any(job.sync for job in jobs))
        database.execute("BEGIN IMMEDIATE")
        before = database.total_changes
        try:
            outcomes = [outcome_of(database, job, failed) for job in jobs]
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:  # SQLite has rolled some errors back by itself
                database.execute("ROLLBACK")
            raise
        self._wrote |= database.total_changes != before
        return outcomes

    def _set_sync(self, sync: bool) -> None:
        if sync is not self._syncs:
            self._database.execute("PRAGMA synchronous = FULL" if sync else "PRAGMA synchronous = NORMAL")
            self._syncs = sync
