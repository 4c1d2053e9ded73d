"""A plan under check: what the checks need to know of it, each thing worked out once, and the words for it."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property, partial
from typing import Any

from orchestra_graph.graph.conflicts import Pairs, TooManyPairs
from orchestra_graph.graph.edges import Group
from orchestra_graph.graph.fits import value_of
from orchestra_graph.graph.losses import losses_of
from orchestra_graph.graph.paths import never_empty
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.reads import Read, path_of, reads_of, takes_several
from orchestra_graph.graph.signature import type_name
from orchestra_graph.graph.values import Values
from orchestra_graph.graph.waves import Waves
from orchestra_graph.graph.ways import Ways, ways_of
from orchestra_graph.state.schema import Schema

__all__ = ["Subject", "in_code", "short", "shown", "shown_value"]


class Subject:
    """A plan, and what follows from it.

    Args:
        plan: The plan.
        where: The line that declared the graph.
        doubtful: Nodes whose signature could not be read.
    """

    def __init__(self, plan: Plan, where: str, doubtful: Collection[int] = ()):
        self.plan, self.where, self.doubtful = plan, where, doubtful

    @property
    def schema(self) -> Schema:
        """The fields of the state."""
        return self.plan.schema

    @cached_property
    def ways(self) -> Sequence[Ways]:
        """What each vertex may follow."""
        return ways_of(self.plan, filled=self._filled, several=partial(takes_several, self.schema))

    @cached_property
    def waves(self) -> Waves:
        """The waves of all joins."""
        return Waves(self.plan.topology, self.ways, losses_of(self.plan, self._in_turn))

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs of lineages."""
        return Pairs(self.plan.topology, self.ways, races=self.plan.races)

    def _in_turn(self, vertex: int) -> bool:
        """Whether a vertex never runs several times at once: no two lineages through it meet."""
        through = [int(v == vertex) for v in range(len(self.plan.nodes))]
        try:
            return not self.pairs.conflicts(through, [0] * len(through))
        except TooManyPairs:
            return False

    @cached_property
    def reads(self) -> Sequence[Read]:
        """Everything that is read."""
        return tuple(reads_of(self.plan))

    @cached_property
    def values(self) -> Values:
        """What can be visible where."""
        return Values(self.plan, self.waves, self.reads, self.doubtful)

    def _filled(self, group: Group) -> bool:
        """Whether the items of an `each` are never empty."""
        if not isinstance(group.choice, str):
            return False
        path = path_of(group.choice)
        # of a field with a reducer each write is looked at, not the whole
        spec = self.schema.fields[path[0]]
        return spec.reducer is None and never_empty(spec.owner, (spec.attribute, *path[1:]))

    # -- words --------------------------------------------------------------------------------------

    def name(self, vertex: int) -> str:
        """A vertex, in a path."""
        return {0: "start", self.plan.topology.end: "END"}.get(vertex, self.plan.nodes[vertex].name)

    def way(self, vertices: Iterable[int]) -> str:
        """A path."""
        return " -> ".join(map(self.name, vertices))

    def code(self, vertex: int) -> str:
        """A vertex, as a line to type has it: inside a graph that stands in this one, by its own name."""
        return short(self.name(vertex).removesuffix("/END"))

    def edge_code(self, source: int, target: str) -> str:
        """The line that lets *target* follow a vertex."""
        if self.plan.nodes[source].kind in ("start", "enter"):
            return f"graph.start({target})"
        return f"graph.edge({self.code(source)}, {target})"

    def field(self, name: str) -> str:
        """A field, with its class."""
        spec = self.schema.fields[name]
        return f"{spec.owner.__name__}.{spec.attribute}"


def short(name: str) -> str:
    """A field without the graph that it is private to, as a line to type has it."""
    return name.rpartition("/")[2]


def shown_value(value: Any) -> str:
    """A value as people write it in code."""
    return f"{type(value).__name__}.{value.name}" if isinstance(value, enum.Enum) else repr(value)


def shown(member: Any) -> str:
    """A member of a type: a value, or a class."""
    value = value_of(member)
    return type_name(member) if value is None else shown_value(value[0])


def in_code(member: Any) -> str:
    """A member that is one value, as a line to type has it."""
    text = shown(member)
    return f'"{text[1:-1]}"' if text.startswith("'") and '"' not in text else text
