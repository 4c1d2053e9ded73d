"""What a run should come to, found in two plain ways that share nothing with the engine but the form of its ids.

`Regions` reads regions, stamps, keys and the join rule off a graph by the definitions, with plain searches. On top of
it stand

* `sequential`: a priority queue on the logical key. The least item is popped; a wave pops as a whole. It asks no join
  whether it may fire.
* `tests.core.follow.Follow`: one event after the other, asking every live item about every wave each time. It knows
  what depends on time, too.

A revision is the set of the deltas in its past here, and a field's value is folded from that set whenever it is asked
for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orchestra_graph.core.events import Taken
from orchestra_graph.core.run import activation_id
from orchestra_graph.graph.policies import EACH_ONE, GATHER, JoinRule
from orchestra_graph.graph.topology import Discriminator, Key, Stamp
from tests.core.graphs import TROUBLES, Case

__all__ = [
    "Arrival",
    "Clash",
    "Interpreter",
    "Item",
    "Outcome",
    "Past",
    "Place",
    "Regions",
    "Seen",
    "Starved",
    "TooLong",
    "regions_of",
    "sequential",
    "union_of",
]

Place = tuple[int, Stamp]
"""A join and a stamp."""


class TooLong(Exception):
    """The run has more activations than a test wants."""


@dataclass(frozen=True, slots=True)
class Clash:
    """The value of a field that several activations wrote side by side."""

    writers: tuple[str, ...]


Seen = Mapping[str, Any]
"""Field to value; a field that was never written is left out."""


# -- regions, by the definitions -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Area:
    """A loop (with a head), or the body of an `each` or the inside of a call (without)."""

    head: int | None
    members: frozenset[int]
    call: bool = False


@dataclass(eq=False)
class Regions:
    """The region tree of a graph.

    Attributes:
        around: The areas around each vertex, outermost first.
        place: The position of each of these areas in the one around it, and of the vertex in the last.
    """

    size: int
    edges: Sequence[tuple[int, int]]
    rules: Mapping[int, JoinRule]
    scopes: Sequence[tuple[int, frozenset[int]]]
    collectors: frozenset[int]
    calls: frozenset[frozenset[int]] = frozenset()
    around: dict[int, tuple[int, ...]] = field(default_factory=dict)
    place: dict[int, tuple[int, ...]] = field(default_factory=dict)
    areas: list[Area] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.next: dict[int, list[int]] = {v: [b for a, b in self.edges if a == v] for v in range(self.size)}
        self.into: dict[int, list[int]] = {
            v: [e for e, (_, b) in enumerate(self.edges) if b == v] for v in range(self.size)
        }
        self.first_met: dict[int, int] = {}
        self._meet(0)
        left: list[int] = []
        self._post(0, set(), left)
        self.rank = {v: i for i, v in enumerate(reversed(left))}
        self._split(frozenset(range(self.size)), list(self.scopes), (), ())
        self.rule = {v: self._rule(v) for v in range(self.size)}
        self._reached: dict[tuple[int | None, int], frozenset[int]] = {}
        self._only: dict[tuple[int, frozenset[int]], bool] = {}

    @property
    def end(self) -> int:
        return self.size - 1

    def _rule(self, vertex: int) -> JoinRule:
        if vertex == self.end:
            return GATHER
        several = len(self.into[vertex]) > 1 or vertex in self.collectors
        return self.rules.get(vertex, GATHER if several else EACH_ONE)

    def _meet(self, vertex: int) -> None:
        self.first_met[vertex] = len(self.first_met)
        for after in self.next[vertex]:
            if after not in self.first_met:
                self._meet(after)

    def _post(self, vertex: int, seen: set[int], left: list[int]) -> None:
        seen.add(vertex)
        for after in reversed(self.next[vertex]):
            if after not in seen:
                self._post(after, seen, left)
        left.append(vertex)

    def _split(
        self,
        inside: frozenset[int],
        scopes: list[tuple[int, frozenset[int]]],
        around: tuple[int, ...],
        place: tuple[int, ...],
    ) -> None:
        """Find the loops and bodies in *inside*, order them, and go on in each."""
        bodies = [(e, m) for e, m in scopes if m <= inside and not any(m < o <= inside for _, o in scopes)]
        unit = {v: next((m for _, m in bodies if v in m), frozenset({v})) for v in inside}
        entry = {m: self.edges[e][1] for e, m in bodies}
        ahead: dict[frozenset[int], set[frozenset[int]]] = {u: set() for u in unit.values()}
        for a, b in self.edges:
            if a in inside and b in inside and (unit[a] != unit[b] or (a == b and unit[a] not in entry)):
                ahead[unit[a]].add(unit[b])
        reach = {u: _reach(u, ahead) for u in ahead}
        rest = {frozenset({u, *(w for w in reach[u] if u in reach[w])}) for u in ahead}
        rank = {c: min(self.rank[entry.get(u, min(u))] for u in c) for c in rest}
        position = 0
        while rest:
            free = [c for c in rest if not any(o is not c and any(u in reach[w] for w in o for u in c) for o in rest)]
            component = min(free, key=rank.__getitem__)
            rest.remove(component)
            position += 1
            members = frozenset(v for u in component for v in u)
            here = (*place, position)
            if any(u in reach[u] for u in component):
                self._loop(members, scopes, {v for m in entry for v in m}, around, here)
            elif members in entry:
                self.areas.append(Area(None, members, members in self.calls))
                nested = [(e, m) for e, m in scopes if m < members]
                self._split(members, nested, (*around, len(self.areas) - 1), here)
            else:
                (only,) = members
                self.around[only], self.place[only] = around, here

    def _loop(
        self,
        members: frozenset[int],
        scopes: list[tuple[int, frozenset[int]]],
        bodies: set[int],
        around: tuple[int, ...],
        here: tuple[int, ...],
    ) -> None:
        entered = {b for a, b in self.edges if b in members and a not in members}
        free = entered - bodies or members - bodies
        head = min(free, key=self.first_met.__getitem__)
        self.areas.append(Area(head, members))
        around = (*around, len(self.areas) - 1)
        self.around[head], self.place[head] = around, (*here, 0)
        inner = members - {head}
        if inner:
            self._split(inner, [(e, m) for e, m in scopes if m <= inner], around, here)

    # -- stamps -------------------------------------------------------------------------------------

    def shared(self, u: int, v: int) -> int:
        """How many areas both are in."""
        pairs = list(zip(self.around[u], self.around[v], strict=False))
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))

    def move(
        self, edge: int, stamp: Stamp, discriminator: Discriminator, item: int | None = None
    ) -> tuple[Stamp, Discriminator]:
        """The stamp and discriminator behind *edge*."""
        source, target = self.edges[edge]
        shared = self.shared(source, target)
        kept = list(stamp[:shared])
        if shared and self.areas[self.around[target][-1]].head == target and len(self.around[target]) == shared:
            turn = kept[-1]
            assert isinstance(turn, int)
            kept[-1] = turn + 1
        path = discriminator
        for depth, coordinate in enumerate(stamp[shared:], shared):
            if isinstance(coordinate, int):
                path = (*path, (depth + 1, (), coordinate))
            elif self.areas[self.around[source][depth]].call:
                path = (*path, *coordinate[0])  # what went in comes out
            else:
                path = (*path, (depth + 1, *coordinate))
        for area in self.around[target][shared:]:
            if self.areas[area].head is not None:
                kept.append(0)
            else:
                kept.append((path, -1 if self.areas[area].call else item or 0))
                path = ()  # it is in the coordinate now
        if self.rule[target].kind == "each_one" and len(self.into[target]) > 1:
            path = (*path, (0, (), self.into[target].index(edge)))
        return tuple(kept), path

    def key(self, vertex: int, stamp: Stamp, discriminator: Discriminator) -> Key:
        """The place in the order of one sequential execution."""
        parts: list[object] = []
        for place, coordinate in zip(self.place[vertex], stamp, strict=False):
            parts += [place, coordinate]
        return (*parts, self.place[vertex][-1], discriminator)

    def blocks(self, vertex: int, at: Stamp, join: int, stamp: Stamp) -> bool:
        """Whether an item still counts for a wave: it is in an earlier turn, or can get there in this turn."""
        shared = self.shared(vertex, join)
        for mine, its in zip(at[:shared], stamp[:shared], strict=True):
            if mine != its:
                return isinstance(mine, int) and isinstance(its, int) and mine < its
        return join in self.reach(self.around[vertex][shared - 1] if shared else None, vertex)

    def reach(self, area: int | None, vertex: int) -> frozenset[int]:
        """What can be reached from *vertex* inside an area without a new turn of it."""
        known = self._reached.get((area, vertex))
        if known is None:
            members = self.areas[area].members if area is not None else frozenset(range(self.size))
            head = self.areas[area].head if area is not None else None
            ahead = {v: {w for w in self.next[v] if w in members and w != head} for v in members}
            known = self._reached[area, vertex] = frozenset(_reach(vertex, ahead))
        return known

    def reaches_in_turn(self, vertex: int, at: Stamp, join: int, stamp: Stamp) -> bool:
        """Whether an item can get there with the coordinates that both have as they are."""
        shared = self.shared(vertex, join)
        inside = self.around[vertex][shared - 1] if shared else None
        return at[:shared] == stamp[:shared] and join in self.reach(inside, vertex)

    def only_to(self, vertex: int, targets: Iterable[int]) -> bool:
        """Whether END cannot be reached from *vertex* when *targets* are taken out."""
        known = self._only.get((vertex, frozenset(targets)))
        if known is None:
            out = frozenset(targets)
            ahead = {v: {w for w in self.next[v] if w not in out} for v in range(self.size)}
            known = self._only[vertex, out] = vertex != self.end and self.end not in _reach(vertex, ahead)
        return known

    def first_joins(self, vertex: int) -> set[int]:
        """The joins that a token from *vertex* comes to first, whatever way it goes; END is one of them.

        None where it may go round without coming to any.
        """
        ahead = {v: {w for w in self.next[v] if self.rule[w].kind == "each_one"} for v in range(self.size)}
        passed = {vertex, *_reach(vertex, ahead)}
        if any(v in _reach(v, ahead) for v in passed):
            return set()
        return {w for v in passed for w in self.next[v] if self.rule[w].kind != "each_one"}

    def excuses(self, join: int, vertex: int) -> bool:
        """Whether it fires early, and what stands at *vertex* can come there in this turn."""
        around = self.around[join]
        return (
            self.rule[join].races
            and self.around[vertex][: len(around)] == around
            and join in self.reach(around[-1] if around else None, vertex)
        )


def _reach(start: Any, ahead: Mapping[Any, Iterable[Any]]) -> set[Any]:
    """Everything behind *start*, by at least one step."""
    seen: set[Any] = set()
    todo = list(ahead[start])
    while todo:
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            todo += ahead[here]
    return seen


def regions_of(case: Case) -> Regions:
    """The regions of a case's graph."""
    topology = case.plan.topology
    edges = [(e.source, e.target) for e in case.plan.edges]
    scopes = [(s.edge, s.members) for s in topology.scopes]
    collectors = frozenset(s.collector for s in topology.scopes)
    calls = frozenset(s.members for s in topology.scopes if s.call)
    return Regions(topology.size, edges, topology.rules, scopes, collectors, calls)


