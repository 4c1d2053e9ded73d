"""What each write does inside of its transaction on SQLite.

Rule 1. These functions run in the thread of the writing connection, inside of a transaction that `Writer` has begun
with BEGIN IMMEDIATE: what they read stays true until it commits.
Rule 2. What is refused is refused before the first write, so that the other writes of the transaction can be kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestra_graph.clock import Clock
from orchestra_graph.errors import RunOwned, UnknownQuestion, UnknownRun
from orchestra_graph.store.base import Append, Fenced, NewRun, QuestionRow, RunRow
from orchestra_graph.store.identity import Identity
from orchestra_graph.store.rows import question_row, run_row
from orchestra_graph.store.rules import answered, check_follows
from orchestra_graph.store.statements import Statements

__all__ = ["AnswerGiven", "Ledger"]


@dataclass(frozen=True, slots=True)
class AnswerGiven:
    """What somebody answered to a question.

    Attributes:
        run: The run's number.
        question: The question's id.
        answer: JSON text.
        at: Seconds since the epoch.
    """

    run: int
    question: str
    answer: str
    at: float


class Ledger:
    """The writes of one open store."""

    def __init__(self, url: str, identity: Identity, clock: Clock, sql: Statements):
        self._url = url
        self._sql = sql
        self._identity = identity
        self._clock = clock

    def append(self, db: sqlite3.Connection, change: Append) -> None:
        """See `Store.append`."""
        self._check_may_append(db, change)
        rows = change.rows
        self._add_blobs(db, change.run, change.blobs)
        if len(rows) == 1:
            row = rows[0]
            db.execute(self._sql.ADD_EVENT, (change.run, row.seq, row.kind, row.at, row.body))
        elif rows:
            db.executemany(self._sql.ADD_EVENT, [(change.run, row.seq, row.kind, row.at, row.body) for row in rows])
        for cached in change.cached:
            db.execute(self._sql.SET_CACHED, (cached.key, cached.body, cached.expires_at))
        if change.snapshot is not None:
            db.execute(self._sql.SET_SNAPSHOT, (change.run, change.snapshot.seq, change.snapshot.body))
        for question in change.asked:
            db.execute(self._sql.ASK, _asked(change.run, question))
        for name, status in change.closed:
            db.execute(self._sql.CLOSE_QUESTION, (status, change.run, name, "answered"))
        if change.withdraw:
            db.execute(self._sql.WITHDRAW, ("withdrawn", change.run, "open"))
        if change.status is not None:
            at = rows[-1].at if rows else self._clock.now()
            db.execute(self._sql.SET_STATUS, (change.status, change.status, at, change.note, change.run))
        if change.release:
            db.execute(self._sql.RELEASE, (change.run,))

    def create(self, db: sqlite3.Connection, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        found = db.execute(self._sql.RUN_OF_KEY, (new.key,)).fetchone()
        if found is not None:
            return run_row(found), False
        self._sign_in(db)
        db.execute(self._sql.ADD_GRAPH, (new.fingerprint, new.shape))
        run = (new.key, new.graph, new.version, new.fingerprint, "running", new.at, new.at, 1, self._identity.id, "")
        more = (new.storage, 0, int(new.pinned))
        [(number,)] = db.execute(self._sql.ADD_RUN, (*run, *more, 0, None, new.origin)).fetchall()
        self._add_blobs(db, number, new.blobs)
        db.execute(self._sql.ADD_EVENT, (number, 0, new.kind, new.at, new.body))
        return run_row((number, *run, *more, new.origin)), True

    def claim(self, db: sqlite3.Connection, number: int) -> RunRow:
        """See `Store.claim`."""
        found = db.execute(self._sql.RUN, (number,)).fetchone()
        if found is None:
            raise UnknownRun(f"#{number}", self._url)
        run = run_row(found)
        if run.owner == self._identity.id:
            return run
        if run.owner is not None and self._identity.is_alive(run.owner):
            pid, host = db.execute(self._sql.ENGINE, (run.owner,)).fetchone() or (0, "an unknown machine")
            raise RunOwned(run.key, pid, host)
        self._sign_in(db)
        db.execute(self._sql.TAKE, (run.epoch + 1, self._identity.id, number))
        return replace(run, epoch=run.epoch + 1, owner=self._identity.id)

    def answer(self, db: sqlite3.Connection, given: AnswerGiven) -> QuestionRow:
        """See `Store.answer`."""
        found = db.execute(self._sql.QUESTION, (given.run, given.question)).fetchone()
        if found is None:
            raise self._unknown_question(db, given)
        before = question_row(found)
        after = answered(before, given.answer, given.at)
        if after is not before:
            db.execute(self._sql.ANSWER, (after.status, after.answer, after.answered_at, given.run, given.question))
        return after

    def drop_cached(self, db: sqlite3.Connection, over: tuple[str, float]) -> None:
        """Remove a cached result, unless somebody has put another one in its place that is still good."""
        db.execute(self._sql.DROP_CACHED, over)

    def sign_out(self, db: sqlite3.Connection, _: None) -> None:
        """Give up every run, and be forgotten."""
        self._forget(db, self._identity.id)

    def _check_may_append(self, db: sqlite3.Connection, change: Append) -> None:
        head = db.execute(self._sql.HEAD, (change.run,)).fetchone()
        if head is None:
            raise Fenced(f"there is no run {change.run}")
        epoch, owner, last = head
        if epoch != change.epoch or owner != self._identity.id:
            raise Fenced(
                f"run {change.run} is in epoch {epoch} of engine {owner}, not {change.epoch} of {self._identity.id}"
            )
        check_follows(change, last)

    def _sign_in(self, db: sqlite3.Connection) -> None:
        """Become somebody who can own a run. The first time, tidy up after those who died."""
        me = self._identity
        if me.secure():
            for (engine,) in db.execute(self._sql.ENGINES).fetchall():
                if not me.is_alive(engine):
                    self._forget(db, engine)
            me.sweep_files()
        # Each time: the transaction that did it first may not have been stored.
        db.execute(self._sql.ADD_ENGINE, (me.id, me.pid, me.host, self._clock.now()))

    def _forget(self, db: sqlite3.Connection, engine: str) -> None:
        db.execute(self._sql.RELEASE_ALL, (engine,))
        db.execute(self._sql.DELETE_ENGINE, (engine,))

    def _unknown_question(self, db: sqlite3.Connection, given: AnswerGiven) -> UnknownQuestion:
        run = db.execute(self._sql.RUN, (given.run,)).fetchone()
        known = [name for (name,) in db.execute(self._sql.OPEN_NAMES, (given.run, "open"))]
        return UnknownQuestion(run_row(run).key if run else f"#{given.run}", given.question, known)

    def _add_blobs(self, db: sqlite3.Connection, run: int, blobs: Mapping[str, str]) -> None:
        for name, body in blobs.items():
            db.execute(self._sql.ADD_BLOB, (name, body))
            db.execute(self._sql.ADD_BLOB_USE, (run, name))


def _asked(run: int, question: QuestionRow) -> tuple[object, ...]:
    return (
        run,
        question.id,
        question.prompt,
        question.to,
        question.details,
        question.schema,
        "open",
        question.asked_at,
        question.expires_at,
        "answered",
    )
