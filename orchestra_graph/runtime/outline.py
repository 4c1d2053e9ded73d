"""The outline of a graph: the plan that is made of the form in a database, without any code or values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.errors import StoreBroken
from orchestra_graph.graph.edges import Edge, Group
from orchestra_graph.graph.plan import Call, Cap, Plan, PlanNode, Shape, WriteSpec
from orchestra_graph.graph.policies import Limits
from orchestra_graph.graph.shape import rules_in
from orchestra_graph.graph.topology import Scope, Topology
from orchestra_graph.runtime.journal import event_of
from orchestra_graph.runtime.shaped import shape_in
from orchestra_graph.runtime.wellformed import object_in, reading, reading_row
from orchestra_graph.state.codec import Codec, parse
from orchestra_graph.state.reducers import Reducer
from orchestra_graph.state.schema import FieldSpec, Schema, State
from orchestra_graph.store.base import LogRow, RunRow, Store

__all__ = ["known_event", "outline", "outline_of", "shape_of", "written_in"]

_KEPT: Reducer[Any, Any] = Reducer("kept", lambda acc, x: None)
"""Stands for every reducer: whatever is written side by side, it is no conflict. The values are not known here."""


async def shape_of(store: Store, row: RunRow) -> Shape:
    """The form of the graph that a run goes on with.

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
    elif isinstance(event, ev.RunStarted | ev.RunForked | ev.RunMoved):
        event = replace(event, values=dict.fromkeys(written_in(body)))
    return event, body


def written_in(body: dict[str, Any]) -> list[str]:
    """The names of the fields that a log row writes, those with large values, too."""
    return [*body.get("writes", {}), *body.get("blobs", {}).get("writes", {})]