# -- state, by the definition --------------------------------------------------------------------------


Past = int
"""A set of deltas as bits; bit 0 is the input."""
Insides = Mapping[int, Stamp]
"""For each call around a place, the coordinates that say which time it was called."""


@dataclass(frozen=True, slots=True)
class Item:
    """An activation."""

    id: str
    vertex: int
    stamp: Stamp
    discriminator: Discriminator
    past: Past


class Written(NamedTuple):
    """What one activation wrote, and the deltas that it had seen."""

    key: Key
    writes: Mapping[str, Any]
    past: Past
    replaced: Collection[str] = ()
    insides: Insides = {}


class Book:
    """All deltas of a run; a revision is a set of them.

    A field that is private to a call is there only inside, and only what was written to it in that one call counts.
    """

    def __init__(self, case: Case, regions: Regions):
        self.calls, self.regions = case.plan.calls, regions
        self.reducers = {n: s.reducer for n, s in case.plan.schema.fields.items() if s.reducer is not None}
        self.private = {name: number for number, call in enumerate(self.calls) for name in call.private}
        self.values = case.values
        self.written: list[Written] = [Written((), {}, 0)]
        self.ids = ["START"]
        self._seen: dict[tuple[Past, Past, tuple[tuple[int, Stamp], ...]], Seen] = {}

    def insides(self, vertex: int, stamp: Stamp, *, after: Discriminator | None = None) -> Insides:
        """The calls around a place; *after* the discriminator there, also the one that is entered from it."""
        found: dict[int, Stamp] = {}
        for number, call in enumerate(self.calls):
            if vertex in call.members:
                areas = [self.regions.areas[a].members for a in self.regions.around[vertex]]
                found[number] = stamp[: areas.index(call.members) + 1]
            elif after is not None and vertex == call.enter:
                found[number] = (*stamp, (after, -1))
        return found

    def commit(self, item: Item, key: Key, writes: Mapping[str, Any], replaced: Collection[str] = ()) -> Past:
        """The set of an item, and one delta more."""
        if not writes:
            return item.past
        insides = self.insides(item.vertex, item.stamp, after=item.discriminator)
        self.written.append(Written(key, writes, item.past, replaced, insides))
        self.ids.append(item.id)
        return item.past | 1 << (len(self.written) - 1)

    def view(self, past: Past, insides: Insides, lost: Past = 0) -> Seen:
        """Every field, folded from the set; of *lost* only what it gave to reducers."""
        key = (past, lost, tuple(insides.items()))
        if key not in self._seen:
            self._seen[key] = self._view(past, insides, lost)
        return self._seen[key]

    def _members(self, past: Past) -> list[int]:
        chosen = [i for i in range(1, len(self.written)) if past >> i & 1]
        return sorted(chosen, key=lambda i: self.written[i].key)

    def _writes(self, number: int, insides: Insides) -> dict[str, Any]:
        """What a delta wrote, as one sees it who stands inside of these calls."""
        written = self.written[number]

        def shown(name: str) -> bool:
            call = self.private.get(name)
            return call is None or (call in insides and written.insides.get(call) == insides[call])

        return {name: value for name, value in written.writes.items() if shown(name)}

    def _view(self, past: Past, insides: Insides, lost: Past) -> Seen:
        seen: dict[str, Any] = dict(self.values)
        for i in self._members(past | lost):
            for name, value in self._writes(i, insides).items():
                spec = self.reducers.get(name)
                if spec is None:
                    continue
                if name not in seen or name in self.written[i].replaced:
                    seen[name] = list(value) if spec.grows else value
                else:
                    seen[name] = [*seen[name], *value] if spec.grows else spec.fold(seen[name], value)
        visible = {i: self._writes(i, insides) for i in self._members(past)}
        for name in {n for writes in visible.values() for n in writes if n not in self.reducers}:
            writers = [i for i, writes in visible.items() if name in writes]
            newest = [i for i in writers if not any(self.written[j].past >> i & 1 for j in writers)]
            if len(newest) == 1:
                seen[name] = self.written[newest[0]].writes[name]
            else:
                seen[name] = Clash(tuple(sorted(self.ids[i] for i in newest)))
        return seen


