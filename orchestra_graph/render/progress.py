"""How far a run has come at each node: many activations, summed up in one status.

A node in a loop or in an `each` is started many times. Its status is that of the activation that matters most to
whoever looks (`STATUSES` is in that order); the counts tell the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from orchestra_graph.core.record import ActivationRecord, RunRecord

__all__ = ["ENDED", "STATUSES", "Progress", "Status", "progress_of", "time_covered"]

Status = Literal["failed", "waiting", "retrying", "running", "ready", "done", "withdrawn", "skipped", "later"]

STATUSES: Final[tuple[Status, ...]] = ("failed", "waiting", "retrying", "running", "ready", "done", "withdrawn")
"""What an activation can be; the first that any activation of a node has is the node's."""

ENDED: Final = frozenset({"done", "failed", "cancelled", "stopped", "dead"})
"""The statuses of a run that has ended: what was not started by then is skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run did at one node.

    Attributes:
        status: Of the node. ``skipped``: never started, although the run has ended; ``later``: not yet started.
        counts: How many activations have which status, as in `STATUSES`.
        turns: In how many different turns of the loop around it it was started.
        attempts: Of the activation that was tried most often.
        seconds: How long at least one activation was under way; None as long as no time has passed.
        waiting_for: Whom it waits for.
        error: The type of its last error, where that matters: it failed, or is being tried again.
    """

    status: Status
    counts: tuple[tuple[Status, int], ...] = ()
    turns: int = 0
    attempts: int = 0
    seconds: float | None = None
    waiting_for: tuple[str, ...] = ()
    error: str = ""

    @property
    def activations(self) -> int:
        """How often the node was started."""
        return sum(count for _, count in self.counts)


def progress_of(record: RunRecord, now: float | None = None) -> dict[str, Progress]:
    """Sum up a run by node; nodes that were never started are not in the result.

    Args:
        record: The run.
        now: Seconds since the epoch, for what is still under way. Left out: only what has ended counts as time spent.
    """
    by_node: dict[str, list[ActivationRecord]] = {}
    for activation in record.activations:
        by_node.setdefault(activation.node, []).append(activation)
    until = record.ended if record.ended is not None else now
    return {name: _sum_up(activations, until) for name, activations in by_node.items()}


def _sum_up(activations: Sequence[ActivationRecord], until: float | None) -> Progress:
    found: Counter[Status] = Counter(a.status for a in activations)
    counts = tuple((status, found[status]) for status in STATUSES if found[status])
    status = counts[0][0]
    return Progress(
        status=status,
        counts=counts,
        turns=len({a.turn for a in activations if a.turn is not None}),
        attempts=max(a.attempts for a in activations),
        seconds=time_covered(activations, until),
        waiting_for=tuple(a.waiting_for or "a person" for a in activations if a.status == "waiting"),
        error=_error_type(activations, status),
    )


def _error_type(activations: Sequence[ActivationRecord], status: Status) -> str:
    if status not in ("failed", "retrying"):
        return ""
    errors = [a.error for a in activations if a.status == status and a.error]
    return errors[-1].partition(":")[0].rpartition(".")[2].strip() if errors else ""


def time_covered(activations: Iterable[ActivationRecord], until: float | None) -> float | None:
    """Seconds in which at least one of *activations* was under way: what ran side by side is not counted twice."""
    spans = ((a.started, until if a.ended is None else a.ended) for a in activations if a.status != "ready")
    known = sorted((start, end) for start, end in spans if end is not None)
    total, reached = 0.0, float("-inf")
    for start, end in known:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total if known else None
