"""What a node or a join is told to do: join rules, retries, limits. Frozen values, no behaviour of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

__all__ = [
    "EACH_ONE",
    "GATHER",
    "ONCE",
    "Cache",
    "Effect",
    "JoinRule",
    "Limits",
    "Retry",
    "all_of",
    "batches",
    "each_one",
    "first",
    "seconds_of",
    "until",
    "zipped",
]

Effect = Literal["pure", "idempotent", "external", "irreversible"]
"""What running a node twice would do: nothing; the same again; something, with the same idempotency key; or harm."""

JoinKind = Literal["gather", "each_one", "all_of", "first", "until", "zipped", "batches"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRule:
    """When the tokens that reach a node start it.

    Attributes:
        kind: ``gather`` (the default: wait for every branch that can still come in this turn of the loop), ``each_one``
            (every token by itself), ``all_of`` (every in-edge must deliver, else it is an error), ``first`` (*count*
            arrivals), ``until`` (*predicate* holds), ``zipped`` (the k-th tokens of every in-edge), ``batches``
            (*count* tokens at a time).
        count: For ``first`` and ``batches``.
        cancel_rest: Withdraw what could only still lead here.
        short: What a wave does that closes with fewer than *count*: ``"error"`` or ``"fire"``.
        predicate: For ``until``: a function of fields, or the name of a field that must be set.
    """

    kind: JoinKind = "gather"
    count: int = 1
    cancel_rest: bool = False
    short: Literal["error", "fire"] = "error"
    predicate: str | Callable[..., bool] | None = None

    @property
    def races(self) -> bool:
        """Whether a wave may fire while more could still come: late tokens are absorbed."""
        return self.kind in ("first", "until")

    def __str__(self) -> str:
        if self.kind not in ("first", "batches"):
            return self.kind
        return f"{self.kind}({self.count})"


GATHER = JoinRule()
EACH_ONE = JoinRule(kind="each_one")


def all_of() -> JoinRule:
    """Every in-edge must deliver; when one cannot any more, the run fails and says which (pattern 33 without memory).

    At the head of a loop the edges into the loop count in turn 0, and those from inside it in every later turn.
    """
    return JoinRule(kind="all_of")


def each_one() -> JoinRule:
    """Nothing is waited for: whatever comes starts the node by itself, side by side (pattern 8, multi-merge)."""
    return EACH_ONE


def first(n: int = 1, /, *, cancel_rest: bool = False, short: Literal["error", "fire"] = "error") -> JoinRule:
    """The first *n* that come start the node, once; what comes later is taken in and starts nothing (patterns 9, 30).

    Args:
        n: How many. The instances of an `each` count one by one.
        cancel_rest: Withdraw what could only still lead here (patterns 29, 32). Work that also leads elsewhere goes on.
        short: When fewer than *n* can come: ``"error"`` fails the run, with the errors of branches that failed;
            ``"fire"`` starts the node with what there is.

    Raises:
        ValueError: *n* is less than 1.
    """
    if n < 1:
        raise ValueError(f"first({n}): at least one must come:   first(1)")
    return JoinRule(kind="first", count=n, cancel_rest=cancel_rest, short=short)


def until(predicate: str | Callable[..., bool], /, *, cancel_rest: bool = False) -> JoinRule:
    """Start the node as soon as *predicate* holds of what has come so far, or when no more can come (pattern 36).

    Args:
        predicate: A function of fields, or the name of a field that must be set. It is asked at each arrival, of the
            merge of all that has come; the answer is kept in the log, and a replay does not ask again.
        cancel_rest: Withdraw what could only still lead here.
    """
    return JoinRule(kind="until", predicate=predicate, cancel_rest=cancel_rest)


def zipped() -> JoinRule:
    """The k-th token of every in-edge that delivered, together: one start for each k (pattern 33)."""
    return JoinRule(kind="zipped")


def batches(n: int, /) -> JoinRule:
    """*n* tokens at a time, in logical order; the last batch may be smaller (pattern 41).

    Raises:
        ValueError: *n* is less than 1.
    """
    if n < 1:
        raise ValueError(f"batches({n}): a batch has at least one:   batches(2)")
    return JoinRule(kind="batches", count=n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a node is tried again, and how long to wait between attempts.

    Attributes:
        attempts: All attempts together, the first included.
        delay: Seconds before the second attempt.
        factor: Each further delay is this much longer.
        longest: No delay is longer than this many seconds (a ``Retry-After`` of the other side may be).
        jitter: The share of a delay that is left to chance, 0 to 1, so that many runs do not come back at the same
            moment.
        on: What is worth another attempt: exception types, or a function of the exception. None: connection errors,
            timeouts and the HTTP statuses 408, 429 and 5xx; not other 4xx, validation or programming errors.
    """

    attempts: int = 3
    delay: float = 1.0
    factor: float = 2.0
    longest: float = 60.0
    jitter: float = 0.5
    on: type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool] | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"Retry(attempts={self.attempts}): a node is tried at least once")
        if self.delay < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError(f"{self!r}: delay must be >= 0, factor >= 1, jitter between 0 and 1")

    def wait(self, attempt: int, chance: float) -> float:
        """Seconds to wait after the failed *attempt* (1 is the first).

        Args:
            attempt: Which attempt failed.
            chance: A number in [0, 1) that decides the jitter.
        """
        full = min(self.longest, self.delay * self.factor ** (attempt - 1))
        return full * (1 - self.jitter * chance)


ONCE = Retry(attempts=1)
"""No second attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """What a node gave is used again, by any run in the same database: ``@node(cache=Cache(ttl=3600))``.

    The node is not run where the graph and the node have the same names, its function has the same code, and it reads
    the same values. Not compared are resources and the `Context`, nor the functions and globals that its code uses:
    whoever changes one of those calls the node otherwise, or gives it a *key*. Two that run at the same moment find
    nothing, and both run.

    Attributes:
        ttl: For how long, in seconds or as a timedelta, by the engine's clock; None: for ever.
        key: A function of parameters of the node that says in a text what is the same. Left out: all that it reads.
    """

    ttl: float | timedelta | None = None
    key: Callable[..., str] | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and self.seconds <= 0:
            raise ValueError(f"Cache(ttl={self.ttl}): what is kept is kept for more than 0 seconds")

    @property
    def seconds(self) -> float | None:
        """*ttl* in seconds."""
        return seconds_of(self.ttl)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a run may go.

    Attributes:
        steps: Nodes run, all together.
        seconds: Time since the run began, the waits for people not counted.
        turns: Turns of each loop that has no limit of its own.
    """

    steps: int | None = None
    seconds: float | None = None
    turns: int = 1_000

    def __post_init__(self) -> None:
        for name in ("steps", "seconds", "turns"):
            value: Any = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"Limits({name}={value}): a limit is more than 0")


def seconds_of(duration: float | timedelta | None) -> float | None:
    """A duration in seconds, however it was given."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
