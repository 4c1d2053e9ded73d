"""The static shape of a graph: its region tree, and what a join needs to know about it.

A *region* is a loop or the body of an `each`. Regions nest as a tree (Bourdoncle's weak topological order: take the
strongly connected components, pick the head of each, leave the head out and go on inside). A token carries one
coordinate for each region around it: the turn of a loop, or the instance of an `each`. Everything that a join must know
follows from these coordinates.

Words used here and in `core`:

* ``chain(v)``: the regions around vertex *v*, outermost first.  ``stamp``: one coordinate for each of them.
* ``discriminator``: tells apart tokens of one vertex and stamp, where paths were not gathered.
* ``mask(J)``: for each depth of ``chain(J)`` the vertices whose tokens, with the same coordinates so far, can still
  reach J in this turn.

Source: F. Bourdoncle, *Efficient chaotic iteration strategies with widenings* (1993), for the order; the join rule is
our own (`docs/semantics.md`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from orchestra_graph.errors import EngineBug
from orchestra_graph.graph.digraph import closed_ancestors, components_in_order, depth_first
from orchestra_graph.graph.policies import EACH_ONE, GATHER, JoinRule

__all__ = ["Coordinate", "Discriminator", "Key", "Region", "Scope", "Stamp", "Topology", "passes_in"]

Coordinate = int | tuple["Discriminator", int]
"""The turn of a loop, or the instance of an `each`: the discriminator of the vertex that made it, and its index. The
one instance of a call has the index -1."""
Stamp = tuple[Coordinate, ...]
Discriminator = tuple[tuple[int, "Discriminator", int], ...]
"""Entries ``(0, (), in-edge)`` where an `each_one` join let paths through side by side, ``(depth, discriminator,
number)`` for a coordinate that a token left behind. All entries have one form, so that any two discriminators can be
compared."""
Key = tuple[object, ...]
"""The logical key: the order of one sequential execution. Comparable with the key of every other activation of
the run."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The body of an `each`, or the inside of a call.

    Attributes:
        edge: The edge into it, from the node that has the items; of a call, the first one.
        members: The vertices of the body.
        collector: Where its results meet; of a call, its last vertex, which is a member.
        call: It is the inside of a call: one instance.
    """

    edge: int
    members: frozenset[int]
    collector: int
    call: bool = False


@dataclass(frozen=True, slots=True)
class Region:
    """A loop, or the body of an `each`.

    Attributes:
        index: Its number in the topology.
        kind: ``"loop"`` or ``"scope"``.
        head: The vertex at which a loop's next turn begins; None for a scope.
        members: Every vertex inside, nested regions included.
        parent: The region around it, or None.
        entries: Where a loop is entered. More than one: the loop is irreducible, and the head is the first in declared
            order.
    """

    index: int
    kind: Literal["loop", "scope"]
    head: int | None
    members: frozenset[int]
    parent: int | None
    entries: tuple[int, ...] = ()


class _Step(NamedTuple):
    """What an edge does to a stamp.

    It keeps the *shared* coordinates, perhaps counts the last one up, and adds one for each region that it enters.
    """

    shared: int
    next_turn: bool
    loops_before: int
    enters_scope: bool
    loops_after: int
    splits: bool
    in_edge: int


@dataclass(eq=False)
class Topology:
    """Vertices ``0 .. size-1`` (0 is the start, ``size-1`` the end), edges, join rules and the bodies of `each`.

    Args:
        size: The number of vertices.
        edges: Pairs of vertices, in declared order. Every vertex is reached from 0 and reaches the last.
        rules: The join rule of a vertex, where one is set.
        scopes: The bodies of `each`, and the insides of calls.
        raced: The members of races: a token may be absorbed there, as at a join.
    """

    size: int
    edges: Sequence[tuple[int, int]]
    rules: Mapping[int, JoinRule] = field(default_factory=dict)
    scopes: Sequence[Scope] = ()
    raced: frozenset[int] = frozenset()
    out: tuple[tuple[int, ...], ...] = field(init=False)
    into: tuple[tuple[int, ...], ...] = field(init=False)
    regions: tuple[Region, ...] = field(init=False)
    chain: tuple[tuple[int, ...], ...] = field(init=False)
    rule: tuple[JoinRule, ...] = field(init=False)
    masks: Mapping[int, tuple[int, ...]] = field(init=False)
    order: tuple[int, ...] = field(init=False)
    _position: tuple[tuple[int, ...], ...] = field(init=False)
    _steps: tuple[_Step, ...] = field(init=False)
    _funnels: dict[frozenset[int], int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.edges = tuple(self.edges)
        out: list[list[int]] = [[] for _ in range(self.size)]
        into: list[list[int]] = [[] for _ in range(self.size)]
        for index, (source, target) in enumerate(self.edges):
            out[source].append(index)
            into[target].append(index)
        self.out, self.into = tuple(map(tuple, out)), tuple(map(tuple, into))
        builder = _RegionTree(self)
        self.order = builder.order
        self.regions = tuple(builder.regions)
        self.chain = tuple(builder.chain[v] for v in range(self.size))
        self._position = tuple(builder.position[v] for v in range(self.size))
        self.rule = tuple(self._rule_of(v) for v in range(self.size))
        self.masks = self._find_masks()
        self._steps = tuple(self._step_of(e) for e in range(len(self.edges)))

    @property
    def end(self) -> int:
        """The vertex of END."""
        return self.size - 1

    def targets(self, vertex: int) -> list[int]:
        """Where the edges of *vertex* lead, in declared order."""
        return [self.edges[e][1] for e in self.out[vertex]]

    def innermost(self, u: int, v: int) -> int:
        """How many regions *u* and *v* share."""
        depth = 0
        for a, b in zip(self.chain[u], self.chain[v], strict=False):
            if a != b:
                break
            depth += 1
        return depth

    def is_loop(self, vertex: int, depth: int) -> bool:
        """Whether the region at *depth* around *vertex* is a loop."""
        return self.regions[self.chain[vertex][depth]].kind == "loop"

    # -- while a run goes on ------------------------------------------------------------------------

    def advance(
        self, edge: int, stamp: Stamp, discriminator: Discriminator, item: int | None = None
    ) -> tuple[Stamp, Discriminator]:
        """Stamp and discriminator of the token that leaves an activation over *edge*.

        Args:
            edge: The edge taken.
            stamp: The stamp of the activation.
            discriminator: Its discriminator.
            item: On the edge into an `each`: which element.
        """
        step = self._steps[edge]
        if not stamp and not step.splits and not step.enters_scope and not step.next_turn:
            return (0,) * step.loops_before, discriminator
        kept, dropped = stamp[: step.shared], stamp[step.shared :]
        if step.next_turn:
            turn = kept[-1]
            if not isinstance(turn, int):
                raise EngineBug(f"edge {edge} counts the turns of what is no loop")
            kept = (*kept[:-1], turn + 1)
        for depth, coordinate in enumerate(dropped, step.shared + 1):
            if isinstance(coordinate, int):
                discriminator = (*discriminator, (depth, (), coordinate))
            elif coordinate[1] >= 0:
                discriminator = (*discriminator, (depth, *coordinate))
            else:  # one token comes out of a call, and goes on as what went in
                discriminator = (*discriminator, *coordinate[0])
        kept += (0,) * step.loops_before
        if step.enters_scope:
            # The instance has all that told its maker apart, and the turns that were left: inside, it is said once.
            kept = (*kept, (discriminator, -1 if item is None else item), *(0,) * step.loops_after)
            discriminator = ()
        if step.splits:
            discriminator = (*discriminator, (0, (), step.in_edge))
        return kept, discriminator

    def places(self, vertex: int) -> tuple[int, ...]:
        """The places of the regions around a vertex in the order of one execution, and its own in the innermost."""
        return self._position[vertex]

    def key(self, vertex: int, stamp: Stamp, discriminator: Discriminator) -> Key:
        """The place of an activation in the logical order."""
        parts: list[object] = []
        for place, coordinate in zip(self._position[vertex], stamp, strict=False):
            parts += (place, coordinate)
        parts.append(self._position[vertex][-1])
        return (tuple(parts), discriminator)

    def blocks(self, vertex: int, at: Stamp, join: int, stamp: Stamp) -> bool:
        """Whether a token at *vertex* can still add to the wave *stamp* of *join*.

        This is the whole join rule, in its plainest form. The engine asks the same question of whole sets of tokens
        (`core.marking`); this one is for explanations and
        tests.
        """
        depth = 0
        for a, b in zip(self.chain[vertex], self.chain[join], strict=False):
            if a != b:
                break
            mine, its = at[depth], stamp[depth]
            if mine != its:
                return isinstance(mine, int) and isinstance(its, int) and mine < its
            depth += 1
        return bool(self.masks[join][depth] >> vertex & 1)

    def funnel(self, targets: frozenset[int]) -> int:
        """Bitset of the vertices from which every way to the end passes one of *targets*.

        Only such work may be withdrawn for the sake of *targets*: what also leads elsewhere goes on.
        """
        if targets not in self._funnels:
            around, todo = {self.end}, [self.end]
            while todo:
                for edge in self.into[todo.pop()]:
                    source = self.edges[edge][0]
                    if source not in around and source not in targets:
                        around.add(source)
                        todo.append(source)
            leads_by = {t for t in targets if not around.isdisjoint(self.targets(t))}  # what stands there goes on
            self._funnels[targets] = _bits(set(range(self.size)) - around - leads_by)
        return self._funnels[targets]

    def only_to(self, vertex: int, join: int) -> bool:
        """Whether every way from *vertex* to the end passes *join*."""
        return bool(self.funnel(frozenset({join})) >> vertex & 1)

    @cached_property
    def excusing(self) -> Mapping[int, tuple[int, tuple[int, ...]]]:
        """For a vertex the join that can do without it when it fails, and the ends of calls before that.

        That is a `first` or `until` where every way from there gathers for the first time, in this turn: a join before
        it would fire without the branch, and be started again when the vertex is retried. The end of a call may lie
        before it where nothing else is inside of that call.
        """
        if not any(rule.races for rule in self.rule):
            return {}
        first = self._first_joins()
        found = {}
        for vertex, (join, leaves) in first.items():
            if self.rule[join].races and self.reaches(vertex, join) and 0 < vertex < self.end:
                found[vertex] = join, leaves
        return found

    def _first_joins(self) -> dict[int, tuple[int, tuple[int, ...]]]:
        """Where every way from a vertex gathers first, if that is one join; ends of calls around it are passed."""
        leaves = {scope.collector: scope.members for scope in self.scopes if scope.call}
        first: dict[int, tuple[int, tuple[int, ...]]] = {}
        for vertex in reversed(self.order):
            met: set[tuple[int, tuple[int, ...]]] = set()
            for target in self.targets(vertex):
                inside = target in leaves and vertex in leaves[target]
                if not inside and self.rule[target].kind != "each_one":
                    met.add((target, ()))
                elif target not in first:
                    met |= {(-1, ()), (-2, ())}  # more than one, or a cycle without a join
                else:
                    join, passed = first[target]
                    passed = (target, *passed) if inside else passed
                    beyond = next((leave for leave in passed if vertex not in leaves[leave]), None)
                    met.add((join, passed) if beyond is None else (beyond, ()))
            if len({join for join, _ in met}) == 1:
                join = next(iter(met))[0]
                first[vertex] = join, tuple(dict.fromkeys(leave for _, passed in met for leave in passed))
        return first

    def reaches(self, vertex: int, join: int) -> bool:
        """Whether a way leads from *vertex* to *join*, which stands no deeper, without a new turn."""
        around = self.chain[join]
        return self.chain[vertex][: len(around)] == around and bool(self.masks[join][-1] >> vertex & 1)

    def loop_around(self, vertex: int) -> tuple[frozenset[int], int]:
        """The members of the innermost loop around a vertex in its `each` or call, and how many regions are around it.

        Where there is no such loop, it is the vertex alone.
        """
        chain = self.chain[vertex]
        if chain and self.is_loop(vertex, len(chain) - 1):
            return self.regions[chain[-1]].members, len(chain) - 1
        return frozenset({vertex}), len(chain)

    # -- compile ------------------------------------------------------------------------------------

    def _rule_of(self, vertex: int) -> JoinRule:
        if vertex == self.end:
            return GATHER
        gathers = len(self.into[vertex]) > 1 or any(vertex == scope.collector for scope in self.scopes)
        return self.rules.get(vertex, GATHER if gathers else EACH_ONE)

    def _find_masks(self) -> dict[int, tuple[int, ...]]:
        """For every vertex, at each depth around it, who can still reach it in the same turn."""
        everything = frozenset(range(self.size))
        inside: list[tuple[frozenset[int], dict[int, int]]] = []
        for members, head in [(everything, None), *((r.members, r.head) for r in self.regions)]:
            successors = {u: [v for v in self.targets(u) if v in members and v != head] for u in members}
            inside.append((members, closed_ancestors(sorted(members), successors)))
        masks = {}
        for vertex in range(self.size):
            levels = [0, *(r + 1 for r in self.chain[vertex])]
            found = []
            for here, deeper in zip(levels, [*levels[1:], None], strict=True):
                bits = inside[here][1][vertex]
                if deeper is not None:
                    bits &= ~_bits(inside[deeper][0])
                found.append(bits)
            masks[vertex] = tuple(found)
        return masks

    def _step_of(self, edge: int) -> _Step:
        source, target = self.edges[edge]
        shared = self.innermost(source, target)
        chain = self.chain[target]
        next_turn = bool(shared) and len(chain) == shared and self.regions[chain[-1]].head == target
        entered = [self.regions[r].kind for r in chain[shared:]]
        scope = entered.index("scope") if "scope" in entered else len(entered)
        if "scope" in entered[scope + 1 :]:
            raise EngineBug("an edge enters two `each` bodies at once")
        return _Step(
            shared=shared,
            next_turn=next_turn,
            loops_before=scope,
            enters_scope=scope < len(entered),
            loops_after=max(0, len(entered) - scope - 1),
            splits=self.rule[target].kind == "each_one" and len(self.into[target]) > 1,
            in_edge=self.into[target].index(edge),
        )


def passes_in(stamp: Stamp) -> int:
    """How many `each` passes a stamp is inside of; a call is none."""
    return sum(1 for coordinate in stamp if isinstance(coordinate, tuple) and coordinate[1] >= 0)


def _bits(vertices: Iterable[int]) -> int:
    bits = 0
    for v in vertices:
        bits |= 1 << v
    return bits


class _RegionTree:
    """Finds the regions of a topology, outermost first."""

    def __init__(self, topology: Topology):
        self.topology = topology
        self.successors = [topology.targets(v) for v in range(topology.size)]
        self.preorder, _ = depth_first(0, self.successors.__getitem__)
        _, post = depth_first(0, lambda v: reversed(self.successors[v]))
        self.rank = {v: i for i, v in enumerate(reversed(post))}
        self.order = tuple(reversed(post))
        self.regions: list[Region] = []
        self.chain: dict[int, tuple[int, ...]] = {}
        self.position: dict[int, tuple[int, ...]] = {}
        self._decompose(frozenset(self.rank), list(topology.scopes), (), ())

    def _decompose(
        self, members: frozenset[int], scopes: list[Scope], chain: tuple[int, ...], position: tuple[int, ...]
    ) -> None:
        """Order *members*, and go on inside every region found."""
        outer = [
            s for s in scopes if s.members <= members and not any(s.members < o.members <= members for o in scopes)
        ]
        body = {v: s for s in outer for v in s.members}
        entry = {s: self.topology.edges[s.edge][1] for s in outer}
        stand_in = {v: entry[body[v]] if v in body else v for v in members}
        vertices = sorted(set(stand_in.values()), key=self.rank.__getitem__)
        successors: dict[int, list[int]] = {v: [] for v in vertices}
        for u in members:
            for v in self.successors[u]:
                if v in members and (u not in body or stand_in[u] != stand_in[v]):
                    successors[stand_in[u]].append(stand_in[v])
        for place, (component, cyclic) in enumerate(
            components_in_order(vertices, successors, self.rank.__getitem__), 1
        ):
            here = (*position, place)
            if cyclic:
                inside = frozenset(v for v in members if stand_in[v] in component)
                self._loop(inside, [s for s in scopes if s.members <= inside], set(body), chain, here)
            else:
                (only,) = component
                if only in body:
                    scope = body[only]
                    nested = [s for s in scopes if s.members < scope.members]
                    region = self._add("scope", None, scope.members, chain)
                    self._decompose(scope.members, nested, (*chain, region), here)
                else:
                    self.chain[only], self.position[only] = chain, here

    def _loop(
        self,
        members: frozenset[int],
        scopes: list[Scope],
        bodies: set[int],
        chain: tuple[int, ...],
        position: tuple[int, ...],
    ) -> None:
        into, edges = self.topology.into, self.topology.edges
        entered = [v for v in members if v == 0 or any(edges[e][0] not in members for e in into[v])]
        heads = [v for v in entered if v not in bodies] or [v for v in members if v not in bodies]
        head = min(heads, key=self.preorder.__getitem__)
        region = self._add("loop", head, members, chain, tuple(sorted(entered, key=self.preorder.__getitem__)))
        self.chain[head], self.position[head] = (*chain, region), (*position, 0)
        if members - {head}:
            self._decompose(members - {head}, scopes, (*chain, region), position)

    def _add(
        self,
        kind: Literal["loop", "scope"],
        head: int | None,
        members: frozenset[int],
        chain: tuple[int, ...],
        entries: tuple[int, ...] = (),
    ) -> int:
        parent = chain[-1] if chain else None
        self.regions.append(Region(len(self.regions), kind, head, members, parent, entries))
        return len(self.regions) - 1
