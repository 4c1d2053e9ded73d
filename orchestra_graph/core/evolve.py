"""`evolve`: fold one event into the state of a run. The small-step semantics of `docs/semantics.md`, and nothing else.

Rule 1. No clock, chance, I/O or user code but reducers. The same events in the same order give the same state, live and
replayed.
Rule 2. A completion first adds what follows from it and only then takes away what was; no join is asked in between.
Rule 3. An event about an activation that is not live any more (it was withdrawn) changes nothing.
Rule 4. The cost of an event depends on what the event starts and ends, not on how long the run or how large the state
is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from orchestra_graph.core import events as ev
from orchestra_graph.core.joins import RULES, Firing, Starved
from orchestra_graph.core.marking import Watcher
from orchestra_graph.core.revisions import Conflict, Delta, Revision
from orchestra_graph.core.run import (
    Activation,
    Fan,
    Fans,
    Halt,
    RunState,
    Status,
    Token,
    Wave,
    activation_id,
    scope_prefix,
)
from orchestra_graph.errors import EngineBug
from orchestra_graph.graph.topology import Discriminator, Stamp

__all__ = ["evolve"]


def evolve(run: RunState, event: ev.Event) -> Sequence[Activation]:
    """Fold *event* into *run*, in place.

    There is one owner, and copying a wide marking at each event would be quadratic.

    Returns:
        The activations that became live.
    """
    if event.at > run.last_at:
        if len(run.live) > run.asking + run.failed and not isinstance(event, ev.RunResumed):
            run.active += event.at - run.last_at
        run.last_at = event.at
    started = _HANDLERS[type(event)](run, event)
    run.seq += 1
    return started or ()


# -- tokens --------------------------------------------------------------------------------------------


class _Step:
    """What one event changes: collects the waves to look at, and looks at them when everything is in its place."""

    def __init__(self, run: RunState, at: float):
        self.run, self.at = run, at
        self.look: list[Watcher] = []
        self.started: list[Activation] = []

    def send(
        self, edge: int, source: Activation, revision: Revision, fan: Fan | None = None, item: int | None = None
    ) -> None:
        """A token leaves *source* over *edge*."""
        run = self.run
        topology = run.plan.topology
        target = topology.edges[edge][1]
        stamp, discriminator = topology.advance(edge, source.stamp, source.discriminator, item)
        depth = sum(1 for c in stamp if not isinstance(c, int)) - (fan is not None)
        fans: Fans = source.fans[:depth] if fan is None else (*source.fans[:depth], (fan, item or 0))
        if topology.rule[target].kind == "each_one":
            self.start(target, stamp, discriminator, revision, fans)
            return
        wave = run.waves.get((target, stamp))
        if wave is not None and wave.fired:
            run.lost.append(revision.hold())
            return
        if wave is None:
            wave = run.waves[target, stamp] = Wave(target, stamp)
            self.look.append(wave)
        elif topology.rule[target].races:
            self.look.append(wave)
        token = Token(edge, discriminator, revision.hold(), fans)
        wave.tokens.append(token)
        self.enter(target, stamp, token.inside)

    def start(
        self, vertex: int, stamp: Stamp, discriminator: Discriminator, revision: Revision, fans: Fans
    ) -> Activation:
        """A new activation: ready, or queued where its `each` is full."""
        run = self.run
        identity = activation_id(run.name(vertex), stamp, discriminator)
        if identity in run.live:
            raise EngineBug(f"{identity} was started twice")
        activation = Activation(identity, vertex, stamp, discriminator, revision.hold(), fans, self.at, "queued")
        run.live[identity] = activation
        self.started.append(activation)
        full = bool(fans) and fans[-1][0].full(fans[-1][1])
        self.enter(vertex, stamp, fans[:-1] if full else fans)
        if full:
            fans[-1][0].queue(identity)
        else:
            self.admit(activation)
        return activation

    def enter(self, vertex: int, stamp: Stamp, fans: Fans) -> None:
        """Count a live item in."""
        self.run.marking.enter(vertex, stamp)
        for fan, index in fans:
            fan.enter(index)

    def leave(self, vertex: int, stamp: Stamp, fans: Fans) -> None:
        """Count a live item out; the last one of an instance of an `each` makes room for the next instance."""
        self.look += self.run.marking.leave(vertex, stamp)
        for fan, index in fans:
            if not fan.leave(index):
                continue
            waiting = next((w for w in fan.waiting() if w in self.run.live), None)
            if waiting is not None:
                activation = self.run.live[waiting]
                fan.enter(activation.fans[-1][1])
                self.admit(activation)

    def admit(self, activation: Activation) -> None:
        """Let an activation start; a limit on its turns may stop the run instead."""
        run = self.run
        node = run.plan.nodes[activation.vertex]
        set_status(run, activation, "ready")
        allowed = run.turns_allowed if node.counts_turns else node.turns
        if allowed is not None:
            scope = (activation.vertex, scope_prefix(run.plan, activation.vertex, activation.stamp))
            count = run.turns[scope] = run.turns.get(scope, 0) + 1
            if count > allowed:
                reason = f"'{node.name}' has had its {allowed} turns"
                halt(run, Halt("stopped", reason, f"turns of '{node.name}'", allowed))

    # -- joins --------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Ask every wave whose answer may have changed, until nothing fires."""
        while self.look:
            looking, self.look = self.look, []
            for watcher in {id(w): w for w in looking}.values():
                if isinstance(watcher, Wave) and self.run.waves.get((watcher.join, watcher.stamp)) is watcher:
                    self._ask(watcher)

    def _ask(self, wave: Wave) -> None:
        run = self.run
        rule = run.plan.topology.rule[wave.join]
        if not wave.fired and RULES[rule.kind].early(wave, rule, run.plan.topology):
            tokens, wave.tokens, wave.fired = wave.tokens, [], True
            self._fire(wave, [Firing((), tokens)], tokens)
            if rule.cancel_rest:
                self._withdraw_rest(wave)
            self.look.append(wave)  # it is remembered while anything could still arrive
        elif run.marking.blocked(wave):
            return
        else:
            del run.waves[wave.join, wave.stamp]
            if not wave.fired:
                self._close(wave)

    def _close(self, wave: Wave) -> None:
        run = self.run
        rule = run.plan.topology.rule[wave.join]
        try:
            firings = RULES[rule.kind].closing(wave, rule, run.plan.topology)
        except Starved as starved:
            sources = " and ".join(f"'{run.name(v)}'" for v in starved.missing)
            reason = f"{activation_id(run.name(wave.join), wave.stamp, ())}: {starved}"
            halt(run, Halt("failed", f"{reason} from {sources}" if sources else reason, final=True))
            run.waves[wave.join, wave.stamp] = wave
            return
        self._fire(wave, firings, wave.tokens)

    def _fire(self, wave: Wave, firings: Iterable[Firing], tokens: Iterable[Token]) -> None:
        """Start what a wave starts; only then take its tokens away."""
        run = self.run
        used: set[int] = set()
        for firing in firings:
            used |= {id(token) for token in firing.tokens}
            heads = [token.revision for token in firing.tokens]
            if wave.join == run.plan.topology.end:
                self._finish(heads)
                break
            revision = run.revisions.merge(heads)
            fans = firing.tokens[0].fans
            self._refuse_conflicts(self.start(wave.join, wave.stamp, firing.discriminator, revision, fans))
        for token in tokens:
            if id(token) not in used:
                run.lost.append(token.revision.hold())
            token.revision.release()
            self.leave(wave.join, wave.stamp, token.inside)

    def _finish(self, heads: list[Revision]) -> None:
        """END: everything that ended anywhere meets."""
        run = self.run
        run.result = run.revisions.merge(heads, run.lost).hold()
        for name, cell in run.result.seen().items():
            if isinstance(cell, Conflict):
                error = _conflict(name, cell)
                halt(run, Halt("failed", error.message, errors=(("END", error),), final=True))

    def _refuse_conflicts(self, activation: Activation) -> None:
        """Where lineages met: a field that they left in conflict must be overwritten here, unread."""
        run = self.run
        node = run.plan.nodes[activation.vertex]
        for name, cell in activation.revision.seen().items():
            if not isinstance(cell, Conflict):
                continue
            mended = name in node.writes.fields and node.writes.sure and name not in node.reads
            if not mended:
                fail(run, activation, _conflict(name, cell), final=True)
                return

    def _withdraw_rest(self, wave: Wave) -> None:
        """What can still reach the wave, and nothing but it, is withdrawn."""
        run = self.run
        topology = run.plan.topology

        def goes(vertex: int, stamp: Stamp) -> bool:
            return topology.blocks(vertex, stamp, wave.join, wave.stamp) and topology.only_to(vertex, wave.join)

        for activation in [a for a in run.live.values() if goes(a.vertex, a.stamp)]:
            self.withdraw(activation)
        for other in [w for w in run.waves.values() if w.tokens and w is not wave and goes(w.join, w.stamp)]:
            del run.waves[other.join, other.stamp]
            for token in other.tokens:
                run.lost.append(token.revision)
                self.leave(other.join, other.stamp, token.inside)

    def withdraw(self, activation: Activation) -> None:
        """Take a live activation away; what it has committed to reducers still counts at the end."""
        self.run.lost.append(activation.revision)
        self.remove(activation)

    def remove(self, activation: Activation) -> None:
        """Take an activation out of the live ones."""
        queued = activation.status == "queued"
        set_status(self.run, activation, "gone")
        del self.run.live[activation.id]
        self.leave(activation.vertex, activation.stamp, activation.fans[:-1] if queued else activation.fans)


