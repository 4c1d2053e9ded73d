"""The contract of a store: one append-only log for each run, and the few tables around it.

Rule 1. What `append` was awaited for is durable (as the store's setting has it) and in the order in which `append`
was called.
Rule 2. A store knows no graph, no schema and no type: bodies are JSON text that it never reads.
Rule 3. Only the owner of a run appends to its log, and every append names the epoch of that ownership; it is checked
in the transaction that writes, under a lock that a takeover needs, too. Everybody may answer a question and send a
message.
Rule 4. A snapshot replaces its predecessor. The log is never shortened by it.
Rule 5. Cancelling whoever awaits a method never leaves a transaction half done, and never cancels an append that was
queued.
Rule 6. An owner that is alive is not replaced, and one that is not alive is. What alive means is the store's: a lock
that dies with its process, or a lease by the database's clock.

`orchestra_graph.testing.contract` holds every implementation to this.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from orchestra_graph.core.record import RunStatus

__all__ = [
    "Append",
    "CachedRow",
    "Fenced",
    "Form",
    "LogRow",
    "MessageRow",
    "NewRun",
    "QuestionRow",
    "QuestionStatus",
    "RunRow",
    "Size",
    "Snapshot",
    "Store",
    "Transaction",
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
        claims: How many owners in a row died while they drove it, and nothing happened in between; see `Append.moved`.
        pinned: Only code of exactly this version may drive it.
        origin: The key of the run that it was forked from, or None.
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
    claims: int = 0
    pinned: bool = False
    origin: str | None = None


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
        at: The time of the first log row, in seconds since the epoch.
        created_at: When the run was created, where that is another time.
        storage: The number of the storage format.
        kind: The kind of the first log row.
        blobs: Large values that the log rows name, by their hash; see `Append`.
        rows: Further log rows: 1, 2 ...
        asked: Questions that are open, or were answered, as of these rows; their ``run`` and ``key`` are those of the
            new run.
        pinned: Only code of exactly this version may drive it.
        origin: The key of the run that it is forked from. Large values of that run may be named without being given.
    """

    key: str
    graph: str
    version: str
    fingerprint: str
    shape: str
    body: str
    at: float
    storage: int = 1
    created_at: float | None = None
    kind: str = "RunStarted"
    blobs: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[LogRow] = ()
    asked: Sequence[QuestionRow] = ()
    pinned: bool = False
    origin: str | None = None


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
class MessageRow:
    """Something that was sent to a run.

    Attributes:
        run: The run's number.
        id: The sender's own name for it, unique in its run: sent twice, it is one message.
        channel: Which nodes take it. One that begins with ``$`` is for the engine that drives the run.
        body: JSON text.
        sent_at: Seconds since the epoch.
        taken: The number of the log row that took it, or None: nobody has yet.
        number: The store's own, growing in the order in which the messages of a run were accepted.
    """

    run: int
    id: str
    channel: str
    body: str
    sent_at: float
    taken: int | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Form:
    """The graph that a run goes on with.

    Attributes:
        version: Of the graph.
        fingerprint: Of the graph.
        shape: JSON text of its shape.
    """

    version: str
    fingerprint: str
    shape: str


@dataclass(frozen=True, slots=True)
class Size:
    """What one kind of thing takes.

    Attributes:
        rows: How many there are.
        bytes: Of their texts; None where the store cannot say.
    """

    rows: int
    bytes: int | None


class Transaction(Protocol):
    """An open transaction on the database of a store, for a node's own statements.

    It ends with the `Append` that names it in ``within``, in which the node's result is stored, or with `rollback`.
    """

    async def execute(self, statement: Any, parameters: Any = None) -> list[Any]:
        """Run one statement.

        Args:
            statement: SQL text with ``:name`` parameters, or a statement of SQLAlchemy Core.
            parameters: A mapping of their values, or a list of such: the statement is run for each.

        Returns:
            The rows that it gives, as SQLAlchemy's `Row`-like named tuples; empty where it gives none.

        Raises:
            StoreError: The database refuses; nothing of the transaction can be stored any more.
        """
        ...

    async def check(self) -> None:
        """Have the database check now what it would check at the commit, such as deferred constraints.

        Raises:
            StoreError: It refuses; nothing of the transaction can be stored any more.
        """
        ...

    async def rollback(self) -> None:
        """Undo everything; does nothing the second time, or after it was stored. Stops a statement that still runs."""
        ...


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
        release: Give the ownership up in the same transaction. Without *status*, one that waits is due again: what it
            was claimed for may not have been looked at.
        sync: Must survive a power loss, too.
        blobs: Large values that *rows* name, by the hash of their text. Each text is kept once, however often and by
            however many runs it is written; one that is there already stays as it is.
        cached: Results to be found by `Store.cached`; each takes the place of the one that had its key.
        taken: Messages that are taken by this, with the numbers of the log rows that say so. One that is taken already
            is refused: see `Store.append`.
        moved: Something has come of driving it: how many owners died before is forgotten.
        due_at: With *status*: when the run can go on by itself though nobody says anything, in seconds since the epoch.
        form: From now on the run goes on with this graph.
        within: The transaction in which all this is stored, with what a node did in there itself.
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
    taken: Sequence[tuple[str, int]] = ()
    moved: bool = False
    due_at: float | None = None
    form: Form | None = None
    within: Transaction | None = None


