"""Topologies in few words: for tests of what works on vertices, without nodes or a state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestra_graph.graph.policies import JoinRule
from orchestra_graph.graph.topology import Scope, Topology
from orchestra_graph.graph.ways import Choices, Ways

Split = Literal["and", "xor", "or", "maybe"]
"""What is followed of some edges: all; one; any number, or none; this one or none."""
Group = tuple[Split, Sequence[int]]


@dataclass(frozen=True)
class Each:
    """An each of a shape.

    Attributes:
        maker: Where the items are.
        entry: The first vertex of the body.
        members: The body.
        collector: Where it is collected; the maker itself, or another vertex.
        filled: There is always an item.
    """

    maker: int
    entry: int
    members: frozenset[int]
    collector: int
    filled: bool = False


@dataclass(frozen=True)
class Model:
    """A topology, and what each vertex may follow."""

    topology: Topology
    ways: Sequence[Ways]

    @property
    def size(self) -> int:
        return self.topology.size

    def edge(self, source: int, target: int) -> int:
        """The number of an edge."""
        return self.topology.edges.index((source, target))


def shape(
    size: int,
    groups: Mapping[int, Iterable[Group]],
    *,
    eaches: Iterable[Each] = (),
    rules: Mapping[int, JoinRule] | None = None,
    instead: Mapping[int, Sequence[int]] | None = None,
) -> Model:
    """Make a model of the groups of each vertex; a vertex that may take nothing gets an edge to the end.

    Args:
        size: The number of vertices.
        groups: What each may follow.
        eaches: The eaches.
        rules: The join rules that are set.
        instead: Where a vertex leads when it has failed, or when a limit is reached: to one of these.
    """
    edges: list[tuple[int, int]] = []
    ways: list[Ways] = []
    scopes: list[Scope] = []
    makers = {each.maker: each for each in eaches}

    def edge(source: int, target: int) -> int:
        edges.append((source, target))
        return len(edges) - 1

    for v in range(size - 1):
        choices = [_choices(kind, [edge(v, target) for target in targets]) for kind, targets in groups.get(v, ())]
        many: tuple[int, ...] = ()
        if v in makers:
            each = makers[v]
            many = (edge(v, each.entry),)
            scopes.append(Scope(many[0], each.members, each.collector))
            empty = () if each.collector == v else (edge(v, each.collector),)
            choices.append(_alternatives([many] if each.filled else [many, empty]))
        drop = edge(v, size - 1) if all(() in group.least for group in choices) else None
        other = tuple((edge(v, target),) for target in (instead or {}).get(v, ()))
        ways.append(Ways(tuple(choices), drop, many, other))
    ways.append(Ways())
    return Model(Topology(size, edges, rules=rules or {}, scopes=scopes), ways)


def _choices(kind: Split, edges: Sequence[int]) -> Choices:
    every = tuple(edges)
    if kind == "and":
        return _alternatives([every])
    if kind == "xor":
        return _alternatives([(e,) for e in every])
    return Choices((*((e,) for e in every), ()), (every, ()))


def _alternatives(sets: Sequence[tuple[int, ...]]) -> Choices:
    return Choices(tuple(sets), tuple(sets))
