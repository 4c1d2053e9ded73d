"""What happened in a run, read from the log alone.

No code of the graph is needed, only its form, which the store keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.record import ActivationRecord, ActivationStatus, RunRecord
from orchestra_graph.core.run import Activation, RunState, Status
from orchestra_graph.errors import StoreBroken
from orchestra_graph.graph.edges import Edge, Group
from orchestra_graph.graph.plan import Call, Cap, Plan, PlanNode, Shape, WriteSpec
from orchestra_graph.graph.policies import Limits
from orchestra_graph.graph.shape import rules_in
from orchestra_graph.graph.topology import Scope, Topology
from orchestra_graph.runtime.journal import event_of
from orchestra_graph.runtime.shaped import shape_in
from orchestra_graph.runtime.wellformed import check_place, object_in, reading, reading_row
from orchestra_graph.state.codec import Codec, parse
from orchestra_graph.state.reducers import Reducer
from orchestra_graph.state.schema import FieldSpec, Schema, State
from orchestra_graph.store.base import LogRow, RunRow, Store

__all__ = ["known_event", "outline", "outline_of", "record_of", "shape_of", "written_in"]

_KEPT: Reducer[Any, Any] = Reducer("kept", lambda acc, x: None)
"""Stands for every reducer: whatever is written side by side, it is no conflict. The values are not known here."""


async def shape_of(store: Store, row: RunRow) -> Shape:
    """The form of the graph that a run was started with.

    Raises:
        StoreBroken: It is missing, or is none.
    """
    stored = await store.shape(row.fingerprint)
    if stored is None:
        raise StoreBroken(store.url, f"the form of the graph of run '{row.key}' is missing")
    with reading(store.url, "the form of its graph", row.key):
        return shape_in(stored)


def outline(shape: Shape, name: str, version: str) -> Plan:
    """A plan with everything but code and values: enough to fold a log and see what is live."""
    schema = Schema(State, {name: _spec(name, field) for name, field in shape["fields"].items()})
    edges = [Edge(source=e["from"], target=e["to"], kind=e["kind"], label=e["label"]) for e in shape["edges"]]
    scopes = [Scope(s["edge"], frozenset(s["members"]), s["collector"], s.get("call", False)) for s in shape["scopes"]]
    calls = [_call(c, shape) for c in shape.get("calls", ())]
    races = tuple(tuple(race) for race in shape.get("races", ()))
    nodes = [
        PlanNode(
            index=i,
            name=n["name"],
            kind=n["kind"],
            reads=tuple(n["reads"]),
            writes=WriteSpec(fields=dict.fromkeys(n["writes"]), sure=True, single=False),
            turns=n["turns"],
            counts_turns=n["counts_turns"],
            groups=_groups(shape["groups"][i]),
            call=_around(calls, i),
            terminates=n.get("terminates"),
            channel=n.get("channel", ""),
        )
        for i, n in enumerate(shape["nodes"])
    ]
    topology = Topology(
        len(nodes),
        [(e.source, e.target) for e in edges],
        rules=rules_in(shape),
        scopes=scopes,
        raced=frozenset(v for race in races for v in race),
    )
    return Plan(
        name=name,
        version=version,
        schema=schema,
        codec=Codec(Schema(State, {})),
        nodes=nodes,
        edges=edges,
        topology=topology,
        limits=Limits(),
        shape=shape,
        fingerprint="",
        calls=tuple(calls),
        races=races,
        caps=tuple(Cap(**{**cap, "members": frozenset(cap["members"])}) for cap in shape.get("caps", ())),
    )


def _call(call: dict[str, Any], shape: Shape) -> Call:
    inside = tuple(name for name in shape["fields"] if name.rpartition("/")[0] == call["name"])
    names = {name.rpartition("/")[2]: name for name in inside}
    return Call(state=State, names=names, private=inside, **{**call, "members": frozenset(call["members"])})


def _around(calls: Sequence[Call], vertex: int) -> int | None:
    """The innermost call that a vertex stands in."""
    around = [i for i, call in enumerate(calls) if vertex in call.members]
    return min(around, key=lambda i: len(calls[i].members), default=None)


def _groups(listed: list[dict[str, Any]]) -> tuple[Group, ...]:
    return tuple(Group(kind=g["kind"], edges=tuple(g["edges"]), limit=g["limit"]) for g in listed)


def _spec(name: str, field: dict[str, Any]) -> FieldSpec:
    return FieldSpec(
        name=name,
        annotation=Any,
        reducer=_KEPT if field["reducer"] else None,
        required=field["required"],
        later=field["later"],
        default=None,
        has_factory=False,
        owner=State,
        attribute=name,
        private="/" in name,
    )


async def outline_of(store: Store, row: RunRow) -> Plan:
    """The outline of the graph of a run.

    Raises:
        StoreBroken: Its form is missing, or is none.
    """
    shape = await shape_of(store, row)
    with reading(store.url, "the form of its graph", row.key):
        return outline(shape, row.graph, row.version)


def known_event(logged: LogRow, url: str, run: str = "") -> tuple[ev.Event, dict[str, Any]]:
    """Read a log row without code.

    Returns:
        What happened, with the names of the fields that were written and None for their values; and the parsed body.

    Raises:
        StoreBroken: The row is none that this library wrote.
    """
    event, body = event_of(logged, None, url, run=run), parse(logged.body)
    with reading_row(logged, url, run):
        body["writes"], large = object_in(body.get("writes", {}), "writes"), object_in(body.get("blobs", {}), "blobs")
        object_in(large.get("writes", {}), "blobs.writes")
    if isinstance(event, ev.NodeFinished):
        event = replace(event, writes=dict.fromkeys(written_in(body)), items={})
    elif isinstance(event, ev.RunStarted | ev.RunForked):
        event = replace(event, values=dict.fromkeys(written_in(body)))
    return event, body


def written_in(body: dict[str, Any]) -> list[str]:
    """The names of the fields that a log row writes, those with large values, too."""
    return [*body.get("writes", {}), *body.get("blobs", {}).get("writes", {})]


async def record_of(store: Store, row: RunRow) -> RunRecord:
    """Read a run's log and make its table."""
    reader = _Reader(await outline_of(store, row))
    for logged in await store.log(row.number):
        event, _ = known_event(logged, store.url, row.key)
        with reading_row(logged, store.url, row.key):
            check_place(reader.run, logged, event)
            reader.read(event)
    return reader.record(row)


