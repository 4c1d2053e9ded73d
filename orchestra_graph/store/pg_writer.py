"""The writing connection of a PostgreSQL store.

Rule 1. The runs of all jobs of a transaction are locked first, in the order of their numbers: what a job then reads of
its run stays true until the end, and two stores never wait for each other in a circle.
Rule 2. The questions that the jobs begin with are sent together: a transaction of any number of jobs takes two trips.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from orchestra_graph.errors import StoreLost
from orchestra_graph.store import pg_sql
from orchestra_graph.store.door import Reply
from orchestra_graph.store.group_commit import Failed, GroupCommit, Job, outcome_of
from orchestra_graph.store.pg_connect import Target
from orchestra_graph.store.pg_door import Door
from orchestra_graph.store.pg_faults import is_lost
from orchestra_graph.store.pg_pen import Db, Pen
from orchestra_graph.store.statements import POSTGRES

__all__ = ["PgWriter", "Wire"]


class Wire:
    """How a store tells the others of what it wrote: in the transaction that writes it."""

    def __init__(self, channel: str, engine: str):
        """Name the channel.

        Args:
            channel: Of the schema.
            engine: Who tells.
        """
        self.channel = channel
        self._engine = engine

    def tell(self, db: Db, *, answer: bool) -> None:
        """Have the others told when it is stored.

        Args:
            db: The connection.
            answer: Somebody answered, or sent a message.
        """
        db.execute(pg_sql.NOTIFY, (self.channel, f"{'answer' if answer else 'change'} {self._engine}"))

    def hear(self, payload: str) -> tuple[bool, bool]:
        """What somebody told: whether it is news, and whether it is an answer."""
        kind, _, engine = payload.partition(" ")
        return engine != self._engine, kind != "change"


class PgWriter(GroupCommit):
    """The writing connection of a store, and what waits for it."""

    def __init__(self, door: Door, pen: Pen, target: Target, wire: Wire, committed: Callable[[], None]):
        """Take the connection for as long as the store is open.

        Args:
            door: Used by nobody else.
            pen: Writes through the door.
            target: The database.
            wire: Tells other stores.
            committed: Called in the event loop after each commit that changed something.
        """
        super().__init__(committed)
        self._door, self._pen, self._target, self._wire = door, pen, target, wire

    def _hand_over(self, work: Callable[[], Any], reply: Reply) -> None:
        self._door.hand_over(work, reply)

    def _is_hopeless(self, error: BaseException) -> bool:
        return isinstance(error, StoreLost) or is_lost(error)

    def _as_ours(self, error: BaseException) -> BaseException:
        return self._target.fault(error) if isinstance(error, psycopg.Error) else super()._as_ours(error)

    # -- in the door's thread ------------------------------------------------------------------------

    def _transaction(self, jobs: Sequence[Job], failed: dict[int | None, Failed]) -> list[Any]:
        wrote = False

        def do(db: Db) -> tuple[list[Any], dict[int | None, Failed]]:
            refused = dict(failed)
            _look_ahead(db, jobs)
            return [outcome_of(db, job, refused) for job in jobs], refused

        def finish(db: Db) -> None:
            nonlocal wrote
            wrote = db.wrote()
            if wrote:
                if any(job.sync for job in jobs):
                    db.execute(pg_sql.SYNC)
                self._wire.tell(db, answer=any(job.then is not None for job in jobs))

        outcomes, refused = self._pen.transact(do, finish)
        failed.update(refused)
        self._wrote |= wrote
        return outcomes


def _look_ahead(db: Db, jobs: Sequence[Job]) -> None:
    runs = sorted({job.run for job in jobs if job.run is not None})
    if runs:
        db.execute(pg_sql.LOCK_RUNS, (json.dumps(runs),))
    for run in dict.fromkeys(job.chain for job in jobs if job.chain is not None):
        db.ask_ahead(POSTGRES.HEAD, (run,))
