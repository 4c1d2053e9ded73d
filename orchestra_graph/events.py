"""What a run tells whoever follows it: a closed union of typed events, `RunEvent`.

    async for event in run.events():
        match event:
            case events.NodeFinished(id=name, writes=writes): ...
            case events.QuestionAsked(question=question): ...

Rule 1. *Durable* events (`DurableEvent`) are made from the log of the run alone. Every reader, in every process, gets
the same ones in the same order with the same cursors, whether it reads while the run goes on or years later.
Rule 2. *Live* events (`LiveEvent`) are what nodes said with `ctx.emit` and `ctx.progress`. They are not stored: they
reach those who read at that moment from the engine that drives the run, and nobody else. Their cursor is that of the
durable event before them.
Rule 3. A cursor belongs to one run in one database. It is opaque: keep it, and give it back to `Run.events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from orchestra_graph.core.events import ErrorInfo

__all__ = [
    "Answered",
    "DurableEvent",
    "Emitted",
    "ErrorInfo",
    "Interrupted",
    "LateResult",
    "LimitReached",
    "LiveEvent",
    "MessageRefused",
    "NodeFailed",
    "NodeFinished",
    "NodeStarted",
    "NodeWithdrawn",
    "Progress",
    "QuestionAsked",
    "QuestionWithdrawn",
    "RunCancelled",
    "RunEnded",
    "RunEvent",
    "RunForked",
    "RunMoved",
    "RunResumed",
    "RunRetried",
    "RunStarted",
    "StepDone",
    "Waiting",
    "as_data",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfRun:
    """Every event.

    Attributes:
        run: The key of the run.
        cursor: The place of the event in its run, for `Run.events`; opaque.
        at: When it happened, seconds since the epoch.
    """

    run: str
    cursor: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfNode(_OfRun):
    """Every event of a node.

    Attributes:
        id: The activation, such as ``work@1#3``.
        node: The name of the node.
    """

    id: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(_OfRun):
    """The run began.

    Attributes:
        graph: The name of its graph.
        version: The version of its graph.
        input: What it started with, as plain data: field to value.
    """

    graph: str
    version: str
    input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted(_OfNode):
    """A node may run from here on; where the engine has much to do at once, it may take its turn a little later.

    It comes again when the run is resumed before the node has ended, and when the run is retried. That a failed attempt
    is followed by another one is no event of its own: `NodeFailed.retry_at` says when. For an irreversible node this is
    exact: each attempt has one, and it is stored before the node begins.

    A graph that stands in another one is two nodes here: ``review`` is done when it was entered, and ``review/END``
    when it was left; what is inside is ``review/draft`` and so on.

    Attributes:
        attempt: 1 for the first attempt.
    """

    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished(_OfNode):
    """A node is done, or a person's answer was taken.

    Attributes:
        writes: Field to what was written there, as plain data: of a field with a reducer its operand, of a grown one
            the list of new elements.
        replaced: Those of *writes* that set a field with a reducer anew (`Replace`).
        to: The nodes that the edges taken lead to.
        attempt: Which attempt it was.
        took: Seconds that it took.
        message: The id of the message that it took, or None.
        reused: In a fork: the key of the run from whose log this was taken; None: it was run.
    """

    writes: Mapping[str, Any] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    attempt: int = 1
    took: float = 0.0
    message: str | None = None
    reused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFailed(_OfNode):
    """An attempt failed. Nothing of it was written.

    Attributes:
        error: What was raised.
        attempt: Which attempt it was.
        retry_at: When the next attempt begins; None: there is none.
        to: Where its `on_error` edges lead, if they were taken; empty: the failure is the run's.
        took: Seconds that the attempt took.
    """

    error: ErrorInfo
    attempt: int = 1
    retry_at: float | None = None
    to: tuple[str, ...] = ()
    took: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone(_OfNode):
    """A node called ``ctx.step(key, fn)``, and what came of it is stored. The value is not told.

    Attributes:
        key: What the node calls the step.
        index: Its place among the steps of the node, in the order in which they were begun, from 0.
    """

    key: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWithdrawn(_OfNode):
    """A node that was live is not needed any more: a race was lost, a limit was reached, the run was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateResult(_OfNode):
    """A function that was left alone at its timeout ended after all; what it gave is dropped.

    Attributes:
        attempt: Which attempt it was.
        outcome: How it ended.
    """

    attempt: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAsked(_OfNode):
    """A person is asked. What is asked stands in the question: `Run.questions`.

    Attributes:
        question: Its id, for `Run.answer`.
        to: Whom; None: anybody.
        expires_at: After this no answer is taken; None: never.
        doubt: The engine itself asks, whether an irreversible node happened.
    """

    question: str
    to: str | None = None
    expires_at: float | None = None
    doubt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(_OfNode):
    """The run has taken an answer; what it writes is in the `NodeFinished` that follows.

    Attributes:
        question: The id of the question.
    """

    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionWithdrawn(_OfNode):
    """Nobody need answer any more.

    A question whose time is over is a `NodeFailed` with ``QuestionExpired`` instead.

    Attributes:
        question: The id of the question.
    """

    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(_OfRun):
    """Only people and messages can move the run from here.

    Attributes:
        questions: The ids of the questions that are open.
        channels: Where messages are waited for.
    """

    questions: tuple[str, ...]
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(_OfRun):
    """A message that interrupts came while its loop was at work: that work is withdrawn, and the loop begins anew.

    Attributes:
        channel: Where it was sent to.
        message: Its id. A node takes it next.
    """

    channel: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRefused(_OfRun):
    """A message does not fit what is taken on its channel; nobody will take it.

    Attributes:
        channel: Where it was sent to.
        message: Its id.
        error: What is wrong with it.
    """

    channel: str
    message: str
    error: ErrorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReached(_OfRun):
    """A limit was reached.

    Attributes:
        limit: What was limited, such as ``turns of 'draft'``.
        allowed: How much of it was allowed.
    """

    limit: str
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(_OfRun):
    """An engine took the run over after it had rested, or after its owner had died.

    Attributes:
        engine: Which; for people.
    """

    engine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRetried(_OfRun):
    """Somebody asked for another go after a failure or a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunForked(_OfRun):
    """From here on this is a run of its own. What comes before happened in the run that it was forked from.

    Attributes:
        origin: The key of that run.
        step: The last step that both have.
        update: What was set, as plain data: field to value.
    """

    origin: str
    step: int
    update: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMoved(_OfRun):
    """From here on the run goes on with another form of its graph: the code was changed.

    Attributes:
        version: Of the graph, from here on.
        was: The version before.
        changes: What is not the same, one line each.
    """

    version: str
    was: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled(_OfRun):
    """Somebody cancelled the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(_OfRun):
    """Nothing more happens, unless somebody retries.

    Attributes:
        status: How it ended.
        reason: Of a failure, a limit, or of what killed its processes, for people.
    """

    status: Literal["done", "failed", "cancelled", "stopped", "dead"]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted(_OfNode):
    """A node called ``ctx.emit(value)``. Live only.

    Attributes:
        value: The very object that the node gave: change nothing in it.
    """

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(_OfNode):
    """A node called ``ctx.progress(fraction, text)``. Live only.

    Attributes:
        fraction: How much is done, 0 to 1; None where it cannot be said.
        text: What is being done.
    """

    fraction: float | None
    text: str = ""


DurableEvent: TypeAlias = (
    RunStarted
    | NodeStarted
    | NodeFinished
    | NodeFailed
    | StepDone
    | NodeWithdrawn
    | LateResult
    | QuestionAsked
    | Answered
    | QuestionWithdrawn
    | Waiting
    | LimitReached
    | Interrupted
    | MessageRefused
    | RunResumed
    | RunRetried
    | RunForked
    | RunMoved
    | RunCancelled
    | RunEnded
)
LiveEvent: TypeAlias = Emitted | Progress
RunEvent: TypeAlias = DurableEvent | LiveEvent
"""``match`` over these is exhaustive."""


def as_data(event: RunEvent) -> dict[str, Any]:
    """An event as plain data, with its kind under ``event``: what a line of JSON is made of."""
    data: dict[str, Any] = {"event": type(event).__name__}
    for spec in fields(event):
        value = getattr(event, spec.name)
        data[spec.name] = {"type": value.type, "message": value.message} if isinstance(value, ErrorInfo) else value
    return data
