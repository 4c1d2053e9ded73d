"""`decide`: what is to be done next, and what the run has come to. Functions of the state alone."""

from __future__ import annotations

from typing import NamedTuple

from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.core.status import set_status
from orchestra_graph.errors import EngineBug

__all__ = ["TimeLimit", "begin", "due", "give_back", "next_limit", "verdict"]


class TimeLimit(NamedTuple):
    """The limit on seconds that is reached next.

    Attributes:
        at: In active seconds of the run.
        allowed: How many seconds it allows.
        cap: Its index in the plan; None for that of the run.
    """

    at: float
    allowed: float
    cap: int | None


def begin(run: RunState, room: int) -> list[Activation]:
    """Take up to *room* activations that may start now; they count as running from here on."""
    chosen: list[Activation] = []
    if run.halt is not None or run.status != "running":
        return chosen
    while run.ready and len(chosen) < room:
        activation = run.live[next(iter(run.ready))]
        set_status(run, activation, "running")
        chosen.append(activation)
    return chosen


def due(run: RunState, identity: str) -> None:
    """The time of an activation's next attempt has come."""
    activation = run.live.get(identity)
    if activation is not None and activation.status == "retrying":
        set_status(run, activation, "ready")


def give_back(run: RunState, identity: str) -> None:
    """An activation that was running was interrupted without a result; it may start again."""
    activation = run.live.get(identity)
    if activation is not None and activation.status == "running":
        set_status(run, activation, "ready")


def verdict(run: RunState) -> RunStatus:
    """What the run has come to.

    Returns:
        ``running`` while anything runs or may start; ``waiting`` when only a person or a message can move it; otherwise
        how it ended. A run that failed or met a limit is ``running`` until the nodes that were running have ended.
    """
    if run.status != "running":
        return run.status
    if run.running:
        return "running"
    if run.halt is not None:
        return run.halt.status
    if run.result is not None:
        return "done"
    if run.ready or run.retrying or run.undecided:
        return "running"
    if not (run.asking or run.receiving):
        raise EngineBug("nothing runs, nobody is asked, and the run has not ended")
    return "waiting"


def next_limit(run: RunState) -> TimeLimit | None:
    """The limit on seconds that is reached next, if there is any."""
    found: list[TimeLimit] = []
    if run.halt is not None:
        return None
    if run.seconds_allowed is not None:
        found.append(TimeLimit(run.seconds_allowed, run.seconds_allowed, None))
    for (index, _), tally in run.tallies.items():
        cap = run.plan.caps[index]
        if cap.kind == "seconds" and not tally.over and tally.began is not None:
            found.append(TimeLimit(tally.began + cap.allowed, cap.allowed, index))
    return min(found, key=lambda limit: limit.at, default=None)
