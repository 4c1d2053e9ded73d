"""What the stores in memory share: the rows of all runs, and who of the engines is alive.

Rule 1. Nothing here waits: each method is one transaction, whoever else runs in the event loop.
Rule 2. A lease is over by the clock of this database, whatever the clocks of the engines say.
Rule 3. An engine without a lease lives until it is closed or crashes, as one that holds a lock does.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from orchestra_graph.clock import Clock, SystemClock
from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import RunBusy, RunEnded, RunOwned, StoreError, UnknownQuestion, UnknownRun
from orchestra_graph.store.base import (
    Append,
    CachedRow,
    Fenced,
    LogRow,
    MessageRow,
    NewRun,
    QuestionRow,
    RunRow,
    Size,
    Snapshot,
)
from orchestra_graph.store.changes import Changes
from orchestra_graph.store.rules import (
    TAKES_NO_MESSAGE,
    answered,
    check_begins,
    check_follows,
    is_over,
    named_in,
)

__all__ = ["URL", "Kept", "MemoryDatabase"]

URL = "memory://"


@dataclass(slots=True)
class Kept:
    """All that is kept of one run.

    Attributes:
        row: What is listed of it.
        log: Row n stands at place n: there are no gaps.
        snapshot: The newest.
        questions: By their ids.
        inbox: Messages by their ids, in the order in which they were accepted.
        uses: The large values that its log rows name.
        news: Somebody said something since it was claimed.
        due_at: When it can go on by itself.
    """

    row: RunRow
    log: list[LogRow]
    snapshot: Snapshot | None = None
    questions: dict[str, QuestionRow] = field(default_factory=dict)
    inbox: dict[str, MessageRow] = field(default_factory=dict)
    uses: set[str] = field(default_factory=set)
    news: bool = False
    due_at: float | None = None


class MemoryDatabase:
    """The runs of any number of `MemoryStore`s, each of which is an engine of its own.

    Attributes:
        clock: By which leases are over.
        runs: All runs, by their numbers, in the order in which they were made.
        by_key: The same, by their keys.
        shapes: Forms of graphs by their fingerprints.
        blobs: Large values by their hashes.
        cached: Cached results by their keys.
        asked: All questions, in the order in which they were asked first: which place that is.
        engines: Those that are open, with the time at which their lease is over; None: no lease.
    """

    def __init__(self, *, clock: Clock | None = None):
        """Make an empty one.

        Args:
            clock: By which leases are over.
        """
        self.clock: Clock = clock or SystemClock()
        self.runs: dict[int, Kept] = {}
        self.by_key: dict[str, Kept] = {}
        self.shapes: dict[str, str] = {}
        self.blobs: dict[str, str] = {}
        self.cached: dict[str, CachedRow] = {}
        self.asked: dict[tuple[int, str], int] = {}
        self.engines: dict[str, float | None] = {}
        self._made = 0  # runs, ever: a number is never used a second time
        self._sent = 0  # messages, ever
        self._asked = 0  # questions, ever
        self._unread: set[int] = set()  # the runs with a message that nobody has taken
        self._changes: list[Changes] = []
        self._answers: list[Changes] = []

    # -- engines -------------------------------------------------------------------------------------

    def listen(self, changes: Changes, answers: Changes) -> None:
        """From now on, tell these."""
        self._changes.append(changes)
        self._answers.append(answers)

    def leave(self, changes: Changes, answers: Changes) -> None:
        """Tell these no more."""
        self._changes.remove(changes)
        self._answers.remove(answers)

    def sign_in(self, engine: str, lease: float | None) -> None:
        """An engine is alive, for so many seconds from now on; None: until it says otherwise."""
        self.engines[engine] = None if lease is None else self.clock.now() + lease

    def sign_out(self, engine: str) -> None:
        """An engine gives up all that it owns."""
        self.engines.pop(engine, None)
        for kept in self.runs.values():
            if kept.row.owner == engine:
                _give_up(kept)

    def bury_the_dead(self, me: str) -> None:
        """Take from the engines that died what they own."""
        dead = [kept for kept in self.runs.values() if kept.row.owner not in (None, me) and not self._is_driven(kept)]
        for kept in dead:
            _give_up(kept)
            kept.row = replace(kept.row, claims=kept.row.claims + 1)
        if dead:
            self._changed()

    def expire(self, engine: str) -> None:
        """The lease of an engine is over now; one that has none is dead."""
        if self.engines.get(engine) is None:
            self.engines.pop(engine, None)
        else:
            self.engines[engine] = self.clock.now()

    def is_alive(self, engine: str) -> bool:
        """Whether what an engine owns is its own."""
        return engine in self.engines and not is_over(self.engines[engine], self.clock.now())

    def owns(self, engine: str, run: int, epoch: int) -> bool:
        """Whether a run is an engine's, in this epoch."""
        kept = self.runs.get(run)
        return kept is not None and (kept.row.owner, kept.row.epoch) == (engine, epoch)

    # -- runs ----------------------------------------------------------------------------------------

    def create(self, engine: str, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        found = self.by_key.get(new.key)
        if found is not None:
            return found.row, False
        check_begins(new)
        origin = None if new.origin is None else self.by_key.get(new.origin)
        if new.origin is not None and origin is None:
            raise UnknownRun(new.origin, URL)
        self._made += 1
        at = new.at if new.created_at is None else new.created_at
        row = RunRow(
            number=self._made,
            key=new.key,
            graph=new.graph,
            version=new.version,
            fingerprint=new.fingerprint,
            status="running",
            created_at=at,
            updated_at=at,
            epoch=1,
            owner=engine,
            note="",
            storage=new.storage,
            pinned=new.pinned,
            origin=new.origin,
        )
        kept = Kept(row, [LogRow(0, new.kind, new.at, new.body), *new.rows], uses=set(origin.uses) if origin else set())
        self._add_blobs(kept, new.blobs)
        for question in new.asked:
            self._put_question(kept, question)
        self.runs[row.number] = self.by_key[row.key] = kept
        self.shapes.setdefault(new.fingerprint, new.shape)
        self._changed()
        return row, True

    def claim(self, engine: str, run: int) -> RunRow:
        """See `Store.claim`."""
        kept = self._known(run)
        row = kept.row
        if row.owner == engine:
            if kept.news:
                kept.news = False
                self._changed()
            return row
        if self._is_driven(kept):
            raise RunOwned(row.key, os.getpid(), platform.node())
        died = row.owner is not None
        kept.row = replace(row, owner=engine, epoch=row.epoch + 1, claims=row.claims + died)
        kept.news = False
        self._changed()
        return kept.row

    def append(self, engine: str, change: Append, now: float) -> None:
        """See `Store.append`."""
        kept = self._may_append(engine, change)
        kept.log.extend(change.rows)
        self._add_blobs(kept, change.blobs)
        self.cached.update((cached.key, cached) for cached in change.cached)
        if change.snapshot is not None:
            kept.snapshot = change.snapshot
        self._change_questions(kept, change)
        self._take(kept, change.taken)
        kept.row = self._changed_row(kept, change, now)
        if change.release and change.status is None:
            _give_up(kept)
        if change.form is not None:
            self.shapes.setdefault(change.form.fingerprint, change.form.shape)
        self._changed()

    def due(self, engine: str, graphs: Mapping[str, str], now: float, limit: int) -> list[RunRow]:
        """See `Store.due`."""
        self.bury_the_dead(engine)
        found = [kept.row for kept in self.runs.values() if _is_due(kept, now) and _may_drive(kept.row, graphs)]
        return sorted(found, key=lambda row: (row.updated_at, row.number))[:limit]

    def _is_driven(self, kept: Kept) -> bool:
        return kept.row.owner is not None and self.is_alive(kept.row.owner)

    def _known(self, run: int) -> Kept:
        kept = self.runs.get(run)
        if kept is None:
            raise UnknownRun(f"#{run}", URL)
        return kept

    def _may_append(self, engine: str, change: Append) -> Kept:
        kept = self.runs.get(change.run)
        if kept is None or not self.owns(engine, change.run, change.epoch):
            raise Fenced(f"run {change.run} is not in epoch {change.epoch} of engine {engine}")
        if change.within is not None:
            raise StoreError(URL, "runs that are kept in memory have no SQL, and no transaction to be stored in")
        check_follows(change, kept.log[-1].seq)
        names = [name for name, _ in change.taken]
        free = {name for name in names if name in kept.inbox and kept.inbox[name].taken is None}
        if len(free) < len(names):
            raise Fenced(f"one of the messages {names} of run {change.run} was taken before")
        return kept

    def _changed_row(self, kept: Kept, change: Append, now: float) -> RunRow:
        row = kept.row
        if change.status is not None:
            at = change.rows[-1].at if change.rows else now
            updated_at = row.updated_at if row.status == change.status else at
            row = replace(row, status=change.status, note=change.note, updated_at=updated_at)
            kept.due_at = change.due_at
        if change.moved and row.claims:
            row = replace(row, claims=0)
        if change.form is not None:
            row = replace(row, version=change.form.version, fingerprint=change.form.fingerprint)
        return replace(row, owner=None) if change.release else row

    def _add_blobs(self, kept: Kept, blobs: Mapping[str, str]) -> None:
        kept.uses.update(blobs)
        for name, body in blobs.items():
            self.blobs.setdefault(name, body)

    # -- questions -----------------------------------------------------------------------------------

    def answer(self, run: int, question: str, answer: str, at: float) -> QuestionRow:
        """See `Store.answer`."""
        kept = self.runs.get(run)
        if kept is None or question not in kept.questions:
            known = [q.id for q in kept.questions.values() if q.status == "open"] if kept else []
            raise UnknownQuestion(kept.row.key if kept else f"#{run}", question, known)
        before = kept.questions[question]
        after = answered(before, answer, at)
        if after is not before:
            kept.questions[question] = after
            kept.news = True
            self._said()
        return after

    def _change_questions(self, kept: Kept, change: Append) -> None:
        mine = kept.questions
        for asked in change.asked:
            if asked.id not in mine or mine[asked.id].status != "answered":
                self._put_question(kept, replace(asked, status="open"))
        for name, status in change.closed:
            if name in mine and mine[name].status != "answered":
                mine[name] = replace(mine[name], status=status)
        if change.withdraw:
            mine.update({n: replace(row, status="withdrawn") for n, row in mine.items() if row.status == "open"})

    def _put_question(self, kept: Kept, question: QuestionRow) -> None:
        row = kept.row
        kept.questions[question.id] = replace(question, run=row.number, key=row.key)
        if (row.number, question.id) not in self.asked:
            self._asked += 1
            self.asked[row.number, question.id] = self._asked

    # -- messages ------------------------------------------------------------------------------------

    def send(self, message: MessageRow, alone: int | None) -> tuple[MessageRow, bool]:
        """See `Store.send`."""
        kept = self._known(message.run)
        if message.id in kept.inbox:
            return kept.inbox[message.id], False
        if kept.row.status in TAKES_NO_MESSAGE:
            raise RunEnded(kept.row.key, kept.row.status, "take a message")
        if alone is not None and not _is_alone(kept, message, alone):
            raise RunBusy(kept.row.key, message.channel)
        self._sent += 1
        kept.inbox[message.id] = sent = replace(message, taken=None, number=self._sent)
        kept.news = True
        self._unread.add(message.run)
        self._said()
        return sent, True

    def inbox_of(self, engine: str, taken: bool) -> list[MessageRow]:
        """The messages of all the runs that an engine owns."""
        runs: Iterable[int] = list(self.runs) if taken else self._unread
        mine = [kept for run in runs if (kept := self.runs[run]).row.owner == engine]
        found = [row for kept in mine for row in kept.inbox.values() if taken or row.taken is None]
        return sorted(found, key=lambda row: row.number)

    def _take(self, kept: Kept, taken: Iterable[tuple[str, int]]) -> None:
        for name, seq in taken:
            kept.inbox[name] = replace(kept.inbox[name], taken=seq)
        if taken and all(row.taken is not None for row in kept.inbox.values()):
            self._unread.discard(kept.row.number)

    # -- what nobody needs any more ------------------------------------------------------------------

    def prune(
        self, engine: str, before: float, status: Collection[RunStatus], graph: str | None, limit: int
    ) -> list[str]:
        """See `Store.prune`."""
        self.bury_the_dead(engine)

        def may_go(row: RunRow) -> bool:
            fits = row.status in status and row.updated_at < before and graph in (None, row.graph)
            return fits and row.status != "running" and row.owner is None

        old = [kept.row for kept in self.runs.values() if may_go(kept.row)]
        gone = sorted(old, key=lambda row: (row.updated_at, row.number))[:limit]
        for row in gone:
            kept = self.runs.pop(row.number)
            del self.by_key[row.key]
            self._unread.discard(row.number)
            for name in kept.questions:
                del self.asked[row.number, name]
        if gone:
            self._changed()
        return [row.key for row in gone]

    def tidy(self, now: float, limit: int) -> int:
        """See `Store.tidy`."""
        gone = _drop(self.cached, self._over(now), limit)
        gone += _drop(self.blobs, self._idle(), limit - gone)
        gone += _drop(self.shapes, self._left(), limit - gone)
        if gone:
            self._changed()
        return gone

    def _over(self, now: float) -> Iterator[str]:
        return (row.key for row in self.cached.values() if is_over(row.expires_at, now))

    def _idle(self) -> Iterator[str]:
        """Large values that neither a run nor a cached result names."""
        used = named_in(row.body for row in self.cached.values())
        for kept in self.runs.values():
            used |= kept.uses
        return (name for name in self.blobs if name not in used)

    def _left(self) -> Iterator[str]:
        """Forms of graphs that no run goes by."""
        used = {kept.row.fingerprint for kept in self.runs.values()}
        return (name for name in self.shapes if name not in used)

    def sizes(self) -> dict[str, Size]:
        """See `Store.sizes`."""
        runs = self.runs.values()
        return {
            "runs": _size(kept.row.note for kept in runs),
            "events": _size(row.body for kept in runs for row in kept.log),
            "snapshots": _size(kept.snapshot.body for kept in runs if kept.snapshot),
            "questions": _size(
                f"{q.prompt}{q.details}{q.answer or ''}" for kept in runs for q in kept.questions.values()
            ),
            "messages": _size(row.body for kept in runs for row in kept.inbox.values()),
            "blobs": _size(self.blobs.values()),
            "cached": _size(row.body for row in self.cached.values()),
        }

    # -- inside --------------------------------------------------------------------------------------

    def _changed(self) -> None:
        for changes in self._changes:
            changes.happened()

    def _said(self) -> None:
        self._changed()
        for answers in self._answers:
            answers.happened()


def _give_up(kept: Kept) -> None:
    kept.row = replace(kept.row, owner=None)
    # It may have been claimed for an answer that nobody has looked at.
    kept.news |= kept.row.status == "waiting"


def _is_due(kept: Kept, now: float) -> bool:
    status = kept.row.status
    if kept.row.owner is not None or status not in ("running", "waiting"):
        return False
    return status == "running" or kept.news or is_over(kept.due_at, now)


def _may_drive(row: RunRow, graphs: Mapping[str, str]) -> bool:
    return row.graph in graphs and (not row.pinned or row.version == graphs[row.graph])


def _is_alone(kept: Kept, message: MessageRow, last: int) -> bool:
    waits = any(row.channel == message.channel and row.taken is None for row in kept.inbox.values())
    return kept.log[-1].seq == last and not waits


def _drop(table: dict[str, Any], names: Iterable[str], limit: int) -> int:
    found = list(islice(names, limit))
    for name in found:
        del table[name]
    return len(found)


def _size(texts: Iterable[str]) -> Size:
    lengths = [len(text.encode()) for text in texts]
    return Size(len(lengths), sum(lengths))
