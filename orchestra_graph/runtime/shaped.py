"""The form of a graph out of a database, looked at before anything is made of it.

Rule 1. Every number that names a vertex, an edge, a region or a call names one, and every list that is walked ends.
Rule 2. What is not said here may stand there: a later release may add to a form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestra_graph.graph.edges import EdgeKind, GroupKind
from orchestra_graph.graph.plan import NodeKind, Shape
from orchestra_graph.runtime.wellformed import Misfit, object_in
from orchestra_graph.state.codec import first_line, parse

__all__ = ["shape_in"]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", defer_build=True)  # built when first used


class _Field(_Part):
    reducer: str | None
    required: bool
    later: bool


class _Node(_Part):
    name: str
    kind: NodeKind
    reads: list[str]
    writes: list[str]
    turns: int | None
    counts_turns: bool
    effect: str = ""
    optional: bool = False
    terminates: str | None = None
    channel: str = ""


class _Edge(_Part):
    source: int = Field(alias="from")
    target: int = Field(alias="to")
    kind: EdgeKind
    label: str


class _Group(_Part):
    kind: GroupKind
    edges: list[int]
    choice: str | None = None
    limit: int | None


class _Scope(_Part):
    edge: int
    members: list[int]
    collector: int
    call: bool = False


class _Region(_Part):
    kind: str
    head: int | None
    members: list[int]
    parent: int | None


class _Rule(_Part):
    kind: str
    count: int | None = None
    cancel_rest: bool = False
    short: str = ""
    predicate: str | None = None


class _Call(_Part):
    name: str
    enter: int
    leave: int
    members: list[int]


class _Cap(_Part):
    kind: str
    allowed: float
    vertex: int
    edge: int | None
    members: list[int]
    depth: int


class _Channel(_Part):
    type: str
    schema_: dict[str, Any] | None = Field(alias="schema")


class _Form(_Part):
    fields: dict[str, _Field]
    nodes: list[_Node] = Field(min_length=2)
    edges: list[_Edge]
    groups: list[list[_Group]]
    scopes: list[_Scope]
    regions: list[_Region] = []
    rules: dict[str, _Rule] = {}
    calls: list[_Call] = []
    races: list[list[int]] = []
    caps: list[_Cap] = []
    channels: dict[str, _Channel] = {}


def shape_in(text: str) -> Shape:
    """Read the form of a graph.

    Args:
        text: Its JSON.

    Raises:
        Misfit: It is no form of a graph: says what was found, and where.
        ValueError: It is no JSON.
    """
    shape: Shape = object_in(parse(text), "the form of the graph")
    try:
        form = _Form.model_validate(shape)
    except ValidationError as error:
        raise Misfit(f"the form of the graph: {first_line(error)}") from None
    _check_edges(form)
    _check_vertices(form)
    _check_parents([region.parent for region in form.regions])
    return shape


def _check_edges(form: _Form) -> None:
    vertices, edges = range(len(form.nodes)), range(len(form.edges))
    _among("an end of an edge", vertices, (end for edge in form.edges for end in (edge.source, edge.target)))
    if len(form.groups) != len(form.nodes):
        raise Misfit(f"there are {len(form.groups)} lists of groups, and {len(form.nodes)} nodes")
    listed = [(vertex, edge) for vertex, groups in enumerate(form.groups) for group in groups for edge in group.edges]
    _among("an edge of a group", edges, (edge for _, edge in listed))
    for vertex, edge in listed:
        if form.edges[edge].source != vertex:
            raise Misfit(f"edge {edge} is one of node {form.edges[edge].source}, and listed at node {vertex}")
    if sorted(edge for _, edge in listed) != list(edges):
        raise Misfit("not every edge is in one group")
    _among("the edge of a body", edges, (scope.edge for scope in form.scopes))
    _among("the edge of a limit", edges, (cap.edge for cap in form.caps if cap.edge is not None))


def _check_vertices(form: _Form) -> None:
    vertices = range(len(form.nodes))
    _among("a node of a body", vertices, (v for scope in form.scopes for v in (*scope.members, scope.collector)))
    _among("a node of a region", vertices, (v for region in form.regions for v in region.members))
    _among("the head of a loop", vertices, (region.head for region in form.regions if region.head is not None))
    _among("a node of a call", vertices, (v for c in form.calls for v in (*c.members, c.enter, c.leave)))
    _among("a node of a race", vertices, (v for race in form.races for v in race))
    _among("a node of a limit", vertices, (v for cap in form.caps for v in (*cap.members, cap.vertex)))
    _among("a node of a join rule", vertices, (_number(v) for v in form.rules))
    if len({node.name for node in form.nodes}) != len(form.nodes):
        raise Misfit("two nodes have one name")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _among(what: str, known: range, found: Iterable[int]) -> None:
    for one in found:
        if one not in known:
            raise Misfit(f"{what} is {one!r:.40}; there are {len(known)}")


def _check_parents(parents: Sequence[int | None]) -> None:
    """The regions around a region come to an end."""
    _among("a region around another", range(len(parents)), (parent for parent in parents if parent is not None))
    good: set[int] = set()
    for region in range(len(parents)):
        way: dict[int, None] = {}
        here: int | None = region
        while here is not None and here not in good:
            if here in way:
                raise Misfit(f"region {here} is in itself")
            way[here] = None
            here = parents[here]
        good.update(way)