# -- status --------------------------------------------------------------------------------------------


def set_status(run: RunState, activation: Activation, status: Status | Literal["gone"]) -> None:
    """Change the status of an activation, and what is counted by it."""
    before = activation.status
    if before == "ready":
        run.ready.pop(activation.id, None)
    if status == "ready":
        run.ready[activation.id] = None
    if before in _COUNTED:
        setattr(run, before, getattr(run, before) - 1)
    if status in _COUNTED:
        setattr(run, status, getattr(run, status) + 1)
    if status != "gone":
        activation.status = status


_COUNTED = ("running", "retrying", "asking", "failed")


def halt(run: RunState, why: Halt) -> None:
    """Let nothing new start. A failure beats a limit, and the first reason stands."""
    if run.halt is None:
        run.halt = why
    elif why.status == "failed":
        run.halt = replace(
            run.halt if run.halt.status == "failed" else why,
            errors=(*run.halt.errors, *why.errors),
            final=run.halt.final or why.final,
        )


def fail(run: RunState, activation: Activation, error: ev.ErrorInfo, *, final: bool = False) -> None:
    """An activation failed for good."""
    activation.error = error
    set_status(run, activation, "failed")
    halt(run, Halt("failed", f"{activation.id}: {error}", errors=((activation.id, error),), final=final))