# -- the two interpreters ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrival:
    """A token at a join."""

    edge: int
    discriminator: Discriminator
    past: Past


@dataclass(slots=True, eq=False)
class Outcome:
    """What a run came to.

    Attributes:
        order: Ids of the activations, in the order in which they ran.
        seen: What each of them saw.
        final: The state at the end.
        clashes: Activations at which a field was left in conflict, unmended: what the conflict says.
        starved: Waves that closed without what their rule asks for.
        deltas: The deltas of the run, and of these the final ones.
    """

    order: list[str] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    final: Seen | None = None
    clashes: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    starved: set[str] = field(default_factory=set)

    @property
    def clean(self) -> bool:
        """Nothing failed."""
        return not self.clashes and not self.starved


class Starved(Exception):
    """A wave closes without what its rule asks for."""


class Interpreter:
    """What both interpreters share: where tokens go, and what a wave starts."""

    def __init__(self, case: Case, regions: Regions | None = None):
        self.case = case
        self.plan = case.plan
        self.regions = regions or regions_of(case)
        self.book = Book(case, self.regions)
        self.outcome = Outcome()
        self.lost: Past = 0
        self.seen_ids: set[str] = set()

    def start(self, vertex: int, stamp: Stamp, discriminator: Discriminator, past: Past) -> None:
        identity = activation_id(self.plan.nodes[vertex].name, stamp, discriminator)
        assert identity not in self.seen_ids, f"{identity} twice"
        self.seen_ids.add(identity)
        self.outcome.seen[identity] = self.book.view(past, self.book.insides(vertex, stamp))
        self.begin(Item(identity, vertex, stamp, discriminator, past))

    def begin(self, item: Item) -> None:
        raise NotImplementedError

    def arrived(self, join: int, stamp: Stamp, arrival: Arrival) -> None:
        raise NotImplementedError

    def absorbs(self, place: Place) -> bool:
        """Whether a token that comes there is lost."""
        return False

    def clashed(self, identity: str) -> None:
        """A field was left in conflict."""

    def send(self, edge: int, item: Item, past: Past, index: int | None = None) -> None:
        """A token leaves *item*."""
        target = self.regions.edges[edge][1]
        stamp, path = self.regions.move(edge, item.stamp, item.discriminator, index)
        if self.absorbs((target, stamp)):
            self.lost |= past
        elif self.regions.rule[target].kind == "each_one":
            self.start(target, stamp, path, past)
        else:
            self.arrived(target, stamp, Arrival(edge, path, past))

    def run(
        self, item: Item, writes: Mapping[str, Any], taken: Iterable[Taken], replaced: Collection[str] = ()
    ) -> None:
        """An item is done: it has written, and sends its tokens."""
        key = self.regions.key(item.vertex, item.stamp, item.discriminator)
        past = self.book.commit(item, key, writes, replaced)
        for edge, times in taken:
            if times is None:
                self.send(edge, item, past)
            else:
                for index in range(times):
                    self.send(edge, item, past, index)

    def handlers(self, vertex: int, error: str) -> list[int]:
        """The edges that a failure takes: of the node, else of the nearest graph around it that takes this error.

        A join in that graph which can do without the node comes first.
        """
        for leave in [vertex, *self._calls_around(vertex)]:
            inside = next((c.members for c in self.plan.calls if c.leave == leave), frozenset())
            if leave != vertex and self._nearest_excusing(vertex) in inside:
                return []
            for group in self.plan.nodes[leave].groups:
                edges = [self.plan.edges[e] for e in group.edges]
                if group.kind == "error" and issubclass(TROUBLES[error], edges[0].errors):
                    return list(group.edges)
        return []

    def _calls_around(self, vertex: int) -> list[int]:
        """Where the graphs are left that a node stands in, or that begin there; the inner ones first."""
        around = [c for c in self.plan.calls if vertex in {*c.members, c.enter} and vertex != c.leave]
        return [c.leave for c in sorted(around, key=lambda c: len(c.members))]

    def _nearest_excusing(self, vertex: int) -> int | None:
        here = vertex
        while True:
            joins = self.regions.first_joins(here)
            if len(joins) != 1:
                return None
            (join,) = joins
            if self.regions.excuses(join, vertex):
                return join
            if not any(c.leave == join and vertex in c.members for c in self.plan.calls):
                return None
            here = join

    def left_at(self, item: Item, leave: int) -> Item:
        """Where the edges of a graph leave from for something in it, or on the way into it."""
        number = next(i for i, call in enumerate(self.plan.calls) if call.leave == leave)
        stamp = self.book.insides(item.vertex, item.stamp, after=item.discriminator)[number]
        return Item("", leave, stamp, (), item.past)

    def start_run(self) -> None:
        root = Item("START", 0, (), (), 1)
        for edge, (source, _) in enumerate(self.regions.edges):
            if source == 0 and self.plan.edges[edge].kind != "limit":
                self.send(edge, root, 1)

    def groups(self, join: int, stamp: Stamp, arrivals: Sequence[Arrival]) -> list[tuple[Discriminator, list[Arrival]]]:
        """What a wave starts when nothing more can come."""
        rule = self.regions.rule[join]
        if rule.kind == "all_of":
            self._want_every_edge(join, stamp, arrivals)
        if rule.kind == "first" and rule.short == "error" and len(arrivals) < rule.count:
            raise Starved
        if rule.kind not in ("zipped", "batches"):
            return [((), list(arrivals))]
        place = {e: i for i, e in enumerate(self.regions.into[join])}
        ordered = sorted(arrivals, key=lambda a: (a.discriminator, place[a.edge]))
        if rule.kind == "batches":
            parts = [ordered[i : i + rule.count] for i in range(0, len(ordered), rule.count)]
        else:
            edges = {a.edge for a in ordered}
            lines = [[a for a in ordered if a.edge == e] for e in edges]
            parts = [[line[k] for line in lines] for k in range(min(map(len, lines)))]
        return [(((0, (), k),), part) for k, part in enumerate(parts)]

    def _want_every_edge(self, join: int, stamp: Stamp, arrivals: Sequence[Arrival]) -> None:
        """In the first turn of a loop its entries are wanted, later what comes from inside."""
        wanted = set(self.regions.into[join])
        around = self.regions.around[join]
        if around and self.regions.areas[around[-1]].head == join:
            members = self.regions.areas[around[-1]].members
            wanted = {e for e in wanted if (self.regions.edges[e][0] in members) == (stamp[-1] != 0)}
        if wanted - {a.edge for a in arrivals}:
            raise Starved

    def close(self, join: int, stamp: Stamp, arrivals: Sequence[Arrival]) -> None:
        """Nothing more can come."""
        identity = activation_id(self.plan.nodes[join].name, stamp, ())
        if join == self.regions.end:
            past = union_of(arrivals)
            self.outcome.final = self.book.view(past, {}, self.lost)
            self._conflicts("END", self.book.view(past, {}), lambda name: False)
            return
        used: Past = 0
        for path, part in self.groups(join, stamp, arrivals):
            past = union_of(part)
            used |= past
            self.start(join, stamp, path, past)
            identity = activation_id(self.plan.nodes[join].name, stamp, path)
            self._conflicts(identity, self.outcome.seen[identity], self._mends(join))
        self.lost |= union_of(arrivals) & ~used

    def _mends(self, join: int) -> Callable[[str], bool]:
        node = self.plan.nodes[join]
        return lambda name: name in node.writes.fields and node.writes.sure and name not in node.reads

    def _conflicts(self, identity: str, seen: Seen, mended: Callable[[str], bool]) -> None:
        clashes = {v.writers for n, v in seen.items() if isinstance(v, Clash) and not mended(n)}
        if clashes:
            self.outcome.clashes[identity] = clashes
            self.clashed(identity)