class Store(Protocol):
    """Keeps runs.

    Used as ``async with store:``. Every method raises `StoreClosed` outside of it, and any other `StoreError`.

    Attributes:
        url: Where it is.
        lost: Called in the event loop with the numbers of runs that this store owned and that somebody else may own
            now, as soon as that is known: whoever drives them must stop. Set by the engine.
    """

    url: str
    lost: Callable[[Collection[int]], object] | None

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

    async def claim(self, run: int) -> RunRow:
        """Become the owner of a run.

        That somebody has said something to it (`due`) is known from here on.

        Returns:
            The run as it is now, with the epoch to append with: the same one as before when this engine owns the run
            already. Where the owner before was dead, ``claims`` is one more than before.

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
            Fenced: The epoch is not the run's, or its ownership was released: nothing was written. Or one of the
                messages that it takes was taken before.
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

    async def due(self, graphs: Mapping[str, str], *, now: float, limit: int = 100) -> list[RunRow]:
        """Runs that can go on and that nobody drives, those that have waited longest first.

        That are those that are ``running`` without a living owner, and those that are ``waiting`` and to which somebody
        has said something since (an answer, a message), or whose ``due_at`` has come.

        Args:
            graphs: Only of these graphs, with the version of each; pinned runs only of that version.
            now: Seconds since the epoch.
            limit: At most so many.
        """
        ...

    async def send(self, message: MessageRow, *, alone: int | None = None) -> tuple[MessageRow, bool]:
        """Keep a message for a run. Durable against a power loss.

        Args:
            message: The message; one with its id that is there already stays as it is.
            alone: Only where the log of the run ends with the row of this number, and no other message on its channel
                waits to be taken.

        Returns:
            The message as it is now, and whether it was new: one with its id is there already where it is not.

        Raises:
            UnknownRun: There is no such run.
            RunEnded: It is done, or cancelled: nobody will ever take it.
            RunBusy: It is not *alone*.
        """
        ...

    async def inbox(self, run: int | None = None, *, taken: bool = False) -> list[MessageRow]:
        """Messages of a run, in the order in which they were accepted.

        Args:
            run: Its number; None: of all the runs that this store owns.
            taken: Also those that were taken.
        """
        ...

    async def begin(self, run: int, epoch: int) -> Transaction:
        """Open a transaction for a node's own statements.

        Raises:
            Fenced: The epoch is not the run's.
            StoreError: This store has no SQL, or no room for one more transaction.
        """
        ...

    async def prune(
        self, *, before: float, status: Collection[RunStatus], graph: str | None = None, limit: int = 100
    ) -> list[str]:
        """Remove runs for good, with all that belongs to them, the oldest first; one batch, in one transaction.

        Args:
            before: Only those whose status last changed before this time, in seconds since the epoch.
            status: Only those that have one of these. A run that is ``running``, or has an owner, is never removed.
            graph: Only of this graph.
            limit: At most so many.

        Returns:
            The keys of those that were removed; fewer than *limit*: there are no more.
        """
        ...

    async def tidy(self, *, now: float, limit: int = 1000) -> int:
        """Remove what nobody needs: cached results whose time is over, large values and forms that no run uses.

        Returns:
            How many rows; fewer than *limit*: there are no more.
        """
        ...

    async def compact(self) -> None:
        """Give the room of what was removed back to the disk. May take long, and hold up others."""
        ...

    async def sizes(self) -> dict[str, Size]:
        """How much there is of each kind.

        Returns:
            By ``runs``, ``events``, ``snapshots``, ``questions``, ``messages``, ``blobs`` and ``cached``.
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
        """Wait until a question may have been answered, or a message sent; otherwise as `changes`.

        What else this store writes is nothing to wake anybody for. Whatever another process writes may be an answer.
        """
        ...
