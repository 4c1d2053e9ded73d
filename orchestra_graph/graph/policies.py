"""What a node or a join is told to do: join rules, retries, limits. Frozen values, no behaviour of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

__all__ = ["EACH_ONE", "GATHER", "ONCE", "Effect", "JoinRule", "Limits", "Retry", "seconds_of"]

Effect = Literal["pure", "idempotent", "external", "irreversible"]
"""What running a node twice would do: nothing; the same again; something, with the same idempotency key; or harm."""

JoinKind = Literal["gather", "each_one", "all_of", "first", "zipped", "batches"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRule:
    """When the tokens that reach a node start it.

    Attributes:
        kind: ``gather`` (the default: wait for every branch that can still come in this turn of the loop), ``each_one``
            (every token by itself), ``all_of`` (every in-edge must deliver, else it is an error), ``first`` (*count*
            arrivals), ``zipped`` (the k-th tokens of every in-edge), ``batches`` (*count* tokens at a time).
        count: For ``first`` and ``batches``.
        cancel_rest: Withdraw what could only still lead here.
        short: What a wave does that closes with fewer than *count*: ``"error"`` or ``"fire"``.
    """

    kind: JoinKind = "gather"
    count: int = 1
    cancel_rest: bool = False
    short: Literal["error", "fire"] = "error"

    @property
    def races(self) -> bool:
        """Whether a wave may fire while more could still come: late tokens are absorbed."""
        return self.kind == "first"


GATHER = JoinRule()
EACH_ONE = JoinRule(kind="each_one")


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