def union_of(items: Iterable[Arrival | Item]) -> Past:
    """What they have seen, together."""
    past = 0
    for item in items:
        past |= item.past
    return past


class _Sequential(Interpreter):
    """Pops the least item, always."""

    def __init__(self, case: Case, regions: Regions, limit: int):
        super().__init__(case, regions)
        self.limit = limit
        self.heap: list[tuple[Key, int, Item | Place]] = []
        self.waiting: dict[Place, list[Arrival]] = {}

    def begin(self, item: Item) -> None:
        self._push(self.regions.key(item.vertex, item.stamp, item.discriminator), item)

    def arrived(self, join: int, stamp: Stamp, arrival: Arrival) -> None:
        if (join, stamp) not in self.waiting:
            self._push(self.regions.key(join, stamp, ()), (join, stamp))
        self.waiting.setdefault((join, stamp), []).append(arrival)

    def _push(self, key: Key, entry: Item | Place) -> None:
        heapq.heappush(self.heap, (key, len(self.seen_ids), entry))

    def play(self) -> Outcome:
        self.start_run()
        while self.heap:
            _, _, entry = heapq.heappop(self.heap)
            if isinstance(entry, Item):
                self.outcome.order.append(entry.id)
                if len(self.outcome.order) > self.limit:
                    raise TooLong
                self._do(entry)
                continue
            join, stamp = entry
            arrivals = self.waiting.pop(entry)
            try:
                self.close(join, stamp, arrivals)
            except Starved:
                self.outcome.starved.add(activation_id(self.plan.nodes[join].name, stamp, ()))
        return self.outcome

    def _do(self, item: Item) -> None:
        work = self.case.work(item.vertex, item.stamp, item.discriminator)
        if not work.failed:
            self.run(item, work.writes, work.taken, work.replaced)
            return
        edges = self.handlers(item.vertex, work.error.__name__)
        assert edges == [edge for edge, _ in work.taken]
        leave, _ = self.regions.edges[edges[0]]
        if leave == item.vertex:
            self.run(item, {}, work.taken)
        elif self.outcome.clean and self._alone(item, leave):
            self.run(self.left_at(item, leave), {}, work.taken)
        else:
            spared = self.case.spare(item.vertex, item.stamp, item.discriminator)
            self.run(item, spared.writes, spared.taken, spared.replaced)

    def _alone(self, item: Item, leave: int) -> bool:
        """Whether nothing else is left in that call: then nothing else was in any order."""
        members = next(c.members for c in self.plan.calls if c.leave == leave)
        around = self.left_at(item, leave).stamp
        places = [(e.vertex, e.stamp) if isinstance(e, Item) else e for _, _, e in self.heap]
        return not any(vertex in members and stamp[: len(around)] == around for vertex, stamp in places)


def sequential(case: Case, regions: Regions | None = None, *, limit: int = 120) -> Outcome:
    """Run a case one activation at a time, the least key first. Not for races.

    A field in conflict and a starved join stop nothing here; they are noted.

    Raises:
        TooLong: After *limit* activations.
    """
    return _Sequential(case, regions or regions_of(case), limit).play()