def _conflict(field: str, cell: Conflict) -> ev.ErrorInfo:
    return ev.ErrorInfo("MergeConflict", f"field '{field}' was written by {' and '.join(cell.writers)} side by side")


# -- one handler for each event ------------------------------------------------------------------------


def _run_started(run: RunState, event: ev.RunStarted) -> list[Activation]:
    run.started_at = event.at
    run.steps_allowed, run.seconds_allowed, run.turns_allowed = event.steps, event.seconds, event.turns
    revision = run.revisions.first(event.values, run.seq).hold()
    start = Activation("START", 0, (), (), revision, (), event.at)
    step = _Step(run, event.at)
    run.marking.enter(0, ())
    for edge in run.plan.topology.out[0]:
        step.send(edge, start, revision)
    step.leave(0, (), ())
    revision.release()
    step.settle()
    return step.started


def _node_finished(run: RunState, event: ev.NodeFinished) -> list[Activation]:
    activation = run.live.get(event.id)
    if activation is None:
        return []
    step = _Step(run, event.at)
    revision = activation.revision
    if event.writes:
        a = activation
        delta = Delta(a.id, a.vertex, a.stamp, a.discriminator, event.writes, run.seq, event.replaced)
        revision = run.revisions.commit(revision, delta)
    for edge, times in event.taken:
        if times is None:
            step.send(edge, activation, revision)
            continue
        group = run.plan.group_of(edge)
        cells = {name: cell for name, cell in revision.seen().items() if name in group.reads}
        fan = Fan(edge, cells, event.items.get(edge), group.limit, run.seq)
        for item in range(times):
            step.send(edge, activation, revision, fan, item)
    run.steps += 1
    step.remove(activation)
    activation.revision.release()
    step.settle()
    if run.steps_allowed is not None and run.steps - run.steps_before >= run.steps_allowed and run.live:
        halt(run, Halt("stopped", f"the run has had its {run.steps_allowed} steps", "steps", run.steps_allowed))
    _fold_history(run)
    return step.started


