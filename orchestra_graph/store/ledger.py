"""What each write does inside of its transaction.

Rule 1. These functions run in the thread of the writing connection, inside of a transaction that has locked what they
need (SQLite: BEGIN IMMEDIATE; PostgreSQL: the row of the run): what they read of a run stays true until it commits.
Rule 2. What is refused is refused before the first write, so that the other writes of the transaction can be kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import select

from orchestra_graph.clock import Clock
from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import RunBusy, RunEnded, RunOwned, UnknownQuestion, UnknownRun
from orchestra_graph.store.base import Append, Fenced, MessageRow, NewRun, QuestionRow, RunRow
from orchestra_graph.store.identity import Identity
from orchestra_graph.store.rows import message_row, question_row, run_row
from orchestra_graph.store.rules import TAKES_NO_MESSAGE, answered, check_begins, check_follows, named_in
from orchestra_graph.store.statements import Statements
from orchestra_graph.store.tables import runs

__all__ = ["AnswerGiven", "Database", "Ledger", "MessageSent", "Old", "Over"]


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


@dataclass(frozen=True, slots=True)
class MessageSent:
    """What somebody sends to a run.

    Attributes:
        message: The message.
        alone: Only where the log ends with this row, and nothing waits on the channel; None: in any case.
    """

    message: MessageRow
    alone: int | None


@dataclass(frozen=True, slots=True)
class Old:
    """Runs that may go; see `Store.prune`."""

    before: float
    status: tuple[RunStatus, ...]
    graph: str | None
    limit: int


@dataclass(frozen=True, slots=True)
class Over:
    """How much may go at a time, and what time it is; see `Store.tidy`."""

    now: float
    limit: int


class Database(Protocol):
    """What of a connection is used here: the same of sqlite3's and of psycopg's."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Any:
        """Run a statement; its cursor."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Any:
        """Run a statement for each of *rows*."""
        ...


class Ledger:
    """The writes of one open store."""

    def __init__(self, url: str, identity: Identity, clock: Clock, sql: Statements):
        self._url = url
        self._sql = sql
        self._identity = identity
        self._clock = clock

    @property
    def engine(self) -> str:
        """The id of this engine."""
        return self._identity.id

    def append(self, db: Database, change: Append) -> None:
        """See `Store.append`."""
        claims = self._check_may_append(db, change)
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
            new = (change.status, change.status, at, change.note, change.due_at)
            db.execute(self._sql.SET_STATUS, (*new, change.run))
        for name, seq in change.taken:
            db.execute(self._sql.TAKE_MESSAGE, (seq, change.run, name))
        if change.form is not None:
            db.execute(self._sql.ADD_GRAPH, (change.form.fingerprint, change.form.shape))
            db.execute(self._sql.SET_FORM, (change.form.version, change.form.fingerprint, change.run))
        if change.moved and claims:
            db.execute(self._sql.FORGET_CLAIMS, (change.run,))
        if change.release:
            # Who says nothing of how it rests may not have looked at what it was claimed for.
            db.execute(self._sql.GIVE_UP if change.status is None else self._sql.RELEASE, (change.run,))

    def check_owns(self, db: Database, change: Append) -> None:
        """Make sure that a change could be appended.

        Raises:
            Fenced: It could not: the run is somebody else's.
        """
        self._check_may_append(db, change)

    def create(self, db: Database, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        found = db.execute(self._sql.RUN_OF_KEY, (new.key,)).fetchone()
        if found is not None:
            return run_row(found), False
        check_begins(new)
        origin = None if new.origin is None else db.execute(self._sql.RUN_OF_KEY, (new.origin,)).fetchone()
        if new.origin is not None and origin is None:
            raise UnknownRun(new.origin, self._url)
        self._sign_in(db)
        db.execute(self._sql.ADD_GRAPH, (new.fingerprint, new.shape))
        at = new.at if new.created_at is None else new.created_at
        run = (new.key, new.graph, new.version, new.fingerprint, "running", at, at, 1, self._identity.id, "")
        more = (new.storage, 0, int(new.pinned))
        [(given,)] = db.execute(self._sql.ADD_RUN, (*run, *more, 0, None, new.origin)).fetchall()
        number = self._unused(db, given)
        if origin is not None:
            db.execute(self._sql.COPY_USES, (number, run_row(origin).number))
        self._add_blobs(db, number, new.blobs)
        db.execute(self._sql.ADD_EVENT, (number, 0, new.kind, new.at, new.body))
        for row in new.rows:
            db.execute(self._sql.ADD_EVENT, (number, row.seq, row.kind, row.at, row.body))
        for question in new.asked:
            db.execute(self._sql.ADD_QUESTION, _question(number, question))
        return run_row((number, *run, *more, new.origin)), True

    def claim(self, db: Database, number: int) -> RunRow:
        """See `Store.claim`."""
        run = self._run(db, number)
        if run.owner == self._identity.id:
            db.execute(self._sql.HEAR, (number,))
            return run
        died = run.owner is not None
        if run.owner is not None and self._is_alive(db, run.owner):
            pid, host = db.execute(self._sql.ENGINE, (run.owner,)).fetchone() or (0, "an unknown machine")
            raise RunOwned(run.key, pid, host)
        self._sign_in(db)
        mine = replace(run, epoch=run.epoch + 1, owner=self._identity.id, claims=run.claims + died)
        db.execute(self._sql.TAKE, (mine.epoch, mine.owner, mine.claims, number))
        return mine

    def answer(self, db: Database, given: AnswerGiven) -> QuestionRow:
        """See `Store.answer`."""
        found = db.execute(self._sql.QUESTION, (given.run, given.question)).fetchone()
        if found is None:
            raise self._unknown_question(db, given)
        before = question_row(found)
        after = answered(before, given.answer, given.at)
        if after is not before:
            db.execute(self._sql.ANSWER, (after.status, after.answer, after.answered_at, given.run, given.question))
            db.execute(self._sql.SAY, (given.run,))
        return after

    def send(self, db: Database, sent: MessageSent) -> tuple[MessageRow, bool]:
        """See `Store.send`."""
        message = sent.message
        found = db.execute(self._sql.MESSAGE, (message.run, message.id)).fetchone()
        if found is not None:
            return message_row(found), False
        run = self._run(db, message.run)
        if run.status in TAKES_NO_MESSAGE:
            raise RunEnded(run.key, run.status, "take a message")
        if sent.alone is not None and not self._is_alone(db, message, sent.alone):
            raise RunBusy(run.key, message.channel)
        values = (message.run, message.id, message.channel, message.body, message.sent_at)
        [(number,)] = db.execute(self._sql.ADD_MESSAGE, values).fetchall()
        db.execute(self._sql.SAY, (message.run,))
        return replace(message, taken=None, number=number), True

    def drop_cached(self, db: Database, over: tuple[str, float]) -> None:
        """Remove a cached result, unless somebody has put another one in its place that is still good."""
        db.execute(self._sql.DROP_CACHED, over)

    def prune(self, db: Database, old: Old) -> list[str]:
        """See `Store.prune`."""
        self.bury_the_dead(db, None)
        query = (
            select(runs.c.id, runs.c.key)
            .where(runs.c.updated_at < old.before, runs.c.status.in_(old.status), runs.c.status != "running")
            .where(runs.c.owner.is_(None))
            .order_by(runs.c.updated_at, runs.c.id)
            .limit(old.limit)
            .with_for_update(skip_locked=True)  # where others may claim one of them just now
        )
        text, values = self._sql.spelled(query if old.graph is None else query.where(runs.c.graph == old.graph))
        gone = db.execute(text, values).fetchall()
        if gone:
            numbers = json.dumps([number for number, _ in gone])
            for remove in (
                self._sql.REMOVE_EVENTS,
                self._sql.REMOVE_SNAPSHOTS,
                self._sql.REMOVE_QUESTIONS,
                self._sql.REMOVE_MESSAGES,
                self._sql.REMOVE_USES,
                self._sql.REMOVE_RUNS,
            ):
                db.execute(remove, (numbers,))
            self._remember(db, max(number for number, _ in gone))
        return [key for _, key in gone]

    def tidy(self, db: Database, over: Over) -> int:
        """See `Store.tidy`."""
        cached = [key for (key,) in db.execute(self._sql.OVER, (over.now, over.limit)).fetchall()]
        db.execute(self._sql.REMOVE_CACHED, (json.dumps(cached),))
        left = over.limit - len(cached)
        blobs = self._idle_blobs(db, left)
        db.execute(self._sql.REMOVE_BLOBS, (json.dumps(blobs),))
        left -= len(blobs)
        forms = [name for (name,) in db.execute(self._sql.IDLE_FORMS).fetchall()][:left]
        db.execute(self._sql.REMOVE_FORMS, (json.dumps(forms),))
        return len(cached) + len(blobs) + len(forms)

    def bury_the_dead(self, db: Database, _: None) -> None:
        """Take from the engines that died what they own."""
        for (engine,) in db.execute(self._sql.OWNERS, (self._identity.id,)).fetchall():
            if not self._is_alive(db, engine):
                self._bury(db, engine)

    def sign_out(self, db: Database, _: None) -> None:
        """Give up every run, and be forgotten."""
        self._forget(db, self._identity.id)

    def _check_may_append(self, db: Database, change: Append) -> int:
        """Refuse what must not be stored; how many owners have died with the run."""
        head = db.execute(self._sql.HEAD, (change.run,)).fetchone()
        if head is None:
            raise Fenced(f"there is no run {change.run}")
        epoch, owner, last, claims = head
        if epoch != change.epoch or owner != self._identity.id:
            raise Fenced(
                f"run {change.run} is in epoch {epoch} of engine {owner}, not {change.epoch} of {self._identity.id}"
            )
        check_follows(change, last)
        if change.taken:
            self._check_may_take(db, change)
        return int(claims)

    def _check_may_take(self, db: Database, change: Append) -> None:
        names = [name for name, _ in change.taken]
        for i, name in enumerate(names):
            found = db.execute(self._sql.MESSAGE, (change.run, name)).fetchone()
            if name in names[:i] or found is None or message_row(found).taken is not None:
                raise Fenced(f"message {name} of run {change.run} was taken before, or was never sent")

    def _is_alone(self, db: Database, message: MessageRow, last: int) -> bool:
        if db.execute(self._sql.HEAD, (message.run,)).fetchone()[2] != last:
            return False
        return bool(db.execute(self._sql.UNREAD_ON_CHANNEL, (message.run, message.channel)).fetchone() == (0,))

    def _idle_blobs(self, db: Database, limit: int) -> list[str]:
        """Large values that no run uses and no cached result names."""
        idle = [name for (name,) in db.execute(self._sql.IDLE_BLOBS).fetchall()]
        if not idle:
            return []
        named = named_in(body for (body,) in db.execute(self._sql.NAMING))
        return [name for name in idle if name not in named][:limit]

    def _run(self, db: Database, number: int) -> RunRow:
        found = db.execute(self._sql.RUN, (number,)).fetchone()
        if found is None:
            raise UnknownRun(f"#{number}", self._url)
        return run_row(found)

    def _is_alive(self, db: Database, engine: str) -> bool:
        return self._identity.is_alive(engine)

    def _unused(self, db: Database, number: int) -> int:
        """The number of a new run, which no run ever had: *number*, or another one that it was given instead."""
        return number

    def _remember(self, db: Database, number: int) -> None:
        """Runs up to this number have been removed."""

    def _sign_in(self, db: Database) -> None:
        """Become somebody who can own a run. The first time, tidy up after those who died."""
        me = self._identity
        if me.secure():
            for (engine,) in db.execute(self._sql.ENGINES).fetchall():
                if not self._is_alive(db, engine):
                    self._bury(db, engine)
            me.sweep_files()
        # Each time: the transaction that did it first may not have been stored.
        db.execute(self._sql.ADD_ENGINE, (me.id, me.pid, me.host, self._clock.now()))

    def _bury(self, db: Database, engine: str) -> None:
        """Take what a dead engine owns: it is one more that died with each of its runs."""
        db.execute(self._sql.BURY, (engine,))
        db.execute(self._sql.DELETE_ENGINE, (engine,))

    def _forget(self, db: Database, engine: str) -> None:
        db.execute(self._sql.RELEASE_ALL, (engine,))
        db.execute(self._sql.DELETE_ENGINE, (engine,))

    def _unknown_question(self, db: Database, given: AnswerGiven) -> UnknownQuestion:
        run = db.execute(self._sql.RUN, (given.run,)).fetchone()
        known = [name for (name,) in db.execute(self._sql.OPEN_NAMES, (given.run, "open"))]
        return UnknownQuestion(run_row(run).key if run else f"#{given.run}", given.question, known)

    def _add_blobs(self, db: Database, run: int, blobs: Mapping[str, str]) -> None:
        for name, body in blobs.items():
            db.execute(self._sql.ADD_BLOB, (name, body))
            db.execute(self._sql.ADD_BLOB_USE, (run, name))


def _asked(run: int, question: QuestionRow) -> tuple[object, ...]:
    return (*_question(run, replace(question, status="open"))[:-2], "answered")


def _question(run: int, question: QuestionRow) -> tuple[object, ...]:
    return (
        run,
        question.id,
        question.prompt,
        question.to,
        question.details,
        question.schema,
        question.status,
        question.asked_at,
        question.expires_at,
        question.answer,
        question.answered_at,
    )
