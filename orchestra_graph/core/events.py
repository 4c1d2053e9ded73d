"""What can happen to a run. The log of a run is a list of these, and its state is their fold.

Every event carries its time; values in it are Python values, as they came back from JSON (`state.codec`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

__all__ = [
    "Answered",
    "DoubtSettled",
    "ErrorInfo",
    "Event",
    "Interrupted",
    "JoinAsked",
    "LateResult",
    "LimitPassed",
    "MessageRefused",
    "NodeFailed",
    "NodeFinished",
    "NodeStarted",
    "QuestionAsked",
    "RunCancelled",
    "RunEnded",
    "RunForked",
    "RunMoved",
    "RunResumed",
    "RunRetried",
    "RunStarted",
    "StepDone",
    "Taken",
]


class Taken(NamedTuple):
    """An edge that was taken; into an `each`, how many times."""

    edge: int
    times: int | None = None


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as data.

    Attributes:
        type: The name of its class.
        message: Its text.
    """

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The run began. ``values`` is what every field starts with; then its limits; ``code`` as in `RunResumed`."""

    at: float
    values: Mapping[str, Any]
    steps: int | None = None
    seconds: float | None = None
    turns: int | None = None
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted:
    """An irreversible node is about to begin; for all others the start is part of what came before."""

    at: float
    id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished:
    """A node, or a person, is done.

    Attributes:
        at: When.
        id: The activation.
        writes: Field to value; of a grown field the new elements.
        taken: The edges taken, decided once, in the driver.
        items: For an edge into an `each` whose items a function made: the items.
        attempt: Which attempt it was.
        took: Seconds that the attempt took.
        replaced: Those of *writes* that are whole values of a field with a reducer: they set it anew.
        cached: The node was not run: this is what it gave at an earlier time, on the same.
        message: The id of the message that it took, or None.
        reused: The node was not run in this fork: the key of the run from whose log this was taken; or None.
    """

    at: float
    id: str
    writes: Mapping[str, Any] = field(default_factory=dict)
    taken: Sequence[Taken] = ()
    items: Mapping[int, Sequence[Any]] = field(default_factory=dict)
    attempt: int = 1
    took: float = 0.0
    replaced: tuple[str, ...] = ()
    cached: bool = False
    message: str | None = None
    reused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFailed:
    """An attempt failed; with ``retry_at`` another one follows, with ``taken`` the run goes on over these edges."""

    at: float
    id: str
    error: ErrorInfo
    attempt: int = 1
    retry_at: float | None = None
    took: float = 0.0
    taken: Sequence[Taken] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A step inside of a node is done; the node goes on, and whoever runs it again takes the value from here.

    Attributes:
        at: When.
        id: The activation.
        key: What the node calls the step.
        index: Its place among the steps of an attempt, in the order in which they were begun, from 0.
        value: What came of it, as plain data.
    """

    at: float
    id: str
    key: str
    index: int
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinAsked:
    """An `until` join was asked whether what has come is enough.

    Attributes:
        at: When.
        id: The join, as its activation will be called.
        seen: How many tokens had come.
        fire: The answer.
        error: What the predicate raised instead.
    """

    at: float
    id: str
    seen: int
    fire: bool
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAsked:
    """A person is asked.

    Attributes:
        at: When.
        id: The activation.
        question: The id of the question; one activation may ask again after a retry.
        to: Whom.
        expires_at: After this, no answer is taken.
        doubt: The question is whether an irreversible node happened.
    """

    at: float
    id: str
    question: str
    to: str | None = None
    expires_at: float | None = None
    doubt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtSettled:
    """A person said that an irreversible node did not happen after all; it may run."""

    at: float
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answer came; what it writes is in the `NodeFinished` that follows."""

    at: float
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """A message that interrupts came while its loop was at work: the loop begins anew.

    Attributes:
        at: When.
        cap: What covers the loop, by its index in the plan.
        message: The id of the message; a node takes it with the `NodeFinished` that follows.
    """

    at: float
    cap: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRefused:
    """A message was taken off its channel because it is none.

    Attributes:
        at: When.
        message: Its id.
        channel: Of the message.
        error: What is wrong with it.
    """

    at: float
    message: str
    channel: str
    error: ErrorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class LateResult:
    """A sync node that was left alone at its timeout ended after all; its result is dropped."""

    at: float
    id: str
    attempt: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPassed:
    """Time is over: that of the run, or that of the limit with the index *cap* in the plan."""

    at: float
    limit: str
    allowed: float
    cap: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed:
    """An engine took the run over after it had rested, or after its owner had died.

    Attributes:
        at: When.
        engine: Which, for people.
        code: A few characters for the code of each node from here on (`runtime.code_version`); empty where unknown.
    """

    at: float
    engine: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRetried:
    """Somebody asked for another go after a failure or a limit; then the new limits; ``code`` as in `RunResumed`."""

    at: float
    steps: int | None = None
    seconds: float | None = None
    turns: int | None = None
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunForked:
    """From here on this is another run: all before are rows of the log of the one that it was forked from.

    Attributes:
        at: When.
        origin: The key of that run.
        step: The last row that is its.
        known: How many rows its log had then: results in these may be taken.
        values: The update: whole values of fields, which all that is live sees from here on.
        steps: The limit on steps from here on.
        seconds: The limit on time.
        turns: The limit on the turns of loops that have none of their own.
        anew: What the limits count begins anew.
        code: As in `RunResumed`.
    """

    at: float
    origin: str
    step: int
    known: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    seconds: float | None = None
    turns: int | None = None
    anew: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMoved:
    """From here on the run goes on with another form of its graph; a replay may begin here.

    Attributes:
        at: When.
        fingerprint: Of the new form.
        version: Of the new graph.
        was: The fingerprint of the form before.
        was_version: The version of the graph before.
        changes: What is not the same, one line each, for people.
        position: Where the run stands in the new form, as `core.snapshot` writes it down.
        values: Whole values of fields, which all that is live sees from here on.
        code: As in `RunResumed`.
    """

    at: float
    fingerprint: str
    version: str
    was: str
    was_version: str
    changes: tuple[str, ...] = ()
    position: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled:
    """Somebody cancelled the run."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """Nothing more will happen, unless somebody retries; *reason* where the events before do not say why."""

    at: float
    status: Literal["done", "failed", "cancelled", "stopped", "dead"]
    reason: str = ""


Event: TypeAlias = (
    RunStarted
    | NodeStarted
    | NodeFinished
    | NodeFailed
    | StepDone
    | JoinAsked
    | QuestionAsked
    | Answered
    | DoubtSettled
    | LateResult
    | Interrupted
    | MessageRefused
    | LimitPassed
    | RunResumed
    | RunRetried
    | RunForked
    | RunMoved
    | RunCancelled
    | RunEnded
)
