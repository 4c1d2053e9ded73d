"""The frozen plan: everything about a graph that a run needs, decided once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from orchestra_graph.errors import Problem
from orchestra_graph.graph.edges import Choice, Edge, Group
from orchestra_graph.graph.migration import Migration
from orchestra_graph.graph.node import Node, NodeOptions
from orchestra_graph.graph.policies import Limits
from orchestra_graph.graph.topology import Topology
from orchestra_graph.state.codec import Codec
from orchestra_graph.state.schema import Schema, State

__all__ = ["Call", "Cap", "Param", "Plan", "PlanNode", "Shape", "Transfer", "WriteSpec", "fingerprint_of", "form_of"]

NodeKind = Literal["start", "work", "ask", "receive", "end", "enter", "leave"]
ParamKind = Literal["field", "state", "view", "context", "item", "resource"]
Shape = dict[str, Any]
"""The form of a graph as JSON: what its fingerprint is made of, what a database keeps beside a run, and what
pictures are drawn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of a node's function.

    Attributes:
        name: The parameter.
        kind: Where its value comes from.
        annotation: Its type, without marks.
        resource: For a resource given by name.
        source: Of kind ``field``: what it is given, in field names of the plan; a path or a function of fields.
        view: Of kind ``view``: its attributes, by what their fields are called in the plan.
    """

    name: str
    kind: ParamKind
    annotation: Any
    resource: str = ""
    source: Choice = ""
    view: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSpec:
    """What a node's returned value is written to.

    Attributes:
        fields: Every field that may be written, with the declared type of what is written there.
        sure: Whether all of *fields* are written each time.
        single: The value itself is written, to the one field; otherwise it is a patch.
        certain: Those of *fields* that are written each time.
        names: What the returned patch calls a field, where that is not its name in the plan.
    """

    fields: Mapping[str, Any]
    sure: bool
    single: bool
    certain: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One value that goes into a call, or comes out of it.

    Attributes:
        field: Where it is written.
        kind: ``source``; ``item``, the element of the `each` around the call; ``default``, that of the field.
        source: A path or a function of fields.
    """

    field: str
    kind: Literal["source", "item", "default"] = "source"
    source: Choice = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A graph that stands in another one, inlined.

    Attributes:
        name: Its path, such as ``review`` or ``outer/inner``.
        state: Its state class.
        names: Its fields, by what they are called in the plan.
        private: Those of them (by the plan's names) that are its own: made when it is entered, gone when it is left.
        enter: The vertex before its inside.
        leave: The last vertex of its inside.
        members: The vertices inside.
    """

    name: str
    state: type[State]
    names: Mapping[str, str]
    private: tuple[str, ...]
    enter: int
    leave: int
    members: frozenset[int]


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit of a part of the graph.

    Attributes:
        kind: What is counted: starts of *vertex*; nodes that have finished inside; seconds in which something was to be
            done inside. ``message``: nothing; it is reached by a message that interrupts.
        allowed: How much.
        vertex: The node that it was said of; for a whole (sub)graph the vertex before it.
        edge: Where the run goes on when it is reached; None: it stops.
        members: The vertices inside, whose work is withdrawn.
        depth: How many regions are around all of them: with the same coordinates there, items belong together.
    """

    kind: Literal["turns", "steps", "seconds", "message"]
    allowed: float
    vertex: int
    edge: int | None
    members: frozenset[int]
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanNode:
    """One vertex of a plan.

    Attributes:
        index: Its vertex in the topology.
        name: Its name; ``START`` and ``END`` for the two that no user writes.
        kind: ``start``, ``work``, ``ask``, ``receive`` or ``end``; ``enter`` and ``leave`` for a graph that stands
            there.
        node: The declared node; None for all but work, ask and receive.
        params: The parameters of its function.
        reads: The fields among them (all fields, for a parameter of the state's own type).
        writes: What it writes.
        answer: For a question: the type of the answer; for a channel: that of a message.
        optional: For a question: it may ask nobody.
        groups: Its out-edges.
        turns: How often it may run in one instance of the `each` around it, where that was said.
        counts_turns: Nothing was said of the loop that it heads: the run's own limit on turns counts here.
        call: The index of the call that it stands in, or None.
        transfers: Of ``enter`` and ``leave``: what it writes.
        terminates: It ends the (sub)graph, and how.
        channel: Of ``receive``: which messages it takes.
        where: File and line.
    """

    index: int
    name: str
    kind: NodeKind
    node: Node[Any] | None = None
    params: tuple[Param, ...] = ()
    reads: tuple[str, ...] = ()
    writes: WriteSpec = WriteSpec(fields={}, sure=True, single=False)
    answer: Any = None
    optional: bool = False
    groups: tuple[Group, ...] = ()
    turns: int | None = None
    counts_turns: bool = False
    call: int | None = None
    transfers: tuple[Transfer, ...] = ()
    terminates: Literal["done", "failed"] | None = None
    channel: str = ""
    where: str = ""

    @property
    def passage(self) -> bool:
        """Whether it is the way into a graph that stands there, or out of it: nobody's work."""
        return self.kind in ("enter", "leave")

    @property
    def options(self) -> NodeOptions:
        """How it is run."""
        return self.node.options if self.node is not None else NodeOptions()


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A compiled graph.

    Attributes:
        name: Of the graph.
        version: Of the graph.
        schema: The fields of its state, and those of the graphs in it (as ``review/note``).
        codec: How they are stored.
        nodes: By vertex.
        edges: By index; the topology has the same edges, as pairs.
        topology: Regions, stamps and the join rule.
        limits: How far a run may go.
        shape: Its form as JSON.
        fingerprint: A hash of the shape: runs go on only with code of the same fingerprint.
        warnings: What is doubtful, but not wrong.
        calls: The graphs that stand in it.
        races: Groups of vertices of which the first to finish withdraws the others.
        caps: Limits of loops, and of the graph.
        migrations: What is said about runs of older versions, the oldest first.
    """

    name: str
    version: str
    schema: Schema
    codec: Codec
    nodes: Sequence[PlanNode]
    edges: Sequence[Edge]
    topology: Topology
    limits: Limits
    shape: Shape
    fingerprint: str
    warnings: tuple[Problem, ...] = ()
    calls: tuple[Call, ...] = ()
    races: tuple[tuple[int, ...], ...] = ()
    caps: tuple[Cap, ...] = ()
    migrations: tuple[Migration, ...] = ()

    def group_of(self, edge: int) -> Group:
        """The group that an edge belongs to."""
        return next(g for g in self.nodes[self.edges[edge].source].groups if edge in g.edges)

    @cached_property
    def own(self) -> tuple[str, ...]:
        """The fields of its state, without those of the graphs in it."""
        return tuple(name for name, spec in self.schema.fields.items() if not spec.private)

    @cached_property
    def _home(self) -> Mapping[str, Call]:
        return {name: call for call in self.calls for name in call.private}

    def sees(self, vertex: int, name: str) -> bool:
        """Whether a field means anything at a vertex: one that is private to a call does so in there."""
        home = self._home.get(name)
        return home is None or vertex in home.members

    def drops(self, vertex: int) -> tuple[str, ...]:
        """The private fields that are gone behind a vertex: a call begins and ends without them."""
        node = self.nodes[vertex]
        if node.kind == "enter":
            return self.opens[vertex].private
        return self.calls[node.call].private if node.kind == "leave" and node.call is not None else ()

    @cached_property
    def tallied(self) -> Mapping[int, tuple[int, ...]]:
        """For a vertex the caps around it that count steps or seconds."""
        found: dict[int, tuple[int, ...]] = {}
        for index, cap in enumerate(self.caps):
            for vertex in cap.members if cap.kind in ("steps", "seconds") else ():
                found[vertex] = (*found.get(vertex, ()), index)
        return found

    @cached_property
    def turned(self) -> Mapping[int, int]:
        """For a vertex whose turns are limited the cap that does it: the lowest."""
        caps = [i for i, cap in enumerate(self.caps) if cap.kind == "turns"]
        return {self.caps[i].vertex: i for i in sorted(caps, key=lambda i: -self.caps[i].allowed)}

    @cached_property
    def interrupted(self) -> Mapping[str, tuple[int, ...]]:
        """For a channel the caps that are reached by a message which interrupts."""
        found: dict[str, tuple[int, ...]] = {}
        for index, cap in enumerate(self.caps):
            if cap.kind == "message":
                channel = self.nodes[cap.vertex].channel
                found[channel] = (*found.get(channel, ()), index)
        return found

    @cached_property
    def channels(self) -> Mapping[str, PlanNode]:
        """The channels, each with a node that takes its messages."""
        return {node.channel: node for node in self.nodes if node.kind == "receive"}

    @cached_property
    def opens(self) -> Mapping[int, Call]:
        """The call that begins at a vertex."""
        return {call.enter: call for call in self.calls}

    @cached_property
    def rivals(self) -> Mapping[int, tuple[frozenset[int], ...]]:
        """For a member of a race the other members, for each race."""
        found: dict[int, tuple[frozenset[int], ...]] = {}
        for race in self.races:
            for vertex in race:
                found[vertex] = (*found.get(vertex, ()), frozenset(race) - {vertex})
        return found

    @property
    def by_name(self) -> dict[str, PlanNode]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}


_LIMITS = frozenset({"turns", "counts_turns", "limit", "allowed"})


def _unlimited(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in _LIMITS}


def form_of(shape: Shape) -> Shape:
    """A shape without the limits: a run that one of them stopped goes on with code that has a higher one."""
    nodes = [_unlimited(node) for node in shape.get("nodes", [])]
    groups = [[_unlimited(group) for group in groups] for groups in shape.get("groups", [])]
    edges = [{**e, "label": ""} if e["kind"] == "limit" else e for e in shape.get("edges", [])]
    form = {**shape, "nodes": nodes, "groups": groups, "edges": edges}
    form.pop("channels", None)  # what a message looks like may change; which channels there are, nodes say
    return {**form, "caps": [_unlimited(cap) for cap in shape["caps"]]} if "caps" in shape else form


def fingerprint_of(shape: Shape) -> str:
    """Hash the form of a shape."""
    text = json.dumps(form_of(shape), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
