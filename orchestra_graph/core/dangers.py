"""What must hold of a position in another form, though all of it can be said there.

Rule 1. No join fires twice, no node runs twice under one id, and nothing is read that will never be written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from orchestra_graph.core.forms import Forms
from orchestra_graph.core.run import activation_id
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.topology import Stamp

__all__ = ["MARK", "Dangers", "Obstacle"]

MARK = re.compile(r"[@#~.(!]")
"""What may follow the name of a node, or a turn, in an id."""


class Obstacle(NamedTuple):
    """Why a run cannot go on with another form.

    Attributes:
        what: In one line.
        nodes: Nodes that a migration has to map, with a proposal.
        fields: Fields of which a migration has to say something: ``new``, give it a value; ``gone``, say what becomes
            of it.
        mend: What else helps.
    """

    what: str
    nodes: Mapping[str, str | None] = {}
    fields: Mapping[str, str] = {}
    mend: str = ""


class Dangers:
    """Looks for what would go wrong.

    Args:
        forms: The two forms.
        live: The activations, as a position in the new form has them.
        waves: What waits at joins; the same.
        done: The ids of all that is done or live, by the names of the old form.
    """

    def __init__(self, forms: Forms, live: Sequence[Any], waves: Sequence[Any], done: Iterable[str]):
        self._forms, self._old, self._new = forms, forms.old, forms.new
        self._done = _prefixes(done)
        self._found: dict[str, Obstacle] = {}
        self._nothing_is_missed(live, waves)
        self._nothing_twice(live, waves)
        self._ways_in_keep_numbers(live, waves)
        self._will_be_written(live, waves)

    @property
    def found(self) -> Sequence[Obstacle]:
        """Everything that stands against it."""
        return list(self._found.values())

    def _no(self, what: str, **more: Any) -> None:
        self._found.setdefault(what, Obstacle(what, **more))

    def _standing(self, live: Iterable[Any], waves: Iterable[Any]) -> Iterator[tuple[int, Stamp]]:
        yield from ((item[0], item[1]) for item in live)
        yield from ((wave[0], wave[1]) for wave in waves if wave[4] or wave[5])

    def _nothing_is_missed(self, live: Sequence[Any], waves: Sequence[Any]) -> None:
        """Where nothing meets any more, what has come goes on alone: so nothing else may still come."""
        topology = self._new.topology
        standing = list(self._standing(live, waves))
        for join, stamp, _, _, tokens, *_ in waves:
            if tokens and topology.rule[join].kind == "each_one":
                others = [v for v, at in standing if (v, at) != (join, stamp) and topology.blocks(v, at, join, stamp)]
                for vertex in others[:1]:
                    name, here = self._new.nodes[join].name, self._new.nodes[vertex].name
                    what = f"something waits at '{name}', where nothing meets any more, and '{here}' leads there, too"
                    self._no(what, mend=f"Keep the edges into '{name}'")

    def _nothing_twice(self, live: Sequence[Any], waves: Sequence[Any]) -> None:
        """No live position may newly come to what has run in the same turn."""
        topology = self._new.topology
        was = {now: old for old in range(self._old.topology.size) if (now := self._forms.vertex(old)) is not None}
        newly: dict[int, list[tuple[int, int]]] = {}
        for vertex, stamp in self._standing(live, waves):
            if vertex not in newly:
                newly[vertex] = [
                    (other, topology.innermost(vertex, other))
                    for other in was
                    if 0 < other < topology.end and other != vertex and self._newly_reaches(vertex, other, was)
                ]
            for other, shared in newly[vertex]:
                ran = activation_id(self._old.nodes[was[other]].name, stamp[:shared], ())
                if ran in self._done:
                    here, there = self._new.nodes[vertex].name, self._new.nodes[other].name
                    mend = f"Lead from '{here}' to a node of its own:   graph.add({there}, name='{there}_again')"
                    self._no(f"'{here}' is live and leads to '{there}' now, which has run already", mend=mend)

    def _newly_reaches(self, vertex: int, other: int, was: Mapping[int, int]) -> bool:
        def reaches(plan: Plan, source: int, target: int) -> bool:
            depth = plan.topology.innermost(source, target)
            return bool(plan.topology.masks[target][depth] >> source & 1)

        before = vertex in was and reaches(self._old, was[vertex], was[other])
        return reaches(self._new, vertex, other) and not before

    def _ways_in_keep_numbers(self, live: Sequence[Any], waves: Sequence[Any]) -> None:
        """Tokens that nobody gathers are told apart by the number of the edge over which they came."""
        told = [[stamp, item[2]] for item, (_, stamp) in zip(live, self._standing(live, ()), strict=True)]
        told += [[wave[1], token[1]] for wave in waves for token in wave[4]]
        if not any(_splits(one) for one in told):
            return
        old, new = self._old.topology, self._new.topology
        for vertex, into in enumerate(old.into):
            now = self._forms.vertex(vertex)
            if now is None or old.rule[vertex].kind != "each_one" or len(into) < 2:
                continue
            ways = [(number, self._forms.edges.get(edge)) for number, edge in enumerate(into)]
            if any(edge is not None and new.into[now].index(edge) != number for number, edge in ways):
                name = self._new.nodes[now].name
                mend = f"Declare new edges into '{name}' behind the ones that were there"
                self._no(f"paths are live that may have come by '{name}', whose ways in have another order", mend=mend)

    def _will_be_written(self, live: Sequence[Any], waves: Sequence[Any]) -> None:
        """A new field without a value must be written before it is read."""
        standing = {vertex for vertex, _ in self._standing(live, waves)}
        for name, spec in self._new.schema.fields.items():
            if name in self._known or not (spec.later or spec.required):
                continue
            reader = self._unwritten(name, standing)
            if spec.required and not spec.private:  # what is private to a graph is given where that is entered
                self._no(f"field '{name}' is new and has no default", fields={name: "new"})
            elif reader is not None:
                what = f"field '{name}' is new, and '{reader}' reads it before anything that is still to run writes it"
                self._no(what, fields={name: "new"})

    @cached_property
    def _known(self) -> Collection[str]:
        """The fields that are given a value, or had their place in the old form, by their new names."""
        renames = self._forms.renames
        found = {now for name in self._old.schema.fields if (now := renames.field(name)) is not None}
        return found | set(renames.given)

    def _unwritten(self, name: str, standing: Collection[int]) -> str | None:
        """A node ahead that reads a field before it can have been written; a join is taken to bring it."""
        plan, topology = self._new, self._new.topology
        seen, todo = set(standing), sorted(standing)
        ahead = _ahead(plan, standing)
        hopeless = not any(name in plan.nodes[v].writes.fields for v in ahead)
        while todo:
            vertex = todo.pop(0)
            node = plan.nodes[vertex]
            if name in node.reads:
                return node.name
            if name in node.writes.fields:
                continue
            for edge in topology.out[vertex]:
                target = topology.edges[edge][1]
                if name in plan.edges[edge].reads:
                    return node.name
                if target not in seen and (hopeless or topology.rule[target].kind == "each_one"):
                    seen.add(target)
                    todo.append(target)
        return None


def _ahead(plan: Plan, standing: Collection[int]) -> set[int]:
    seen, todo = set(standing), list(standing)
    while todo:
        for target in plan.topology.targets(todo.pop()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def _splits(value: Any) -> bool:
    """Whether paths that nobody gathered are told apart in a stamp or discriminator."""
    if not isinstance(value, tuple | list):
        return False
    if len(value) == 3 and value[0] == 0 and value[1] in ((), []) and isinstance(value[2], int):
        return True
    return any(map(_splits, value))


def _prefixes(identities: Iterable[str]) -> set[str]:
    """The ids, and what stands before each of their turns and elements."""
    found = set()
    for identity in identities:
        found |= {identity, *(identity[: mark.start()] for mark in MARK.finditer(identity))}
    return found
