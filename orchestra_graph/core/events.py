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
    "JoinAsked",
    "LateResult",
    "LimitPassed",
    "NodeFailed",
    "NodeFinished",
    "NodeStarted",
    "QuestionAsked",
    "RunCancelled",
    "RunEnded",
    "RunResumed",
    "RunRetried",
    "RunStarted",
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
    """The run began. ``values`` is what every field starts with; the rest are its limits."""

    at: float
    values: Mapping[str, Any]
    steps: int | None = None
    seconds: float | None = None
    turns: int | None = None


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
    """An engine took the run over after it had rested, or after its owner had died."""

    at: float
    engine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRetried:
    """Somebody asked for another go after a failure or a limit; the rest are the new limits."""

    at: float
    steps: int | None = None
    seconds: float | None = None
    turns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled:
    """Somebody cancelled the run."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """Nothing more will happen, unless somebody retries."""

    at: float
    status: Literal["done", "failed", "cancelled", "stopped"]


Event: TypeAlias = (
    RunStarted
    | NodeStarted
    | NodeFinished
    | NodeFailed
    | JoinAsked
    | QuestionAsked
    | Answered
    | DoubtSettled
    | LateResult
    | LimitPassed
    | RunResumed
    | RunRetried
    | RunCancelled
    | RunEnded
)
