"""A fork: the log of another run up to some step, and an update that everything live sees from there on.

Rule 1. The update is one delta, put on top of every live revision: it is in the past of all that comes later, and two
branches that bring it to a join bring one and the same.
Rule 2. Of the fields that it sets, all that stands before it in the log is gone, in every view: what comes later is
folded onto its values. Of all other fields nothing changes, neither values nor order.
Rule 3. What was read before it stays read: the items of an `each` that has begun, and what a graph inside was given.
Rule 4. Where no update was given nothing moves, and the run goes on as the other one did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from orchestra_graph.core import events as ev
from orchestra_graph.core.revisions import Conflict, Delta, Revision
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.core.status import set_status
from orchestra_graph.core.step import Step

__all__ = ["asked_anew", "delta_of", "fork", "overlay"]


def fork(run: RunState, event: ev.RunForked, go_on: Callable[[], list[Activation]]) -> list[Activation]:
    """Fold the event that makes a fork of a run.

    Args:
        run: The state of the other run after the last row that is its.
        event: The event.
        go_on: Lets what failed or met a limit go on, as a retry does.

    Returns:
        The activations that became live.
    """
    if event.values:
        _update(run, event)
    if run.halt is None and not event.anew:
        run.status = "running"
    elif run.halt is None or not run.halt.final or _mended(run):
        return go_on()
    return _look_again(run, event) if event.values else []


def delta_of(event: ev.RunForked | ev.RunMoved, seq: int, reducers: Collection[str]) -> Delta:
    """The update of a fork, as a delta; it stands where the input does, before everything in logical order.

    Args:
        event: The event.
        seq: The number of its row.
        reducers: The fields that have a reducer: the update sets them anew.
    """
    replaced = tuple(name for name in event.values if name in reducers)
    return Delta("START", 0, (), (), event.values, seq, replaced, update=True)


def asked_anew(run: RunState, values: Collection[str]) -> list[Activation]:
    """Who asks a person something that may not be the same after an update of these fields."""
    nodes = run.plan.nodes
    return [a for a in run.questions if not a.doubt and not set(values).isdisjoint(nodes[a.vertex].reads)]


def overlay(run: RunState, event: ev.RunForked | ev.RunMoved) -> None:
    """Let all that is live see the values of an event."""
    delta = delta_of(event, run.seq, run.revisions.reducers)
    made: dict[int, Revision] = {}

    def after(revision: Revision) -> Revision:
        if revision.index not in made:
            made[revision.index] = run.revisions.commit(revision, delta)
        updated = made[revision.index].hold()
        revision.release()
        return updated

    for activation in run.live.values():
        activation.revision = after(activation.revision)
    for wave in run.waves.values():
        for token in wave.tokens:
            token.revision = after(token.revision)
        for excused in wave.excused:
            excused.revision = after(excused.revision)
        wave.asked = 0  # an `until` may say something else of it
    if run.result is not None:
        run.result = after(run.result)


def _update(run: RunState, event: ev.RunForked) -> None:
    overlay(run, event)
    for activation in asked_anew(run, event.values):
        if activation.question is not None:
            run.closed.append(activation.question)
        activation.question = activation.to = activation.expires_at = None
        set_status(run, activation, "ready")
    for activation in run.live.values():
        if activation.steps and not set(event.values).isdisjoint(run.plan.nodes[activation.vertex].reads):
            activation.steps = {}  # they were done on other values


def _mended(run: RunState) -> bool:
    """Whether what no retry mends may be over with the update: branches met in conflict, and it says what is right."""
    end = run.plan.topology.end
    if run.result is None:
        return run.failed > 0
    seen = run.result.seen().items()
    conflicts = any(isinstance(cell, Conflict) and run.plan.sees(end, name) for name, cell in seen)
    return run.halt is not None and bool(run.halt.errors) and not conflicts


def _look_again(run: RunState, event: ev.RunForked) -> list[Activation]:
    """Joins that are asked what to do with what has come are asked again."""
    step = Step(run, event.at)
    step.look += [wave for wave in run.waves.values() if not wave.fired]
    step.settle()
    return step.started
