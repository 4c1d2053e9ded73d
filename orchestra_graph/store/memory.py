"""The store for runs that nobody needs afterwards: `graph.run()` without a database, and tests.

It keeps the contract of `Store`, but for what only a file can do: other processes do not see it, and its runs end
with the object. Opening it again finds them, as a new owner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from orchestra_graph.clock import Clock, SystemClock
from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import StoreClosed, StoreError, UnknownQuestion, UnknownRun
from orchestra_graph.ids import new_engine_id
from orchestra_graph.store.base import (
    Append,
    CachedRow,
    Fenced,
    LogRow,
    NewRun,
    QuestionRow,
    QuestionStatus,
    RunRow,
    Snapshot,
)
from orchestra_graph.store.changes import Changes
from orchestra_graph.store.rules import answered, check_follows, is_over

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Kept:
    """All that is kept of one run."""

    row: RunRow
    log: list[LogRow]
    snapshot: Snapshot | None = None
    questions: dict[str, QuestionRow] = field(default_factory=dict)


class MemoryStore:
    """A `Store` that keeps runs in this object."""

    url = "memory://"

    def __init__(self, *, clock: Clock | None = None):
        """Make an empty one.

        Args:
            clock: Where the time comes from.
        """
        self._clock: Clock = clock or SystemClock()
        self._engine: str | None = None  # while it is open
        self._runs: list[_Kept] = []  # the number of a run is its place, from 1
        self._by_key: dict[str, _Kept] = {}
        self._shapes: dict[str, str] = {}
        self._blobs: dict[str, str] = {}
        self._cached: dict[str, CachedRow] = {}
        self._asked: dict[tuple[int, str], int] = {}  # in the order in which they were asked first: which place that is
        self._changes = Changes()
        self._answers = Changes()

    async def __aenter__(self) -> MemoryStore:
        """Open."""
        if self._engine is not None:
            raise StoreError(self.url, "this store is open already. Make another one:   MemoryStore()")
        self._engine = new_engine_id()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        """Give up every ownership, close."""
        for kept in self._runs:
            kept.row = replace(kept.row, owner=None)
        self._engine = None
        self._changes.happened()
        self._answers.happened()

    # -- writing -------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        engine = self._check_open()
        found = self._by_key.get(new.key)
        if found is not None:
            return found.row, False
        row = RunRow(
            number=len(self._runs) + 1,
            key=new.key,
            graph=new.graph,
            version=new.version,
            fingerprint=new.fingerprint,
            status="running",
            created_at=new.at,
            updated_at=new.at,
            epoch=1,
            owner=engine,
            note="",
            storage=new.storage,
        )
        self._add_blobs(new.blobs)
        kept = _Kept(row, [LogRow(0, new.kind, new.at, new.body)])
        self._runs.append(kept)
        self._by_key[new.key] = kept
        self._shapes.setdefault(new.fingerprint, new.shape)
        self._changes.happened()
        return row, True

    async def claim(self, run: int) -> RunRow:
        """See `Store.claim`; nobody else can own a run here."""
        engine = self._check_open()
        kept = self._kept(run)
        if kept is None:
            raise UnknownRun(f"#{run}", self.url)
        if kept.row.owner != engine:
            kept.row = replace(kept.row, owner=engine, epoch=kept.row.epoch + 1)
            self._changes.happened()
        return kept.row

    async def append(self, change: Append) -> None:
        """See `Store.append`."""
        engine = self._check_open()
        kept = self._kept(change.run)
        if kept is None or kept.row.owner != engine or kept.row.epoch != change.epoch:
            raise Fenced(f"run {change.run} is not in epoch {change.epoch} of engine {engine}")
        check_follows(change, kept.log[-1].seq)
        kept.log.extend(change.rows)
        self._add_blobs(change.blobs)
        self._cached.update((cached.key, cached) for cached in change.cached)
        if change.snapshot is not None:
            kept.snapshot = change.snapshot
        self._change_questions(kept, change)
        if change.status is not None:
            self._set_status(kept, change, change.status)
        if change.release:
            kept.row = replace(kept.row, owner=None)
        self._changes.happened()

    async def answer(self, run: int, question: str, answer: str, at: float) -> QuestionRow:
        """See `Store.answer`."""
        self._check_open()
        kept = self._kept(run)
        if kept is None or question not in kept.questions:
            known = [q.id for q in kept.questions.values() if q.status == "open"] if kept else []
            raise UnknownQuestion(kept.row.key if kept else f"#{run}", question, known)
        before = kept.questions[question]
        after = answered(before, answer, at)
        if after is not before:
            kept.questions[question] = after
            self._changes.happened()
            self._answers.happened()
        return after

    def _add_blobs(self, blobs: Mapping[str, str]) -> None:
        for name, body in blobs.items():
            self._blobs.setdefault(name, body)

    def _change_questions(self, kept: _Kept, change: Append) -> None:
        mine = kept.questions
        for asked in change.asked:
            if asked.id not in mine or mine[asked.id].status != "answered":
                mine[asked.id] = replace(asked, run=change.run, key=kept.row.key, status="open")
                self._asked.setdefault((change.run, asked.id), len(self._asked))
        for name, status in change.closed:
            if name in mine and mine[name].status != "answered":
                mine[name] = replace(mine[name], status=status)
        if change.withdraw:
            mine.update({n: replace(row, status="withdrawn") for n, row in mine.items() if row.status == "open"})

    def _set_status(self, kept: _Kept, change: Append, status: RunStatus) -> None:
        before = kept.row
        at = change.rows[-1].at if change.rows else self._clock.now()
        kept.row = replace(
            before,
            status=status,
            note=change.note,
            updated_at=before.updated_at if before.status == status else at,
        )

    # -- reading -------------------------------------------------------------------------------------

    async def find(self, key: str) -> RunRow | None:
        """See `Store.find`."""
        self._check_open()
        found = self._by_key.get(key)
        return found.row if found else None

    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        graph: str | None = None,
        key: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[RunRow]:
        """See `Store.runs`."""
        self._check_open()
        rows = (kept.row for kept in reversed(self._runs if after is None else self._runs[: max(after - 1, 0)]))
        fit = (
            row
            for row in rows
            if (not status or row.status in status)
            and graph in (None, row.graph)
            and row.key.startswith(key or "")
            and (since is None or row.created_at >= since)
            and (until is None or row.created_at < until)
        )
        return list(islice(fit, limit))

    async def shape(self, fingerprint: str) -> str | None:
        """See `Store.shape`."""
        self._check_open()
        return self._shapes.get(fingerprint)

    async def snapshot(self, run: int) -> Snapshot | None:
        """See `Store.snapshot`."""
        self._check_open()
        kept = self._kept(run)
        return kept.snapshot if kept else None

    async def log(self, run: int, *, after: int = -1, upto: int | None = None) -> list[LogRow]:
        """See `Store.log`."""
        self._check_open()
        kept = self._kept(run)
        # Row n stands at place n: there are no gaps.
        return kept.log[max(after + 1, 0) : None if upto is None else max(upto + 1, 0)] if kept else []

    async def rows(self, run: int, seqs: Sequence[int]) -> list[LogRow]:
        """See `Store.rows`."""
        self._check_open()
        kept = self._kept(run)
        return [kept.log[seq] for seq in sorted(set(seqs)) if 0 <= seq < len(kept.log)] if kept else []

    async def blobs(self, hashes: Iterable[str]) -> dict[str, str]:
        """See `Store.blobs`."""
        self._check_open()
        return {name: self._blobs[name] for name in hashes if name in self._blobs}

    async def cached(self, key: str, now: float) -> str | None:
        """See `Store.cached`."""
        self._check_open()
        found = self._cached.get(key)
        if found is not None and is_over(found.expires_at, now):
            del self._cached[key]
            return None
        return found.body if found else None

    async def questions(
        self, run: int | None = None, *, status: Sequence[QuestionStatus] = ("open",)
    ) -> list[QuestionRow]:
        """See `Store.questions`."""
        self._check_open()
        if run is None:
            rows = [self._runs[number - 1].questions[name] for number, name in self._asked]
        else:
            rows = list(kept.questions.values()) if (kept := self._kept(run)) else []
        return [row for row in rows if not status or row.status in status]

    async def question(self, run: int, question: str) -> QuestionRow | None:
        """See `Store.question`."""
        self._check_open()
        kept = self._kept(run)
        return kept.questions.get(question) if kept else None

    async def news(self, asked: Mapping[int, Collection[str]], *, now: float | None = None) -> list[QuestionRow]:
        """See `Store.news`."""
        self._check_open()
        named = [
            kept.questions[name]
            for number, names in asked.items()
            if (kept := self._kept(number)) is not None
            for name in names
            if name in kept.questions
        ]
        found = [row for row in named if row.status != "open" or (now is not None and is_over(row.expires_at, now))]
        return sorted(found, key=lambda row: self._asked[row.run, row.id])

    async def changes(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.changes`."""
        self._check_open()
        return await self._changes.wait(timeout)

    async def answers(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.answers`."""
        self._check_open()
        return await self._answers.wait(timeout)

    # -- inside --------------------------------------------------------------------------------------

    def _check_open(self) -> str:
        if self._engine is None:
            raise StoreClosed(self.url, "the store is not open. Use it inside of   async with store:")
        return self._engine

    def _kept(self, run: int) -> _Kept | None:
        return self._runs[run - 1] if 0 < run <= len(self._runs) else None
