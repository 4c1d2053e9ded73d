"""Graphs written down by name, and runs driven by hand: for tests of one case at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestra_graph.core.decide import begin, verdict
from orchestra_graph.core.events import ErrorInfo, Event, NodeFailed, NodeFinished, RunStarted, Taken
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.run import RunState
from orchestra_graph.graph.plan import Plan, WriteSpec
from orchestra_graph.graph.policies import JoinRule
from tests.core.graphs import DEFAULTS, END, Bound, Draft, Inside, Trouble
from tests.core.oracle import Seen
from tests.core.simulate import digest, seen_by

__all__ = ["Each", "Most", "Nested", "Play", "plan_of"]


@dataclass(frozen=True, slots=True)
class Each:
    """An `each` of a graph that is written down: *body* names its nodes, the entry first."""

    source: str
    body: str
    collect: str
    empty: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Nested:
    """A graph that stands in another one: at *name*, with *inside*; its last vertex is ``name/END``."""

    name: str
    inside: str


@dataclass(frozen=True, slots=True)
class Most:
    """A limit, of the loop around *node* or of that node; with *whole*, of the graph that stands there (or START)."""

    node: str
    kind: Literal["turns", "steps", "seconds"]
    allowed: float
    then: str | None = None
    whole: bool = False


def plan_of(
    *lines: str,
    joins: Mapping[str, JoinRule] | None = None,
    eaches: Sequence[Each] = (),
    turns: Mapping[str, int] | None = None,
    heads: str = "",
    writes: Mapping[str, str] | None = None,
    errors: Sequence[str] = (),
    catches: Sequence[type[Trouble]] = (),
    races: Sequence[str] = (),
    limits: Sequence[Most] = (),
    ends: Mapping[str, Literal["done", "failed"]] | None = None,
    calls: Sequence[Nested] = (),
) -> Plan:
    """A plan from lines such as ``"START a"`` and ``"a b c"``: edges from the first name to each of the others.

    Args:
        lines: The edges, but for those into the bodies of `each`.
        joins: Join rules by name.
        eaches: The bodies; their edges come after all others.
        turns: Limits on turns, by name.
        heads: Heads of loops about which nothing was said: there the run's own limit on turns counts.
        writes: A field that a node always writes and never reads, by name.
        errors: Lines such as ``"a x y"``: where it goes on when the first has failed; each line is one declaration.
        catches: What each of these declarations takes, where that matters.
        races: Lines of names.
        limits: Limits, with or without a way out.
        ends: Nodes that end their graph.
        calls: Graphs that stand in this one, the outer ones before those inside; edges leave from ``name/END``.
    """
    draft = Draft()
    at = {"START": 0, "END": END}
    every = [*lines, *(e.body for e in eaches), *errors, *(f"{c.name}/END" for c in calls)]
    for name in [n for line in every for n in line.split()]:
        if name not in at:
            at[name] = draft.vertex()
            draft.names[at[name]] = name
    for line in lines:
        source, *targets = line.split()
        for target in targets:
            draft.arc(at[source], at[target])
    for each in eaches:
        empty = None if each.empty is None else at[each.empty]
        body = [at[name] for name in each.body.split()]
        draft.each(at[each.source], body, at[each.collect], empty=empty, limit=each.limit)
    for number, line in enumerate(errors):
        source, *targets = line.split()
        for target in targets:
            draft.arc(at[source], at[target], "error", number).errors = tuple(catches[number : number + 1])
    for call in calls:
        inside = frozenset(at[name] for name in [*call.inside.split(), f"{call.name}/END"])
        draft.calls.append(Inside(call.name, at[call.name], at[f"{call.name}/END"], inside))
    for most in limits:
        way = None if most.then is None else draft.arc(at[most.node], at[most.then], "limit")
        draft.bounds.append(Bound(most.kind, most.allowed, at[most.node], way, most.whole))
    draft.races += [tuple(at[name] for name in line.split()) for line in races]
    draft.ends.update({at[name]: status for name, status in (ends or {}).items()})
    draft.rules.update({at[name]: rule for name, rule in (joins or {}).items()})
    draft.turns.update({at[name]: count for name, count in (turns or {}).items()})
    draft.unlimited_heads.update(at[name] for name in heads.split())
    for name, field in (writes or {}).items():
        draft.writers[at[name]] = WriteSpec(fields={field: str}, sure=True, single=False)
    draft.close()
    return draft.plan("written down")


class Play:
    """One run, event by event.

    Args:
        plan: The graph.
        limits: The limits with which it starts: ``steps``, ``turns``.
    """

    def __init__(self, plan: Plan, *, at: float = 0.0, values: Mapping[str, Any] = DEFAULTS, **limits: Any):
        self.plan = plan
        self.run = RunState.of(plan)
        self.events: list[Event] = []
        self.do(RunStarted(at=at, values=values, **limits))

    def do(self, event: Event) -> list[str]:
        """Fold an event in; the ids that became live."""
        self.events.append(event)
        return [a.id for a in evolve(self.run, event)]

    def begin(self, room: int = 1_000) -> list[str]:
        """Begin what may begin."""
        return [a.id for a in begin(self.run, room)]

    def finish(self, identity: str, *to: str | tuple[str, int], **writes: Any) -> list[str]:
        """An activation is done.

        Args:
            identity: Which.
            to: The targets of the edges it takes, ``(target, times)`` into an `each`; if none, every plain edge.
            writes: What it writes.
        """
        source = self.run.live[identity].vertex
        taken = [self._edge(source, t) for t in to] or [
            Taken(e) for e in self.plan.topology.out[source] if self.plan.edges[e].kind in ("always", "drop")
        ]
        return self.do(NodeFinished(at=self.now, id=identity, writes=writes, taken=taken))

    def fail(
        self, identity: str, *to: str, attempt: int = 1, retry_at: float | None = None, message: str = "no"
    ) -> list[str]:
        """An attempt of an activation failed; *to* are the targets of the error edges taken: its own, or of a call."""
        error = ErrorInfo("Boom", message)
        taken = [Taken(e) for e in self._error_edges(identity) if self.plan.nodes[self.plan.edges[e].target].name in to]
        return self.do(
            NodeFailed(at=self.now, id=identity, error=error, attempt=attempt, retry_at=retry_at, taken=taken)
        )

    def _error_edges(self, identity: str) -> Sequence[int]:
        """Those of an activation; if it has none, of the nearest graph around it or behind it that has any."""
        known = self.run.live.get(identity)
        if known is None:
            return ()
        around = [c for c in self.plan.calls if known.vertex in {*c.members, c.enter}]
        for vertex in [known.vertex, *(c.leave for c in sorted(around, key=lambda c: len(c.members)))]:
            edges = [e for e in self.plan.topology.out[vertex] if self.plan.edges[e].kind == "error"]
            if edges:
                return edges
        return ()

    def _edge(self, source: int, to: str | tuple[str, int]) -> Taken:
        name, times = to if isinstance(to, tuple) else (to, None)
        into = [e for e in self.plan.topology.out[source] if self.plan.nodes[self.plan.edges[e].target].name == name]
        kinds = {e: self.plan.edges[e].kind for e in into}
        return Taken(next(e for e in into if (kinds[e] == "each") == (times is not None)), times)

    @property
    def now(self) -> float:
        """The time of the next event."""
        return float(len(self.events))

    @property
    def live(self) -> list[str]:
        """The live activations."""
        return sorted(self.run.live)

    @property
    def waves(self) -> list[str]:
        """The joins at which tokens wait."""
        return sorted(self.run.name(join) for (join, _), wave in self.run.waves.items() if wave.tokens)

    @property
    def status(self) -> str:
        """What the run has come to."""
        return verdict(self.run)

    @property
    def final(self) -> Seen:
        """The state at the end."""
        assert self.run.result is not None
        return seen_by(self.run.result.seen())

    def seen(self, identity: str) -> Seen:
        """What a live activation sees."""
        return seen_by(self.run.live[identity].revision.seen())

    def state(self) -> dict[str, object]:
        """Everything that decides what will happen."""
        return digest(self.run)

    def again(self) -> dict[str, object]:
        """The same, of a run that has the same log."""
        run = RunState.of(self.plan)
        for event in self.events:
            evolve(run, event)
        return digest(run)
