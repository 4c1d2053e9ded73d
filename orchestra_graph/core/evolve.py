"""`evolve`: fold one event into the state of a run. The small-step semantics of `docs/semantics.md`, and nothing else.

Rule 1. No clock, chance, I/O or user code but reducers. The same events in the same order give the same state, live and
replayed.
Rule 2. A completion first adds what follows from it and only then takes away what was; no join is asked in between.
Rule 3. An event about an activation that is not live any more (it was withdrawn) changes nothing.
Rule 4. The cost of an event depends on what the event starts and ends, not on how long the run or how large the state
is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.core.fork import fork
from orchestra_graph.core.revisions import Delta, Revision
from orchestra_graph.core.run import Activation, Fan, Halt, RunState, StepRecord
from orchestra_graph.core.status import fail, halt, set_status
from orchestra_graph.core.step import Step
from orchestra_graph.errors import EngineBug

__all__ = ["evolve"]


_GOES_ON = (ev.RunResumed, ev.RunForked)
"""Nobody drove the run before these: the time until then does not count."""


def evolve(run: RunState, event: ev.Event) -> Sequence[Activation]:
    """Fold *event* into *run*, in place.

    There is one owner, and copying a wide marking at each event would be quadratic.

    Returns:
        The activations that became live.
    """
    if event.at > run.last_at:
        if len(run.live) > run.asking + run.receiving + run.failed and not isinstance(event, _GOES_ON):
            run.active += event.at - run.last_at
        run.last_at = event.at
    started = _HANDLERS[type(event)](run, event)
    run.seq += 1
    return started or ()


# -- one handler for each event ------------------------------------------------------------------------


def _run_started(run: RunState, event: ev.RunStarted) -> list[Activation]:
    run.started_at = event.at
    run.steps_allowed, run.seconds_allowed, run.turns_allowed = event.steps, event.seconds, event.turns
    revision = run.revisions.first(event.values, run.seq).hold()
    start = Activation("START", 0, (), (), revision, (), event.at)
    step = Step(run, event.at)
    run.marking.enter(0, ())
    for edge in (e for group in run.plan.nodes[0].groups if group.kind == "edges" for e in group.edges):
        step.send(edge, start, revision)
    step.look += run.marking.leave(0, ())
    revision.release()
    step.settle()
    return step.started


def _node_finished(run: RunState, event: ev.NodeFinished) -> list[Activation]:
    activation = run.live.get(event.id)
    if activation is None:
        return []
    step = Step(run, event.at)
    node = run.plan.nodes[activation.vertex]
    revision = _committed(run, activation, event)
    cause = activation.cause if node.kind == "enter" else None  # a graph handles an error where a node could
    for edge, times in event.taken:
        if times is None:
            step.send(edge, activation, revision, cause=cause)
            continue
        group = run.plan.group_of(edge)
        cells = {name: cell for name, cell in revision.seen().items() if name in group.reads}
        fan = Fan(edge, cells, event.items.get(edge), group.limit, run.seq)
        for item in range(times):
            step.send(edge, activation, revision, fan, item)
    if not node.passage:
        run.steps += 1
        step.count(activation)
    step.remove(activation)
    activation.revision.release()
    step.race(activation)
    if node.terminates is not None:
        step.end_graph(activation)
        if node.terminates == "failed":
            halt(run, Halt("failed", f"'{activation.id}' ended the run as failed", final=True))
    step.settle()
    if run.steps_allowed is not None and run.steps - run.steps_before >= run.steps_allowed and _has_work(run):
        halt(run, Halt("stopped", f"the run has had its {run.steps_allowed} steps", "steps", run.steps_allowed))
    _fold_history(run)
    return step.started


def _has_work(run: RunState) -> bool:
    """Whether anything is live that would be a step."""
    return any(not run.plan.nodes[a.vertex].passage for a in run.live.values())


def _committed(run: RunState, activation: Activation, event: ev.NodeFinished) -> Revision:
    """The revision behind an activation; what it saw where it wrote nothing."""
    a, drops = activation, run.plan.drops(activation.vertex)
    if not (event.writes or drops):
        return a.revision
    delta = Delta(a.id, a.vertex, a.stamp, a.discriminator, event.writes, run.seq, event.replaced, drops)
    return run.revisions.commit(a.revision, delta)


def _fold_history(run: RunState) -> None:
    """With one live item, everything before it is its past: no merge will ever look behind it.

    Losing branches that gave nothing to reducers are forgotten with it.
    """
    if run.marking.root.total != 1 or len(run.live) != 1 or run.keeps or run.excusing:
        return
    (only,) = run.live.values()
    if run.lost:
        run.keeps = run.revisions.gave(only.revision, run.lost)
        if run.keeps:
            return
        for revision in run.lost:
            revision.release()
        run.lost.clear()
    only.revision.parents = ()


def _node_started(run: RunState, event: ev.NodeStarted) -> None:
    activation = run.live.get(event.id)
    if activation is not None:
        activation.started = True
        activation.attempt = event.attempt


def _node_failed(run: RunState, event: ev.NodeFailed) -> list[Activation]:
    activation = run.live.get(event.id)
    if activation is None:
        return []
    activation.started = False
    activation.attempt = event.attempt
    activation.error = event.error
    if event.retry_at is not None:
        activation.attempt += 1
        activation.retry_at = event.retry_at
        set_status(run, activation, "retrying")
        return []
    step = Step(run, event.at)
    if event.taken:
        step.fail_over(activation, [edge for edge, _ in event.taken], event.error)
    elif not step.excuse(activation):
        fail(run, activation, event.error)
    step.settle()
    _fold_history(run)
    return step.started


def _step_done(run: RunState, event: ev.StepDone) -> None:
    activation = run.live.get(event.id)
    if activation is not None:
        activation.steps[event.index] = StepRecord(event.key, run.seq, event.value)


def _join_asked(run: RunState, event: ev.JoinAsked) -> list[Activation]:
    wave = run.undecided.get(event.id)
    if wave is None:
        return []
    if event.error is not None:  # it is asked again when somebody retries
        halt(run, Halt("failed", f"{event.id}: {event.error}", errors=((event.id, event.error),)))
        return []
    del run.undecided[event.id]
    step = Step(run, event.at)
    if event.fire:
        step.fire_early(wave)
    else:
        wave.asked = event.seen
        step.look.append(wave)  # more may have come while it was asked
    step.settle()
    _fold_history(run)
    return step.started


def _question_asked(run: RunState, event: ev.QuestionAsked) -> None:
    activation = run.live.get(event.id)
    if activation is not None:
        activation.asked += 1
        activation.question, activation.to = event.question, event.to
        activation.expires_at, activation.doubt = event.expires_at, event.doubt
        set_status(run, activation, "asking")


def _doubt_settled(run: RunState, event: ev.DoubtSettled) -> None:
    """A person said that an irreversible node did not happen: it may run."""
    activation = run.live.get(event.id)
    if activation is not None:
        activation.started = activation.doubt = False
        activation.attempt += 1
        activation.question = activation.to = activation.expires_at = None
        set_status(run, activation, "ready")


def _only_recorded(run: RunState, event: ev.Event) -> None:
    """An event that says what happened and moves nothing."""


def _limit_passed(run: RunState, event: ev.LimitPassed) -> list[Activation]:
    if event.cap is None:
        halt(run, Halt("stopped", f"{event.limit}: {event.allowed:g} allowed", event.limit, event.allowed))
        return []
    step = Step(run, event.at)
    step.time_is_over(event.cap)
    step.settle()
    _fold_history(run)
    return step.started


def _interrupted(run: RunState, event: ev.Interrupted) -> list[Activation]:
    step = Step(run, event.at)
    step.reached.append((event.cap, (), None))
    step.settle()
    _fold_history(run)
    return step.started


def _run_forked(run: RunState, event: ev.RunForked) -> list[Activation]:
    def go_on() -> list[Activation]:
        started = _run_retried(run, event)
        step = Step(run, event.at)
        for activation in list(run.live.values()):  # what was in conflict, and is not set by the update
            if activation.error is not None and activation.error.type == "MergeConflict":
                activation.error = None
                step.refuse_conflicts(activation)
        return started

    steps, seconds, turns = event.steps, event.seconds, event.turns
    run.steps_allowed, run.seconds_allowed, run.turns_allowed = steps, seconds, turns
    started = fork(run, event, go_on)
    _fold_history(run)
    return started


def _run_retried(run: RunState, event: ev.RunRetried | ev.RunForked) -> list[Activation]:
    """Another go: what failed is ready again, and what a limit stopped has a new allowance."""
    run.halt = None
    run.status = "running"
    run.turns.clear()
    run.steps_allowed, run.seconds_allowed, run.turns_allowed = event.steps, event.seconds, event.turns
    run.steps_before, run.active = run.steps, 0.0
    for (index, _), tally in run.tallies.items():
        tally.began, tally.steps = None if tally.began is None else 0.0, 0
        tally.over = tally.over and run.plan.caps[index].edge is not None
    for activation in [a for a in run.live.values() if a.status == "failed"]:
        activation.attempt = 1
        _put_up(run, activation)
    step = Step(run, event.at)
    refused, run.refused = run.refused, []
    for identity in refused:
        if identity in run.live:
            step.admit(run.live[identity])
    step.look += [wave for wave in run.waves.values() if not wave.fired]
    step.settle()
    return step.started


def _put_up(run: RunState, activation: Activation) -> None:
    """An activation may go on: it may start, or it waits for its message."""
    kind = run.plan.nodes[activation.vertex].kind
    set_status(run, activation, "receiving" if kind == "receive" else "ready")


def _run_moved(run: RunState, event: ev.RunMoved) -> None:
    """The state behind a move is not folded onto the one before: it is made anew (`core.moving.moved`)."""
    raise EngineBug("a move was folded into the state of the form before it")


def _run_cancelled(run: RunState, event: ev.RunCancelled) -> None:
    if run.status == "cancelled":  # somebody else was faster
        return
    heads = run.heads
    run.result = run.revisions.merge(heads, run.lost).hold() if heads else None
    for activation in run.live.values():
        set_status(run, activation, "gone")
    run.live.clear()
    run.waves.clear()
    run.undecided.clear()
    run.excusing.clear()
    run.tallies.clear()
    run.halt = None
    run.status = "cancelled"


def _run_ended(run: RunState, event: ev.RunEnded) -> None:
    run.status = event.status


_HANDLERS: Mapping[type[ev.Event], Callable[[RunState, Any], list[Activation] | None]] = {
    ev.RunStarted: _run_started,
    ev.NodeStarted: _node_started,
    ev.NodeFinished: _node_finished,
    ev.NodeFailed: _node_failed,
    ev.StepDone: _step_done,
    ev.JoinAsked: _join_asked,
    ev.QuestionAsked: _question_asked,
    ev.DoubtSettled: _doubt_settled,
    ev.Answered: _only_recorded,
    ev.LateResult: _only_recorded,
    ev.RunResumed: _only_recorded,
    ev.MessageRefused: _only_recorded,
    ev.Interrupted: _interrupted,
    ev.LimitPassed: _limit_passed,
    ev.RunRetried: _run_retried,
    ev.RunForked: _run_forked,
    ev.RunMoved: _run_moved,
    ev.RunCancelled: _run_cancelled,
    ev.RunEnded: _run_ended,
}
