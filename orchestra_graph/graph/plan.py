"""The frozen plan: everything about a graph that a run needs, decided once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestra_graph.errors import Problem
from orchestra_graph.graph.edges import Edge, Group
from orchestra_graph.graph.node import Node, NodeOptions
from orchestra_graph.graph.policies import Limits
from orchestra_graph.graph.topology import Topology
from orchestra_graph.state.codec import Codec
from orchestra_graph.state.schema import Schema

__all__ = ["Param", "Plan", "PlanNode", "Shape", "WriteSpec", "fingerprint_of", "form_of"]

ParamKind = Literal["field", "state", "context", "item", "resource"]
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
    """

    name: str
    kind: ParamKind
    annotation: Any
    resource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSpec:
    """What a node's returned value is written to.

    Attributes:
        fields: Every field that may be written, with the declared type of what is written there.
        sure: Whether all of *fields* are written each time.
        single: The value itself is written, to the one field; otherwise it is a patch.
        certain: Those of *fields* that are written each time.
    """

    fields: Mapping[str, Any]
    sure: bool
    single: bool
    certain: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanNode:
    """One vertex of a plan.

    Attributes:
        index: Its vertex in the topology.
        name: Its name; ``START`` and ``END`` for the two that no user writes.
        kind: ``start``, ``work``, ``ask`` or ``end``.
        node: The declared node; None for start and end.
        params: The parameters of its function.
        reads: The fields among them (all fields, for a parameter of the state's own type).
        writes: What it writes.
        answer: For a question: the type of the answer.
        optional: For a question: it may ask nobody.
        groups: Its out-edges.
        turns: How often it may run in one instance of the `each` around it, where that was said.
        counts_turns: Nothing was said of the loop that it heads: the run's own limit on turns counts here.
        where: File and line.
    """

    index: int
    name: str
    kind: Literal["start", "work", "ask", "end"]
    node: Node[Any] | None = None
    params: tuple[Param, ...] = ()
    reads: tuple[str, ...] = ()
    writes: WriteSpec = WriteSpec(fields={}, sure=True, single=False)
    answer: Any = None
    optional: bool = False
    groups: tuple[Group, ...] = ()
    turns: int | None = None
    counts_turns: bool = False
    where: str = ""

    @property
    def options(self) -> NodeOptions:
        """How it is run."""
        return self.node.options if self.node is not None else NodeOptions()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A compiled graph.

    Attributes:
        name: Of the graph.
        version: Of the graph.
        schema: The fields of its state.
        codec: How they are stored.
        nodes: By vertex.
        edges: By index; the topology has the same edges, as pairs.
        topology: Regions, stamps and the join rule.
        limits: How far a run may go.
        shape: Its form as JSON.
        fingerprint: A hash of the shape: runs go on only with code of the same fingerprint.
        warnings: What is doubtful, but not wrong.
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

    def group_of(self, edge: int) -> Group:
        """The group that an edge belongs to."""
        return next(g for g in self.nodes[self.edges[edge].source].groups if edge in g.edges)

    @property
    def by_name(self) -> dict[str, PlanNode]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}


_LIMITS = frozenset({"turns", "counts_turns", "limit"})


def _unlimited(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in _LIMITS}


def form_of(shape: Shape) -> Shape:
    """A shape without the limits: a run that one of them stopped goes on with code that has a higher one."""
    nodes = [_unlimited(node) for node in shape.get("nodes", [])]
    groups = [[_unlimited(group) for group in groups] for groups in shape.get("groups", [])]
    return {**shape, "nodes": nodes, "groups": groups}


def fingerprint_of(shape: Shape) -> str:
    """Hash the form of a shape."""
    text = json.dumps(form_of(shape), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
