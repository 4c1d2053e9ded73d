"""What happened in a run, as a table: what pictures and the command line show. Made from the log alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ActivationRecord", "ActivationStatus", "RunRecord", "RunStatus"]

RunStatus = Literal["running", "waiting", "done", "failed", "cancelled", "stopped", "dead"]
ActivationStatus = Literal["ready", "running", "waiting", "retrying", "done", "failed", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationRecord:
    """One node that was started, or is about to be.

    Attributes:
        id: Its durable id, such as ``work@1#3``: node, turn of the loop, instance of the `each`.
        node: The node's name.
        status: ``ready`` (not started), ``running``, ``waiting`` (for a person), ``retrying``, ``done``, ``failed`` or
            ``withdrawn``.
        attempts: How often it was tried.
        started: When it could first run, seconds since the epoch.
        ended: When it ended, or None.
        waiting_for: Of a question: whom it waits for (a person, a role, or ``"a person"``).
        error: The last error, ``Type: message``.
        turn: The turn of the innermost loop around it, or None.
        passage: It is the way into a graph that stands there, or out of it: no function was called.
        reused: In a fork: the key of the run from whose log its result was taken; None: it was run.
    """

    id: str
    node: str
    status: ActivationStatus
    attempts: int = 1
    started: float
    ended: float | None = None
    waiting_for: str | None = None
    error: str | None = None
    turn: int | None = None
    passage: bool = False
    reused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run.

    Attributes:
        key: The run's key.
        graph: The graph's name.
        version: The graph's version.
        status: Of the run.
        started: Seconds since the epoch.
        ended: When it ended, or None.
        activations: In the order in which they could start.
        taken: How many tokens went over each edge, by the edge's index.
        steps: How many nodes have finished.
    """

    key: str
    graph: str
    version: str
    status: RunStatus
    started: float
    ended: float | None = None
    activations: tuple[ActivationRecord, ...] = ()
    taken: Mapping[int, int] = field(default_factory=dict)
    steps: int = 0
