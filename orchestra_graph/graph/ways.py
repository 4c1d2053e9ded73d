"""What a vertex may follow when it is done: what the checks need to know of a plan beside its topology.

The groups of a vertex (its edges, its switches, its eaches) are independent of each other. Of each group some edges are
taken together: every edge whose condition holds, the targets of one case, the body of an `each`. Nothing is known here
of the values that decide.

Instead of all that, one set of other edges may be taken: those for an error when the node has failed, or the one where
a run goes on when a limit is reached. Then the node has written nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from orchestra_graph.graph.edges import Edge, Group
from orchestra_graph.graph.fits import same_value
from orchestra_graph.graph.plan import Plan

__all__ = ["Choices", "Ways", "may_follow", "may_follow_with", "ways_of"]

Alternative = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """The alternatives of one group; an empty one takes nothing.

    Attributes:
        least: For every edge the smallest sets of edges taken with it. What is taken at a time is one of them, and
            perhaps more.
        most: The largest sets taken together.
    """

    least: tuple[Alternative, ...]
    most: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Ways:
    """The groups of one vertex.

    Attributes:
        groups: Each is followed, independent of the others.
        drop: The edge to the end that is taken when no group takes any.
        many: The edges into the body of an `each`: taken several times at once.
        instead: Sets of edges of which one is taken in place of all others, and without what the vertex writes.
    """

    groups: tuple[Choices, ...] = ()
    drop: int | None = None
    many: tuple[int, ...] = ()
    instead: tuple[Alternative, ...] = ()

    def together(self) -> Iterator[tuple[int, int]]:
        """Pairs of edges that may be followed at the same time; an edge with itself where it is taken several times."""
        for group in self.groups:
            for alternative in group.most:
                yield from combinations(alternative, 2)
        for one, other in combinations(self.groups, 2):
            for first in sorted({e for a in one.most for e in a}):
                for second in sorted({e for a in other.most for e in a}):
                    yield first, second
        for edge in self.many:
            yield edge, edge
        for alternative in self.instead:
            yield from combinations(alternative, 2)

    def surely_together(self) -> Iterator[tuple[int, int]]:
        """Pairs of edges of which each is followed whenever the other is."""
        for group in self.groups:
            for first, second in combinations(sorted({e for a in group.least for e in a}), 2):
                if all((first in a) == (second in a) for a in group.least):
                    yield first, second
        always = [set.intersection(*map(set, group.least)) for group in self.groups]
        for one, other in combinations(always, 2):
            for first in sorted(one):
                for second in sorted(other):
                    yield first, second

    def possible(self) -> set[int]:
        """The edges that are ever followed."""
        taken = {e for group in self.groups for a in group.most for e in a} | self.unwritten()
        return taken if self.drop is None else taken | {self.drop}

    def unwritten(self) -> set[int]:
        """The edges on which there is nothing of what the vertex writes."""
        return {e for alternative in self.instead for e in alternative}


def may_follow(ways: Ways, value: Callable[[int], int], everything: int) -> int:
    """The bits for which some choice follows only edges whose *value* has them.

    Args:
        ways: Of the vertex.
        value: Of an edge: a bitset.
        everything: All bits.
    """
    total, taken, other = everything, 0, 0
    for alternative in ways.instead:
        other |= _every(alternative, value, everything)
    for group in ways.groups:
        some, none = _within(group, value, everything)
        total &= some | none
        taken |= some
    if taken & total == total:
        return total | other
    return total & (taken | (0 if ways.drop is None else value(ways.drop))) | other


def may_follow_with(ways: Ways, edge: int, value: Callable[[int], int], everything: int) -> int:
    """The bits for which some choice follows *edge*, and beside it only edges whose *value* has them."""
    for alternative in ways.instead:
        if edge in alternative:
            return _every((e for e in alternative if e != edge), value, everything)
    total = everything
    for group in ways.groups:
        if edge == ways.drop:
            total &= everything if () in group.least else 0
        elif any(edge in alternative for alternative in group.least):
            with_it = 0
            for alternative in group.least:
                if edge in alternative:
                    with_it |= _every((e for e in alternative if e != edge), value, everything)
            total &= with_it
        else:
            some, none = _within(group, value, everything)
            total &= some | none
    return total


def _within(group: Choices, value: Callable[[int], int], everything: int) -> tuple[int, int]:
    """Whether a group can keep to good edges: by taking some, by taking none."""
    some = none = 0
    for alternative in group.least:
        if alternative:
            some |= _every(alternative, value, everything)
        else:
            none = everything
    return some, none


def _every(edges: Iterator[int] | Alternative, value: Callable[[int], int], everything: int) -> int:
    for edge in edges:
        everything &= value(edge)
    return everything


def ways_of(plan: Plan, *, filled: Callable[[Group], bool], several: Callable[[Group], bool]) -> tuple[Ways, ...]:
    """The ways of every vertex of a plan.

    Args:
        plan: The plan.
        filled: Whether the items of an `each` are never empty.
        several: Whether a switch is over a list, so that it follows every case named in it.
    """
    found = []
    for node in plan.nodes:
        groups, drop, many, instead = [], None, [], []
        for group in node.groups:
            if group.kind == "drop":
                (drop,) = group.edges
            elif group.kind in ("error", "limit"):
                instead.append(group.edges)
            elif group.kind == "each":
                many += [e for e in group.edges if plan.edges[e].kind == "each"]
                groups.append(_each(group, plan.edges, filled(group)))
            elif group.kind == "switch":
                groups.append(_switch(group, plan.edges, several(group)))
            else:
                groups.append(_plain(group, plan.edges))
        found.append(Ways(tuple(groups), drop, tuple(many), tuple(instead)))
    return tuple(found)


def _plain(group: Group, edges: Sequence[Edge]) -> Choices:
    always, when, otherwise = (
        tuple(e for e in group.edges if edges[e].kind == kind) for kind in ("always", "when", "otherwise")
    )
    none = (*always, *otherwise)
    return Choices((*((*always, e) for e in when), none), ((*always, *when), none))


def _each(group: Group, edges: Sequence[Edge], filled: bool) -> Choices:
    work = tuple((e,) for e in group.edges if edges[e].kind == "each")
    empty = tuple((e,) for e in group.edges if edges[e].kind == "empty")
    alternatives = work if filled else work + (empty or ((),))
    return Choices(alternatives, alternatives)


def _switch(group: Group, edges: Sequence[Edge], several: bool) -> Choices:
    """One value takes some edges: it may lead to several nodes, and several values to one."""
    taken: list[Alternative] = []
    for value in (v for e in group.edges for v in edges[e].values):
        taken.append(tuple(e for e in group.edges if any(same_value(value, v) for v in edges[e].values)))
    default = tuple(e for e in group.edges if edges[e].kind == "default")
    cases = tuple(dict.fromkeys([*taken, default] if default else taken))
    return Choices((*cases, ()), (group.edges, ())) if several else Choices(cases, cases)
