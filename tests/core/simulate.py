"""Runs a case through `evolve` in some completion order, and says what came of it.

The simulator is a driver without a clock, chance of its own or I/O: it begins what may begin, completes what runs in
the order that an `Order` chooses, and keeps the events. `Watch` looks at the state after each event, and compares it
with a plain recomputation.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestra_graph.core.decide import begin, due, verdict
from orchestra_graph.core.events import (
    ErrorInfo,
    Event,
    JoinAsked,
    LimitPassed,
    NodeFailed,
    NodeFinished,
    QuestionAsked,
    RunCancelled,
    RunEnded,
    RunRetried,
    RunStarted,
)
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.marking import Frame
from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.revisions import Conflict, Grown, View
from orchestra_graph.core.run import Activation, Fans, RunState, Wave
from orchestra_graph.graph.topology import Stamp, Topology
from tests.core.follow import Follow
from tests.core.graphs import Case
from tests.core.oracle import Clash, Seen

__all__ = [
    "ORDERS",
    "Deadlock",
    "Endless",
    "Fate",
    "Order",
    "Trace",
    "Watch",
    "digest",
    "fold",
    "replay",
    "seen_by",
    "simulate",
]


class Deadlock(AssertionError):
    """Nothing runs, nothing may start, and the run has not ended."""


class Endless(AssertionError):
    """The run has more events than it should."""


class Order(Protocol):
    """Chooses which of the running activations completes next."""

    def __call__(self, running: Sequence[Activation]) -> int: ...


def oldest(case: Case, seed: int) -> Order:
    """First begun, first done."""
    return lambda running: 0


def youngest(case: Case, seed: int) -> Order:
    """Last begun, first done."""
    return lambda running: len(running) - 1


def any_of(case: Case, seed: int) -> Order:
    """By chance."""
    chance = random.Random(seed)
    return lambda running: chance.randrange(len(running))


def slow_nodes(case: Case, seed: int) -> Order:
    """Some nodes are slower than others, always: branches of unequal length."""
    chance = random.Random(seed)
    speed: dict[int, float] = {}

    def choose(running: Sequence[Activation]) -> int:
        for a in running:
            speed.setdefault(a.vertex, chance.random())
        return max(range(len(running)), key=lambda i: (speed[running[i].vertex], i))

    return choose


def late_first(case: Case, seed: int) -> Order:
    """What comes last in the logical order is done first: as far from the sequential run as can be."""
    topology = case.plan.topology

    def choose(running: Sequence[Activation]) -> int:
        return max(range(len(running)), key=lambda i: _key(topology, running[i]))

    return choose


def _key(topology: Topology, activation: Activation) -> Any:
    return topology.key(activation.vertex, activation.stamp, activation.discriminator)


def one_waits(case: Case, seed: int) -> Order:
    """One activation is left to the end for as long as anything else can be done."""
    chance = random.Random(seed)
    held: list[str] = []

    def choose(running: Sequence[Activation]) -> int:
        if not any(a.id in held for a in running):
            held[:] = [chance.choice(running).id]
        free = [i for i, a in enumerate(running) if a.id not in held]
        return chance.choice(free) if free else 0

    return choose


ORDERS: Mapping[str, Callable[[Case, int], Order]] = {
    "oldest": oldest,
    "youngest": youngest,
    "any": any_of,
    "slow nodes": slow_nodes,
    "late first": late_first,
    "one waits": one_waits,
}


class Onlooker(Protocol):
    """Sees the state after each event."""

    def after(self, run: RunState, event: Event) -> None: ...


@dataclass(slots=True, eq=False)
class Trace:
    """What came of a run.

    Attributes:
        run: Its state.
        events: Its log.
        seen: What each activation saw.
        final: The state at the end, if it came to one.
        status: How it ended.
        withdrawn: Activations that were taken away, and after which event.
        digests: The state after some of the events.
        tally: What happened, for a summary.
    """

    run: RunState
    events: list[Event] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    final: Seen | None = None
    status: RunStatus = "running"
    withdrawn: dict[str, int] = field(default_factory=dict)
    digests: dict[int, dict[str, object]] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> list[str]:
        """Ids of what finished, or took an error edge, in order."""
        ended = [e for e in self.events if isinstance(e, NodeFinished) or (isinstance(e, NodeFailed) and e.taken)]
        return [e.id for e in ended if e.id not in self.withdrawn]


def simulate(
    case: Case,
    order: Order,
    *,
    room: int = 1_000_000,
    watch: Onlooker | None = None,
    keep: Iterable[int] = (),
    fails: Callable[[str, int], bool] = lambda identity, attempt: False,
    late: bool = False,
    most: int = 1_000_000,
    fate: Fate | None = None,
) -> Trace:
    """Run *case* to its end.

    Args:
        case: What is run.
        order: In which order the running activations complete.
        room: How many may run at once.
        watch: Looks on.
        keep: After which events the digest is kept.
        fails: Which attempts fail, each to be tried again.
        late: What was withdrawn reports its result all the same.
        most: How many events there may be.
        fate: What else happens: people are asked, predicates answer, limits are reached, failures are tried again.

    Raises:
        Deadlock: Nothing can move, and the run is not over.
        Endless: There are more events than *most*.
    """
    return _Driver(case, order, room, watch, set(keep), fails, late, most, fate or Fate(case, 0)).drive()


class Fate:
    """What happens to a run beside the completion of its nodes; by chance, and the same for the same seed.

    Args:
        case: What is run.
        seed: Of chance.
        restarts: How often a run that has failed or was stopped is tried again.
        cancels: How often a run is cancelled, 0 to 1.
    """

    def __init__(self, case: Case, seed: int, *, restarts: int = 0, cancels: float = 0.0):
        self.case = case
        self.chance = random.Random(f"fate {seed}")
        self.restarts = restarts
        self.cancel_at = self.chance.randrange(3, 15) if self.chance.random() < cancels else None
        self.rounds: dict[str, int] = {}

    def predicate(self, run: RunState, wave: Wave) -> tuple[bool, ErrorInfo | None]:
        """What the predicate of a join says."""
        came = sorted((t.edge, t.discriminator) for t in wave.tokens)
        chance = random.Random(f"{run.name(wave.join)} {wave.stamp} {came} {self.rounds.get('', 0)}")
        if chance.random() < 0.05:
            return False, ErrorInfo("Unclear", "the predicate raises")
        return chance.random() < 0.4, None

    def asks(self) -> bool:
        """Whether a predicate is asked now; else something else happens first."""
        return self.chance.random() < 0.7

    def question(self, activation: Activation) -> bool:
        """Whether the node asks a person."""
        return self.restarts > 0 and self.chance.random() < 0.05

    def fatal(self, activation: Activation) -> bool:
        """Whether the node fails for good, this time."""
        failed = self.case.work(activation.vertex, activation.stamp, activation.discriminator).failed
        done = self.rounds.get(activation.id, 0)
        self.rounds[activation.id] = done + 1
        return done < failed

    def limit(self) -> int | None:
        """The limit on time that somebody says has been reached now."""
        caps = [i for i, cap in enumerate(self.case.plan.caps) if cap.kind == "seconds"]
        return self.chance.choice(caps) if caps and self.chance.random() < 0.1 else None


class _Driver:
    """One run in the making."""

    def __init__(
        self,
        case: Case,
        order: Order,
        room: int,
        watch: Onlooker | None,
        keep: set[int],
        fails: Callable[[str, int], bool],
        late: bool,
        most: int,
        fate: Fate,
    ):
        self.case, self.order, self.room, self.watch, self.keep = case, order, room, watch, keep
        self.fails, self.late, self.most, self.fate = fails, late, most, fate
        self.state = case.new_run()
        self.trace = Trace(self.state)
        self.running: list[Activation] = []
        self.gone: list[Activation] = []
        self.cut_off = False

    def drive(self) -> Trace:
        run, trace = self.state, self.trace
        self._happen(RunStarted(at=0.0, values=self.case.values, **self.case.limits))
        while self._step():
            pass
        trace.status = verdict(run)
        if trace.status in ("running", "waiting"):
            waves = {k: [t.edge for t in w.tokens] for k, w in run.waves.items()}
            raise Deadlock(f"{self.case.name}: nothing can move; live: {sorted(run.live)}, waves: {waves}")
        if run.result is not None:
            trace.final = seen_by(run.result.seen())
            if self.cut_off:
                trace.final = {name: value for name, value in trace.final.items() if name in run.plan.own}
        return trace

    def _seen(self, activation: Activation) -> Seen:
        """Of a call that was cut off, some fields may still be there, unseen; of others nothing is."""
        return _shown(self.state, activation) if self.cut_off else seen_by(activation.revision.seen())

    @property
    def _now(self) -> float:
        return float(len(self.trace.events))

    def _happen(self, event: Event) -> None:
        run, trace = self.state, self.trace
        fold(run, event)
        trace.events.append(event)
        if len(trace.events) > self.most:
            raise Endless(f"{self.case.name}: more than {self.most} events")
        if self.watch is not None:
            self.watch.after(run, event)
        if len(trace.events) in self.keep:
            trace.digests[len(trace.events)] = digest(run)

    def _step(self) -> bool:
        """One event more; False when there is none."""
        self._see_who_was_withdrawn()
        for activation in begin(self.state, self.room - len(self.running)):
            self.trace.seen.setdefault(activation.id, self._seen(activation))
            self.running.append(activation)
        if self.fate.cancel_at == len(self.trace.events):
            self._happen(RunCancelled(at=self._now))
            self._see_who_was_withdrawn()
            return bool(self.gone)
        if self.gone:
            self._happen(_finished(self.case, self.gone.pop(), self._now))
        elif self.state.undecided and (not self.running or self.fate.asks()):
            identity, wave = next(iter(self.state.undecided.items()))
            fire, error = self.fate.predicate(self.state, wave)
            self._happen(JoinAsked(at=self._now, id=identity, seen=len(wave.tokens), fire=fire, error=error))
        elif self.running:
            self._end_one()
        else:
            return self._again()
        return True

    def _see_who_was_withdrawn(self) -> None:
        live = self.state.live
        withdrawn = [a for a in self.running if live.get(a.id) is not a]
        if withdrawn:
            self.running = [a for a in self.running if live.get(a.id) is a]
            self.trace.withdrawn.update({a.id: len(self.trace.events) for a in withdrawn})
            self.gone += withdrawn if self.late else []

    def _end_one(self) -> None:
        passed = self.fate.limit()
        if passed is not None:
            allowed = self.case.plan.caps[passed].allowed
            self._happen(LimitPassed(at=self._now, limit="seconds", allowed=allowed, cap=passed))
            return
        activation = self.running.pop(self.order(self.running))
        error = ErrorInfo("Unlucky", activation.id)
        if activation.question is None and self.fate.question(activation):
            self._happen(QuestionAsked(at=self._now, id=activation.id, question=activation.id, to="ana"))
            self.running.insert(0, activation)
        elif self.fails(activation.id, activation.attempt):
            again = self._now + 1
            self._happen(
                NodeFailed(at=self._now, id=activation.id, error=error, attempt=activation.attempt, retry_at=again)
            )
        elif self.fate.fatal(activation):
            work = self.case.work(activation.vertex, activation.stamp, activation.discriminator)
            error = ErrorInfo(work.error.__name__, activation.id)
            plan = self.case.plan
            taken = [t for t in work.taken if plan.edges[t.edge].kind == "error"]
            sources = {plan.edges[t.edge].source for t in taken}
            self.cut_off = self.cut_off or any(plan.nodes[v].kind == "leave" for v in sources)
            self.trace.tally["failures taken by a graph around"] += bool(sources - {activation.vertex})
            self._happen(
                NodeFailed(at=self._now, id=activation.id, error=error, attempt=activation.attempt, taken=taken)
            )
        else:
            self._happen(_finished(self.case, activation, self._now))

    def _again(self) -> bool:
        """Whether a run that has failed, or was stopped, goes on."""
        run = self.state
        status = verdict(run)
        final = run.halt is not None and run.halt.final
        if not self.fate.restarts or status not in ("failed", "stopped") or final:
            return False
        self.fate.restarts -= 1
        self.fate.rounds[""] = self.fate.rounds.get("", 0) + 1
        self._happen(RunEnded(at=self._now, status=status))
        more: dict[str, Any] = {kind: allowed + 2 for kind, allowed in self.case.limits.items()}
        self._happen(RunRetried(at=self._now, **more))
        return True


def _finished(case: Case, activation: Activation, at: float) -> NodeFinished:
    work = case.work(activation.vertex, activation.stamp, activation.discriminator)
    return NodeFinished(
        at=at,
        id=activation.id,
        writes=work.writes,
        taken=work.taken,
        attempt=activation.attempt,
        replaced=work.replaced,
    )


def replay(case: Case, events: Sequence[Event]) -> RunState:
    """Fold the events once more."""
    run = case.new_run()
    for event in events:
        fold(run, event)
    return run


def fold(run: RunState, event: Event) -> None:
    """Fold one event in; the time of a further attempt has come at once."""
    evolve(run, event)
    if isinstance(event, NodeFailed) and event.retry_at is not None:
        due(run, event.id)


def seen_by(view: View) -> Seen:
    """The values of a view, as the oracle has them."""
    return {n: Clash(c.writers) if isinstance(c, Conflict) else c.value for n, c in view.items()}


# -- the state as plain data ---------------------------------------------------------------------------


def digest(run: RunState) -> dict[str, object]:
    """Everything that decides what will happen, as values that can be compared.

    A begun activation counts as a ready one: that it was begun is not in the log.
    """
    return {
        "live": {a.id: _activation(a) for a in run.live.values()},
        "waves": {
            at: (
                (
                    w.fired,
                    [(t.edge, t.discriminator, t.cause, _view(t.revision.seen()), _fans(t.fans)) for t in w.tokens],
                ),
                (w.asked, {a.id: _activation(a) for a in w.excused}, _fans(w.fans) if w.excused else None),
            )
            for at, w in run.waves.items()
        },
        "lost": sorted(((r.index, _view(r.seen())) for r in run.lost), key=lambda lost: lost[0]),
        "frames": _frame(run.marking.root),
        "counts": (run.seq, run.steps, run.steps_before, run.asking, run.active, dict(run.turns), run.revisions.count),
        "limits": (run.started_at, run.steps_allowed, run.seconds_allowed, list(run.refused)),
        "tallies": {at: (t.began, t.inside, t.steps, t.over) for at, t in run.tallies.items()},
        "undecided": sorted(run.undecided),
        "end": (run.status, run.halt, None if run.result is None else _view(run.result.seen())),
    }


def _activation(a: Activation) -> tuple[object, ...]:
    """A begun activation counts as a ready one."""
    status = "ready" if a.status == "running" else a.status
    return (
        (a.vertex, a.stamp, a.discriminator, status, a.attempt, a.started, a.since, a.cause),
        (a.error, a.to, a.expires_at, a.retry_at if a.status == "retrying" else None, a.doubt),
        (_view(a.revision.seen()), _fans(a.fans)),
    )


def _view(view: View) -> dict[str, Any]:
    return {n: (c.value, c.seqs) if isinstance(c, Grown) else c for n, c in view.items()}


def _fans(fans: Fans) -> list[object]:
    return [(f.edge, f.seq, f.limit, dict(f._live), list(f._queue), index) for f, index in fans]


def _frame(frame: Frame) -> object:
    inside = {
        (region, coordinate): _frame(child)
        for region, children in frame.children.items()
        for coordinate, child in children.items()
    }
    return (frame.total, frame.occupied, dict(frame.counts), inside)


# -- looking on ----------------------------------------------------------------------------------------


class Watch:
    """Asks after each event whether the state is what the rules say.

    Args:
        case: What is run.
        follow: Also follow the run with the plain interpreter; it knows races.
    """

    def __init__(self, case: Case, *, follow: bool = False):
        self.case = case
        self.follow = follow
        self.model: Follow | None = None
        self.places: dict[tuple[int, Stamp], tuple[int, int]] = {}
        self.tally: Counter[str] = Counter()

    def after(self, run: RunState, event: Event) -> None:
        """Look at the state after *event*."""
        if self.follow:
            self._model(run, event)
        if run.status != "cancelled":
            self._counts(run)
        self._waves(run)
        self._instances(run)
        self._nothing_was_missed(run)
        self._nobody_waits_beside_a_free_place(run)

    def _items(self, run: RunState) -> list[tuple[int, Stamp]]:
        activations = [(a.vertex, a.stamp) for a in run.live.values()]
        waiting = [at for at, wave in run.waves.items() for _ in wave.tokens]
        return activations + waiting + [at for at, wave in run.waves.items() if wave.excused]

    def _counts(self, run: RunState) -> None:
        """The marking counts what is live."""
        counts: dict[int, int] = {}
        for vertex, _ in self._items(run):
            counts[vertex] = counts.get(vertex, 0) + 1
        assert run.marking.root.counts == counts
        assert run.marking.root.occupied == sum(1 << v for v in counts)

    def _waves(self, run: RunState) -> None:
        """What waits is blocked, and watches what blocks it; what has fired is remembered only while it must be."""
        topology = run.plan.topology
        items = self._items(run)
        for (join, stamp), wave in run.waves.items():
            others = [i for i in items if i != (join, stamp)]
            blocking = [v for v, at in others if topology.blocks(v, at, join, stamp)]
            if run.halt is not None and run.halt.final and not blocking:
                continue  # it starved
            if wave.fired and not blocking:  # kept for those that failed and may come back
                excused = [a for other in run.excusing.values() for a in other.excused]
                assert any(topology.blocks(a.vertex, a.stamp, join, stamp) for a in excused)
                continue
            assert blocking, f"{run.name(join)}@{stamp} waits for nothing"
            assert wave.blocked_by in blocking, f"{run.name(join)}@{stamp} watches {wave.blocked_by} of {blocking}"
            assert _is_watched(run, wave), f"{run.name(join)}@{stamp} would not be woken"

    def _nothing_was_missed(self, run: RunState) -> None:
        """Nothing is live that could still have come to a join which has waited for everything."""
        topology = run.plan.topology
        items = self._items(run)
        waits = ("gather", "all_of", "zipped", "batches")
        for join, stamp in {(a.vertex, a.stamp) for a in run.live.values() if topology.rule[a.vertex].kind in waits}:
            missed = [v for v, at in items if topology.blocks(v, at, join, stamp)]
            assert not missed, f"{run.name(join)}@{stamp} fired before {missed} had come"

    def _nobody_waits_beside_a_free_place(self, run: RunState) -> None:
        """Where an `each` has room, none of its items is kept waiting."""
        for activation in run.live.values():
            if activation.status == "queued":
                fan = activation.fans[-1][0]
                assert fan.limit is not None
                assert len(fan._live) >= fan.limit, f"{activation.id} waits for nothing"

    def _instances(self, run: RunState) -> None:
        """An instance of an `each` belongs to one item of one pass, with all in it; no more than the limit are open."""
        topology = run.plan.topology
        open_now: dict[int, set[int]] = {}
        limits: dict[int, int] = {}
        live = [(a.vertex, a.stamp, a.fans, a.status == "queued") for a in run.live.values()]
        for (join, at), wave in run.waves.items():
            live += [(join, at, t.fans, bool(t.fans) and t.edge == t.fans[-1][0].edge) for t in wave.tokens]
            live += [(join, at, wave.fans, False)] if wave.excused else []
        for vertex, stamp, fans, queued in live:
            depths = [i for i, c in enumerate(stamp) if not isinstance(c, int) and c[1] >= 0]
            assert len(depths) == len(fans)
            for depth, (fan, index) in zip(depths, fans, strict=True):
                region = topology.chain[vertex][depth]
                place = self.places.setdefault((region, stamp[: depth + 1]), (fan.seq, index))
                assert place == (fan.seq, index), f"two items share the instance {stamp[: depth + 1]}"
                if fan.limit is not None and not (queued and fan is fans[-1][0]):
                    open_now.setdefault(id(fan), set()).add(index)
                    limits[id(fan)] = fan.limit
        if self.model is not None and self.model.brought_back:
            return  # more have failed side by side than may run
        for fan_id, indices in open_now.items():
            assert len(indices) <= limits[fan_id], f"{len(indices)} instances at once, {limits[fan_id]} allowed"

    def _model(self, run: RunState, event: Event) -> None:
        if self.model is None:
            self.model = Follow(self.case)
        model = self.model
        model.after(event, {a.id for a in run.live.values() if a.status == "queued"})
        assert sorted(run.closed) == sorted(model.closed)
        for number, around in model.left:
            cap = run.plan.caps[number]
            after = run.plan.edges[cap.edge].target if cap.edge is not None else None
            items = [(v, s) for v, s in self._items(run) if v in cap.members and s[: cap.depth] == around]
            inside = [item for item in items if item[0] != after]
            assert not inside, f"{inside} is still there after the limit {cap}"
        self.tally["limits reached"] += len(model.left)
        assert set(run.live) == set(model.active)
        assert run.active == model.active_seconds
        if run.halt is None:  # what was counted until a failure does not count when somebody tries again
            counting = {at: t.began for at, t in run.tallies.items() if t.began is not None}
            assert counting == {at: began for at, began in model.began.items() if run.plan.caps[at[0]].kind != "turns"}
        waiting = {at: sorted((t.edge, t.discriminator) for t in w.tokens) for at, w in run.waves.items() if w.tokens}
        assert waiting == {at: sorted((a.edge, a.discriminator) for a in found) for at, found in model.waiting.items()}
        assert {at for at, w in run.waves.items() if w.fired} == model.over
        assert {a.id for a in run.live.values() if a.status == "failed"} == model.failed
        assert {a.id for a in run.questions} == model.asking
        doubtful = {model.name(place) for place in model.doubtful}
        assert set(run.undecided) - doubtful == {model.name(place) for place in model.undecided} - doubtful
        halt = None if run.halt is None else (run.halt.status, run.halt.final)
        assert halt == (None if model.stop is None else (model.stop.status, model.stop.final))
        if run.halt is not None and model.stop is not None:
            assert {identity for identity, _ in run.halt.errors} == model.stop.errors
        for activation in run.live.values():
            assert _shown(run, activation) == model.outcome.seen[activation.id]


def _shown(run: RunState, activation: Activation) -> Seen:
    """What an activation sees of its own graph and those around it."""
    hidden = {name for call in run.plan.calls if activation.vertex not in call.members for name in call.private}
    return {name: value for name, value in seen_by(activation.revision.seen()).items() if name not in hidden}


def _is_watched(run: RunState, wave: Wave) -> bool:
    """Whether some frame will wake the wave."""
    topology: Topology = run.plan.topology
    frames = [run.marking.root]
    for region, coordinate in zip(topology.chain[wave.join], wave.stamp, strict=True):
        frame = frames[-1]
        children = frame.children.get(region, {})
        if isinstance(coordinate, int):
            earlier = [c for c in children if isinstance(c, int) and c < coordinate]
            if any(wave in children[c].empty_watch for c in earlier):
                return True
        if coordinate not in children:
            break
        frames.append(children[coordinate])
    return any(wave in watchers for f in frames for v, watchers in f.vertex_watch.items() if v in f.counts)