_SHOWN: dict[Status, ActivationStatus] = {
    "queued": "ready",
    "ready": "ready",
    "running": "running",
    "retrying": "retrying",
    "asking": "waiting",
    "receiving": "waiting",
    "failed": "failed",
}


class _Reader:
    def __init__(self, plan: Plan):
        self.plan = plan
        self.run = RunState.of(plan)
        self.seen: dict[str, ActivationRecord] = {}
        self.taken: dict[int, int] = {}
        self.ended: float | None = None

    def read(self, event: ev.Event) -> None:
        # What was withdrawn may have an end in the log all the same: it came in the same moment, and changed nothing.
        counts = getattr(event, "id", None) in self.run.live
        for activation in evolve(self.run, event):
            self.seen[activation.id] = self._first(activation)
        self._took([ev.Taken(edge) for edge in self.run.led_on])
        self.run.led_on.clear()
        if isinstance(event, ev.RunStarted):
            starts = (group for group in self.plan.nodes[0].groups if group.kind == "edges")
            self.taken.update(dict.fromkeys((edge for group in starts for edge in group.edges), 1))
        elif isinstance(event, ev.NodeFinished) and counts:
            self._finished(event)
        elif isinstance(event, ev.NodeFailed) and counts:
            self._failed(event)
        elif isinstance(event, ev.QuestionAsked) and counts:
            self._change(event.id, waiting_for=event.to or "a person")
        self.ended = event.at if isinstance(event, ev.RunEnded) else None

    def _first(self, activation: Activation) -> ActivationRecord:
        turns = [c for c in activation.stamp if isinstance(c, int)]
        return ActivationRecord(
            id=activation.id,
            node=self.run.name(activation.vertex),
            status="ready",
            started=activation.since,
            turn=turns[-1] if turns else None,
            passage=self.plan.nodes[activation.vertex].passage,
        )

    def _change(self, identity: str, **changed: Any) -> None:
        if identity in self.seen:
            self.seen[identity] = replace(self.seen[identity], **changed)

    def _finished(self, event: ev.NodeFinished) -> None:
        started = event.at - event.took
        self._change(event.id, status="done", started=started, ended=event.at, attempts=event.attempt, error=None)
        self._took(event.taken)

    def _failed(self, event: ev.NodeFailed) -> None:
        """An attempt failed; where the run goes on without it, over other edges or at a join, it was the last one."""
        self._change(event.id, attempts=event.attempt, error=str(event.error))
        if event.id not in self.run.live:
            self._change(event.id, status="failed", ended=event.at)
        self._took(event.taken)

    def _took(self, taken: Sequence[ev.Taken]) -> None:
        for edge, times in taken:
            self.taken[edge] = self.taken.get(edge, 0) + (1 if times is None else times)

    def record(self, row: RunRow) -> RunRecord:
        activations = tuple(self._last(a, driven=row.owner is not None) for a in self.seen.values())
        return RunRecord(
            key=row.key,
            graph=row.graph,
            version=row.version,
            status=row.status,
            started=self.run.started_at,
            ended=self.ended,
            activations=activations,
            taken=self.taken,
            steps=self.run.steps,
        )

    def _last(self, record: ActivationRecord, *, driven: bool) -> ActivationRecord:
        """How an activation stands at the end of the log."""
        if record.status == "done":
            return record
        live = self.run.live.get(record.id)
        if live is None:
            return record if record.status == "failed" else replace(record, status="withdrawn", ended=self.run.last_at)
        status = _SHOWN[live.status]
        if status == "ready" and driven:
            status = "running"  # it may start, and somebody drives the run: starts are not logged one by one
        waiting = record.waiting_for if status == "waiting" else None
        if live.status == "receiving":
            waiting = f"a message on '{self.plan.nodes[live.vertex].channel}'"
        return replace(record, status=status, attempts=live.attempt, ended=None, waiting_for=waiting)
