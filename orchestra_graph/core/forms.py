"""Two forms of a graph, and what of the one is what of the other: told by names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from orchestra_graph.graph.edges import Edge
from orchestra_graph.graph.plan import Plan

__all__ = ["Forms", "Renames"]

_Alike: TypeAlias = Callable[[Edge, Edge], bool]


@dataclass(frozen=True, slots=True)
class Renames:
    """What a migration says.

    Attributes:
        nodes: Old name to new one; None: what is live there is withdrawn.
        fields: Old name to new one; None: its values are left behind.
        given: The fields that get a value of their own, by their new names.
    """

    nodes: Mapping[str, str | None] = field(default_factory=dict)
    fields: Mapping[str, str | None] = field(default_factory=dict)
    given: Collection[str] = ()

    def node(self, name: str) -> str | None:
        """What a node is called now; inside of a graph that was renamed, too."""
        return _renamed(name, self.nodes)

    def field(self, name: str) -> str | None:
        """What a field is called now; a field of a graph inside is renamed with that."""
        if name in self.fields:
            return self.fields[name]
        graph, slash, inner = name.rpartition("/")
        home = self.node(graph) if slash else None
        return f"{home}/{inner}" if home else name


def _renamed(name: str, names: Mapping[str, str | None]) -> str | None:
    if name in names:
        return names[name]
    graph, slash, inner = name.rpartition("/")
    if not slash:
        return name
    home = _renamed(graph, names)
    return None if home is None else f"{home}/{inner}"


class Forms:
    """Two forms of a graph, and what is what."""

    def __init__(self, old: Plan, new: Plan, renames: Renames):
        self.old, self.new, self.renames = old, new, renames
        self.by_name = new.by_name

    def vertex(self, old: int) -> int | None:
        """The vertex that a vertex of the old form is now."""
        name = self.renames.node(self.old.nodes[old].name)
        found = None if name is None else self.by_name.get(name)
        return None if found is None else found.index

    @cached_property
    def before(self) -> Mapping[int, str]:
        """For a vertex of the new form what it was called in the old one."""
        return {v: node.name for node in self.old.nodes if (v := self.vertex(node.index)) is not None}

    @cached_property
    def regions(self) -> Mapping[int, int]:
        """The regions of the old form that are the same in the new one."""
        there = {self._identity(self.new, region, lambda v: v): region for region in range(_regions(self.new))}
        found = {}
        for region in range(_regions(self.old)):
            identity = self._identity(self.old, region, self.vertex)
            if identity is not None and identity in there:
                found[region] = there[identity]
        return found

    @staticmethod
    def _identity(plan: Plan, index: int, vertex: Any) -> tuple[Any, ...] | None:
        """What makes a region: the head of a loop, the way into an `each`, the way into a call."""
        region = plan.topology.regions[index]
        if region.kind == "loop":
            ends: tuple[Any, ...] = (vertex(region.head),)
        else:
            scope = next(s for s in plan.topology.scopes if s.members == region.members)
            source, target = plan.topology.edges[scope.edge]
            ends = (vertex(source),) if scope.call else (vertex(source), vertex(target))
        return None if None in ends else (region.kind, len(ends), *ends)

    def shared(self, old: int, new: int) -> int:
        """How many regions around a vertex of the old form are also around one of the new form."""
        depth = 0
        for one, other in zip(self.old.topology.chain[old], self.new.topology.chain[new], strict=False):
            if self.regions.get(one) != other:
                break
            depth += 1
        return depth

    @cached_property
    def edges(self) -> dict[int, int]:
        """The edges of the old form that the new one has: with the same ends, and if possible the same label."""
        found: dict[int, int] = {}
        taken: set[int] = set()
        ends = [(self.vertex(e.source), self.vertex(e.target)) for e in self.old.edges]
        for alike in _MORE_OR_LESS:
            for index, edge in enumerate(self.old.edges):
                fits = [
                    i
                    for i, other in enumerate(self.new.edges)
                    if i not in taken and (other.source, other.target) == ends[index] and alike(edge, other)
                ]
                if index not in found and fits and (edge.kind == "each") == (self.new.edges[fits[0]].kind == "each"):
                    found[index] = fits[0]
                    taken.add(fits[0])
        return found

    @cached_property
    def caps(self) -> Mapping[int, int]:
        """The limits of the old form that the new one has."""
        there = {(c.kind, c.vertex, c.depth): i for i, c in reversed(list(enumerate(self.new.caps)))}
        keys = ((c.kind, self.vertex(c.vertex), c.depth) for c in self.old.caps)
        return {i: there[key] for i, key in enumerate(keys) if key in there}


def _regions(plan: Plan) -> int:
    return len(plan.topology.regions)


_MORE_OR_LESS: tuple[_Alike, ...] = (
    lambda one, other: (one.kind, one.label) == (other.kind, other.label),
    lambda one, other: one.kind == other.kind,
    lambda one, other: True,
)
"""How much two edges with the same ends have in common: the most first."""