def _fold_history(run: RunState) -> None:
    """With one live item, everything before it is its past: no merge will ever look behind it."""
    if run.marking.root.total == 1 and len(run.live) == 1 and not run.lost:
        (only,) = run.live.values()
        only.revision.parents = ()


def _node_started(run: RunState, event: ev.NodeStarted) -> None:
    activation = run.live.get(event.id)
    if activation is not None:
        activation.started = True
        activation.attempt = event.attempt


def _node_failed(run: RunState, event: ev.NodeFailed) -> None:
    activation = run.live.get(event.id)
    if activation is None:
        return
    activation.started = False
    activation.attempt = event.attempt
    if event.retry_at is None:
        fail(run, activation, event.error)
        return
    activation.error = event.error
    activation.attempt += 1
    activation.retry_at = event.retry_at
    set_status(run, activation, "retrying")


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


def _limit_passed(run: RunState, event: ev.LimitPassed) -> None:
    halt(run, Halt("stopped", f"{event.limit}: {event.allowed:g} allowed", event.limit, event.allowed))


def _run_retried(run: RunState, event: ev.RunRetried) -> None:
    """Another go: what failed is ready again, and what a limit stopped has a new allowance."""
    run.halt = None
    run.status = "running"
    run.turns.clear()
    run.steps_allowed, run.seconds_allowed, run.turns_allowed = event.steps, event.seconds, event.turns
    run.steps_before, run.active = run.steps, 0.0
    for activation in [a for a in run.live.values() if a.status == "failed"]:
        activation.attempt = 1
        set_status(run, activation, "ready")


def _run_cancelled(run: RunState, event: ev.RunCancelled) -> None:
    heads = run.heads
    run.result = run.revisions.merge(heads, run.lost).hold() if heads else None
    for activation in run.live.values():
        set_status(run, activation, "gone")
    run.live.clear()
    run.waves.clear()
    run.halt = None
    run.status = "cancelled"


def _run_ended(run: RunState, event: ev.RunEnded) -> None:
    run.status = event.status


_HANDLERS: Mapping[type[ev.Event], Callable[[RunState, Any], list[Activation] | None]] = {
    ev.RunStarted: _run_started,
    ev.NodeStarted: _node_started,
    ev.NodeFinished: _node_finished,
    ev.NodeFailed: _node_failed,
    ev.QuestionAsked: _question_asked,
    ev.DoubtSettled: _doubt_settled,
    ev.Answered: _only_recorded,
    ev.LateResult: _only_recorded,
    ev.RunResumed: _only_recorded,
    ev.LimitPassed: _limit_passed,
    ev.RunRetried: _run_retried,
    ev.RunCancelled: _run_cancelled,
    ev.RunEnded: _run_ended,
}
