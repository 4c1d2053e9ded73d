"""The contract of a store: one append-only log for each run, and the few tables around it.

Rule 1. What `append` was awaited for is durable (as the store's setting has it) and in the order in which `append`
was called.
Rule 2. A store knows no graph, no schema and no type: bodies are JSON text that it never reads.
Rule 3. Only the owner of a run appends to its log, and every append names the epoch of that ownership. Everybody may
answer a question.
Rule 4. A snapshot replaces its predecessor. The log is never shortened by it.
Rule 5. Cancelling whoever awaits a method never leaves a transaction half done, and never cancels an append that was
queued.

`tests/store/contract.py` holds every implementation to this.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from orchestra_graph.core.record import RunStatus

__all__ = [
    "Append",
    "CachedRow",
    "Fenced",
    "LogRow",
    "NewRun",
    "QuestionRow",
    "QuestionStatus",
    "RunRow",
    "Snapshot",
    "Store",
]

QuestionStatus = Literal["open", "answered", "expired", "withdrawn"]


class Fenced(BaseException):
    """This process does not own the run any more: its append was refused. Never for user code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as the store lists it.

    Attributes:
        number: The store's own id.
        key: The user's, unique.
        graph: Name of the graph.
        version: Version of the graph.
        fingerprint: Of the graph.
        status: Of the run.
        created_at: Seconds since the epoch.
        updated_at: When the status last changed.
        epoch: Counts the owners of the run.
        owner: The engine that drives it, or None.
        note: JSON text: what the outcome needs beyond the status (the error, the limit); empty when nothing.
        storage: The number of the storage format it was written in.
    """

    number: int
    key: str
    graph: str
    version: str
    fingerprint: str
    status: RunStatus
    created_at: float
    updated_at: float
    epoch: int
    owner: str | None
    note: str
    storage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be created.

    Attributes:
        key: The start key.
        graph: Name of the graph.
        version: Version of the graph.
        fingerprint: Of the graph.
        shape: JSON text of the graph's shape, kept once for each fingerprint.
        body: JSON text of the first log row, which is row 0: the input.
        at: Seconds since the epoch.
        storage: The number of the storage format.
        kind: The kind of the first log row.
        blobs: Large values that the first log row names, by their hash; see `Append`.
    """

    key: str
    graph: str
    version: str
    fingerprint: str
    shape: str
    body: str
    at: float
    storage: int = 1
    kind: str = "RunStarted"
    blobs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogRow:
    """One event of a run.

    Attributes:
        seq: Its place in the log of its run: 0, 1, 2 ... without a gap.
        kind: What happened.
        at: When, seconds since the epoch.
        body: JSON text.
    """

    seq: int
    kind: str
    at: float
    body: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a replay may begin.

    Attributes:
        seq: The last log row that is part of it.
        body: JSON text.
    """

    seq: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRow:
    """A question to a person.

    Attributes:
        run: The run's number.
        key: The run's key.
        id: The activation that asks; unique in its run.
        prompt: The question.
        to: Whom it is for, or None.
        details: JSON text.
        schema: JSON text: the JSON schema of an answer.
        status: ``open``, ``answered``, ``expired`` or ``withdrawn``.
        asked_at: Seconds since the epoch.
        expires_at: After this time no answer is taken; None: never.
        answer: JSON text of the answer, or None.
        answered_at: When it was answered, or None.
    """

    run: int
    key: str
    id: str
    prompt: str
    to: str | None
    details: str
    schema: str
    status: QuestionStatus
    asked_at: float
    expires_at: float | None
    answer: str | None = None
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class CachedRow:
    """What a node gave, for whoever would run it again on the same.

    Attributes:
        key: Says what was run, and on what.
        body: JSON text.
        expires_at: From this time on it is not there, in seconds since the epoch; None: never.
    """

    key: str
    body: str
    expires_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """One atomic change of one run.

    Attributes:
        run: The run's number.
        epoch: Of the owner that writes.
        rows: Events, in order.
        snapshot: A new snapshot, or None.
        asked: Questions that are open from now on, those that were closed before, too; an answered one stays answered.
            Their ``run`` and ``key`` are those of the run, and their ``status`` is ``open``, whatever they say.
        closed: Questions that are not open any more, as ``(id, status)``; an answered one stays answered. Done after
            *asked*.
        withdraw: No question of the run is open any more: those that are become ``withdrawn``. Done after *closed*.
        status: The run's new status, or None where it stays.
        note: With *status*: the new note.
        release: Give the ownership up in the same transaction.
        sync: Must survive a power loss, too.
        blobs: Large values that *rows* name, by the hash of their text. Each text is kept once, however often and by
            however many runs it is written; one that is there already stays as it is.
        cached: Results to be found by `Store.cached`; each takes the place of the one that had its key.
    """

    run: int
    epoch: int
    rows: Sequence[LogRow] = ()
    snapshot: Snapshot | None = None
    asked: Sequence[QuestionRow] = ()
    closed: Sequence[tuple[str, QuestionStatus]] = ()
    withdraw: bool = False
    status: RunStatus | None = None
    note: str = ""
    release: bool = False
    sync: bool = False
    blobs: Mapping[str, str] = field(default_factory=dict)
    cached: Sequence[CachedRow] = ()


class Store(Protocol):
    """Keeps runs.

    Used as ``async with store:``. Every method raises `StoreClosed` outside of it, and any other `StoreError`.
    """

    url: str

    async def __aenter__(self) -> Store:
        """Open; bring the schema up to date where the store does that by itself."""
        ...

    async def __aexit__(self, *exc: Any) -> None:
        """Finish what was queued, give up every ownership, close."""
        ...

    async def create(self, new: NewRun) -> tuple[RunRow, bool]:
        """Create a run, owned by this store's engine, with its first log row; or find the one that has the key.

        Returns:
            The run, and whether it was created here. Of two that race for a key exactly one creates it. A run that
            was found is returned as it is: the caller compares graph and input.
        """
        ...

    async def find(self, key: str) -> RunRow | None:
        """The run with this key."""
        ...

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
        """Runs, the newest first.

        Args:
            status: Only these; all where it is empty.
            graph: Only of this graph.
            key: Only those whose key begins with exactly this text.
            since: Only those created at this time or later, in seconds since the epoch.
            until: Only those created before this time.
            after: Only those that are older than the run with this number: the next page after its row.
            limit: At most so many.
        """
        ...

    async def shape(self, fingerprint: str) -> str | None:
        """The JSON text of a graph's shape."""
        ...

    async def claim(self, run: int) -> int:
        """Become the owner of a run.

        Returns:
            The epoch to append with. The same one as before when this engine owns the run already.

        Raises:
            RunOwned: A live engine owns it, in this or another process. An owner whose process is dead is replaced at
                once.
            UnknownRun: There is no such run.
        """
        ...

    async def append(self, change: Append) -> None:
        """Make a change durable; many at a time go into one transaction.

        A change that fails does not touch those of other runs. Those of the same run that were queued behind it fail
        with it, with the same error: the log never has a gap.

        Raises:
            Fenced: The epoch is not the run's, or its ownership was released: nothing was written.
            StoreFull: No room; nothing of this change was written.
            EngineBug: Its rows do not go on where the log ends, or its snapshot is of rows that are not there.
        """
        ...

    async def snapshot(self, run: int) -> Snapshot | None:
        """The snapshot of a run."""
        ...

    async def log(self, run: int, *, after: int = -1, upto: int | None = None) -> list[LogRow]:
        """Log rows with ``after < seq <= upto``, in order."""
        ...

    async def rows(self, run: int, seqs: Sequence[int]) -> list[LogRow]:
        """The log rows with these numbers, in order; any number of them."""
        ...

    async def blobs(self, hashes: Iterable[str]) -> dict[str, str]:
        """Large values by their hashes, any number of them; those that are not there are left out."""
        ...

    async def cached(self, key: str, now: float) -> str | None:
        """The body of the cached result with this key.

        One whose time is over at *now* is not there, and is removed.
        """
        ...

    async def questions(
        self, run: int | None = None, *, status: Sequence[QuestionStatus] = ("open",)
    ) -> list[QuestionRow]:
        """Questions of one run, or of all, the oldest first; every status where *status* is empty."""
        ...

    async def question(self, run: int, question: str) -> QuestionRow | None:
        """One question, as it is now; None where it was never asked."""
        ...

    async def news(self, asked: Mapping[int, Collection[str]], *, now: float | None = None) -> list[QuestionRow]:
        """Of the questions that somebody waits for, those for which waiting is over. One look, however many runs.

        Args:
            asked: The ids of the questions, by the number of their run. One that is not there is no news.
            now: Also those that are open, and whose time is over at this time.

        Returns:
            As they are now, the oldest first: answered, expired, withdrawn; with *now* maybe open.
        """
        ...

    async def answer(self, run: int, question: str, answer: str, at: float) -> QuestionRow:
        """Give an open question its answer, once. Durable against a power loss.

        An open question whose time is over at *at* becomes ``expired`` instead.

        Returns:
            The question as it is now. The caller sees from its ``status`` and ``answer`` whether this answer is the
            one that stands: of two that race exactly one does.

        Raises:
            UnknownQuestion: There is no such question.
        """
        ...

    async def changes(self, timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until something may have been written by anybody, in any process, or *timeout* seconds have passed.

        Returns:
            Whether something may have changed since the last call of this asyncio task, or since the store was opened.
            May be true without need; never misses a change for longer than the store's poll interval. True when the
            store is closed meanwhile.
        """
        ...

    async def answers(self, timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until a question may have been answered; otherwise as `changes`.

        What else this store writes is nothing to wake anybody for. Whatever another process writes may be an answer.
        """
        ...
