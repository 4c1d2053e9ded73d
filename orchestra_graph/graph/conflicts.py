"""Two writes to one field that may happen side by side, and the join at which that comes out.

Two writes are concurrent when neither is in the past of the other. Take the last activation from which both follow: a
*fork*, which sent two tokens. From it two *lineages* lead, one through each write, with no activation in common, to the
join where they meet. So look at pairs of lineages. A pair is two vertices and how their stamps compare; it is enough to
know

* 0: all coordinates they share are equal,
* +1, -1: in one loop around both, one lineage is a turn ahead, and stands at its head,
* 2 + depth: they are in two instances of the `each` at that depth.

A pair moves by its *earlier* lineage, the one with the smaller logical key. That is the order of one sequential
execution, and every run is equal to it (`docs/semantics.md`, T5), so nothing is missed, no join need be asked whether
it may fire, and a lineage is never more than one turn ahead. Two lineages that stand at one join with equal stamps are
in one wave: there they meet, and it is a conflict if both have written. What makes this more than what can happen: the
choices of the two lineages are taken as independent, and a third lineage that overwrites both is not seen.

Of the members of a race only one gets through: a lineage that comes to one of them after the other lineage has been
through a rival, in the same turn and instance, is followed no further.

All fields are looked at together: of every pair are kept the fields that the one, the other or both lineages can have
written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from orchestra_graph.graph.digraph import reachable
from orchestra_graph.graph.topology import Topology
from orchestra_graph.graph.ways import Ways

__all__ = ["Meeting", "Pairs", "TooManyPairs"]

MOST_PAIRS = 400_000
"""With more, the analysis gives up; a graph of 300 vertices that all fork has about 100,000."""


class TooManyPairs(Exception):
    """The graph is too large for this analysis."""


class Meeting(NamedTuple):
    """Where two lineages that have written one field meet.

    Attributes:
        fork: The vertex from which both lead.
        join: Where they meet.
        one: The vertices of the one, from the fork to the join.
        other: The vertices of the other.
        writers: The last vertex of each that writes the field.
    """

    fork: int
    join: int
    one: tuple[int, ...]
    other: tuple[int, ...]
    writers: tuple[int, int]


class Pair(NamedTuple):
    """Two lineages: where they stand, and how their stamps compare (see the module).

    Attributes:
        one: Where the one stands.
        other: Where the other stands.
        apart: How their stamps compare.
        won: The members of races that the one has been through, as bits, as long as the other can still lose there.
        its: The same of the other.
    """

    one: int
    other: int
    apart: int
    won: int = 0
    its: int = 0

    def turned(self) -> Pair:
        """The same pair, named the other way round."""
        return Pair(self.other, self.one, -self.apart if self.apart in (1, -1) else self.apart, self.its, self.won)


class _Edge(NamedTuple):
    """What an edge does to a stamp.

    Attributes:
        target: Where it leads.
        shared: How many coordinates are kept.
        turns: The depth of the loop whose next turn it begins, or -1.
        enters: The depth of the `each` that it enters, or -1.
    """

    target: int
    shared: int
    turns: int
    enters: int


class Pairs:
    """The pairs of lineages of a graph.

    Args:
        topology: The graph.
        ways: What each vertex may follow.
        races: Vertices of which only one gets through.
    """

    def __init__(self, topology: Topology, ways: Sequence[Ways], *, races: Sequence[Sequence[int]] = ()):
        self.topology, self.ways = topology, ways
        self._rivals: dict[int, int] = {}
        for race in races:
            for member in race:
                others = sum(1 << v for v in race if v != member)
                self._rivals[member] = self._rivals.get(member, 0) | others
        self._unwritten = {e for w in ways for e in w.unwritten()}
        by_key = sorted(range(topology.size), key=lambda v: topology.key(v, (0,) * len(topology.chain[v]), ()))
        self._place = {v: i for i, v in enumerate(by_key)}
        possible = [w.possible() for w in ways]
        self._out = [[e for e in out if e in possible[v]] for v, out in enumerate(topology.out)]
        self._edges = [self._read(e) for e in range(len(topology.edges))]
        self._depths = [len(chain) for chain in topology.chain]
        self._shared: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}

    def _read(self, edge: int) -> _Edge:
        topology = self.topology
        source, target = topology.edges[edge]
        shared, chain = topology.innermost(source, target), topology.chain[target]
        again = shared and len(chain) == shared and topology.regions[chain[-1]].head == target
        scopes = [d for d in range(shared, len(chain)) if not topology.is_loop(target, d)]
        return _Edge(target, shared, shared - 1 if again else -1, scopes[0] if scopes else -1)

    # -- how a pair moves ---------------------------------------------------------------------------

    def _move(self, pair: Pair, edge: int) -> Pair:
        """Let the first lineage go over *edge*."""
        target, shared, turns, enters = self._edges[edge]
        other, apart = pair.other, pair.apart
        together = self._together(target, other)
        if apart == 1:
            depth = self._depths[other] - 1  # the other stands at the head of the loop in which it is ahead
        else:
            depth = apart - 2 if apart > 1 else self._depths[pair.one]
        if 0 <= turns < depth:
            return Pair(target, other, -1 if turns < together else 0, pair.won, pair.its)
        if turns == depth and apart == 1:
            return Pair(target, other, 0, pair.won, pair.its)
        if apart and shared > depth:
            return Pair(target, other, apart, pair.won, pair.its)
        return Pair(target, other, 2 + enters if 0 <= enters < together else 0, pair.won, pair.its)

    def _together(self, one: int, other: int) -> int:
        """How many regions two vertices share; asked for every move, and there are few different chains."""
        chains = self.topology.chain[one], self.topology.chain[other]
        if chains not in self._shared:
            self._shared[chains] = self.topology.innermost(one, other)
        return self._shared[chains]

    def _is_earlier(self, pair: Pair) -> bool:
        """Whether the first lineage is the one to move."""
        if pair.apart:
            return pair.apart > 0
        return self._place[pair.one] <= self._place[pair.other]

    def _starts(self, ahead: Sequence[int] | None = None) -> Iterator[tuple[int, int, Pair]]:
        """The pairs that begin at forks, with the two edges; with *ahead* only those that share a bit of it."""
        for fork, ways in enumerate(self.ways):
            for first, second in dict.fromkeys(ways.together()):
                if ahead is not None and not ahead[self._edges[first].target] & ahead[self._edges[second].target]:
                    continue  # a wide fork has very many pairs
                half = self._move(Pair(fork, fork, 0), first)
                pair = self._move(half.turned(), second).turned()
                into = self._edges[second].target
                # what one activation sends into a graph that stands there comes to one instance
                yield first, second, pair._replace(apart=0) if pair.apart > 1 and self._is_call(into) else pair

    def _is_call(self, vertex: int) -> bool:
        """Whether the innermost `each` or graph around a vertex is a graph."""
        around = [scope for scope in self.topology.scopes if vertex in scope.members]
        return min(around, key=lambda scope: len(scope.members)).call

    def _follow(self, pair: Pair) -> Iterator[tuple[int, Pair]]:
        """Every next pair, with the edge; the lineage that moved is named first."""
        for edge in self._out[pair.one]:
            moved = self._move(pair, edge)
            if self._rivals:
                done = edge not in self._unwritten
                if done and pair.its & self._rivals.get(pair.one, 0):
                    continue
                moved = moved._replace(won=self._won(pair) if done else pair.won, its=self._kept(pair, edge))
            yield edge, moved

    def _won(self, pair: Pair) -> int:
        """The races that the first lineage has won, once it is through the vertex at which it stands."""
        if pair.one not in self._rivals or pair.apart:
            return pair.won
        beside = self._together(pair.one, pair.other) == self._depths[pair.one]
        return pair.won | 1 << pair.one if beside else pair.won

    def _kept(self, pair: Pair, edge: int) -> int:
        """Those races that the other has won in which the first lineage can still lose, once it has followed *edge*."""
        if not pair.its:
            return 0
        _, shared, turns, _ = self._edges[edge]
        kept = 0
        for member in self._rivals:
            around = self._depths[member]
            if pair.its >> member & 1 and shared >= around and not 0 <= turns < around:
                kept |= 1 << member
        return kept

    def _meets(self, pair: Pair) -> bool:
        """Whether both lineages are in one wave."""
        return pair.one == pair.other and not pair.apart and self.topology.rule[pair.one].kind != "each_one"

    def _merges(self, join: int) -> bool:
        """Whether a wave of *join* can take two tokens into one activation that did not come at the same moment."""
        rule = self.topology.rule[join]
        return rule.kind != "first" or rule.count > 1

    def _parts(self, join: int) -> bool:
        """Whether two tokens of one wave of *join* may go on in two activations."""
        return self.topology.rule[join].kind in ("zipped", "batches")

    # -- all fields ---------------------------------------------------------------------------------

    def conflicts(self, writes: Sequence[int], overwrites: Sequence[int]) -> dict[int, int]:
        """The fields that two lineages have written where they meet.

        Args:
            writes: By vertex, the fields (as bits) that it may write.
            overwrites: By vertex, the fields that it writes in any case, without having read them: a join that does
                mends a conflict.

        Returns:
            By join, the fields.

        Raises:
            TooManyPairs: There are more than can be looked at.
        """
        ahead = self._written_ahead(writes)
        known: dict[Pair, tuple[int, int, int]] = {}
        found: dict[int, int] = {}
        todo: list[Pair] = []

        def reach(pair: Pair, one: int, other: int, both: int) -> None:
            if self._meets(pair):
                bad = both & ~overwrites[pair.one] if self._merges(pair.one) else 0
                if bad:
                    found[pair.one] = found.get(pair.one, 0) | bad
                if not self._parts(pair.one):
                    return
            if not both and not (one | ahead[pair.one]) & (other | ahead[pair.other]):
                return
            if not self._is_earlier(pair):
                pair, one, other = pair.turned(), other, one
            before = known.get(pair, (0, 0, 0))
            now = before[0] | one, before[1] | other, before[2] | both
            if now != before or pair not in known:
                known[pair] = now
                todo.append(pair)
                if len(known) > MOST_PAIRS:
                    raise TooManyPairs

        for _, _, pair in self._starts(ahead):
            reach(pair, 0, 0, 0)
        while todo:
            pair = todo.pop()
            one, other, both = known[pair]
            for edge, after in self._follow(pair):
                own = 0 if edge in self._unwritten else writes[pair.one]
                reach(after, one | own, other, both | other & own)
        return found

    def _written_ahead(self, writes: Sequence[int]) -> list[int]:
        """By vertex, what it or any vertex after it may write."""
        ahead = list(writes)
        changed = True
        while changed:
            changed = False
            for vertex in reversed(self.topology.order):
                found = ahead[vertex]
                for target in self.topology.targets(vertex):
                    found |= ahead[target]
                if found != ahead[vertex]:
                    ahead[vertex], changed = found, True
        return ahead

    def places(self, interesting: Callable[[int], bool]) -> Iterator[Pair]:
        """Every pair of lineages that stands at two *interesting* vertices at one time of the sequential order."""
        known: set[Pair] = set()
        todo = [pair for _, _, pair in self._starts()]
        while todo:
            pair = todo.pop()
            if self._meets(pair) and not self._parts(pair.one):
                continue
            pair = pair if self._is_earlier(pair) else pair.turned()
            if pair in known:
                continue
            known.add(pair)
            if interesting(pair.one) and interesting(pair.other):
                yield pair
            if len(known) > MOST_PAIRS:
                raise TooManyPairs
            todo += (after for _, after in self._follow(pair))

    def arrivals(self, join: int) -> set[frozenset[int]]:
        """The pairs of in-edges of *join* by which two lineages can come to one wave.

        Raises:
            TooManyPairs: There are more than can be looked at.
        """
        leads = reachable([join], [[self.topology.edges[e][0] for e in into] for into in self.topology.into])
        known: set[tuple[Pair, int, int]] = set()
        todo: list[tuple[Pair, int, int]] = []
        found: set[frozenset[int]] = set()

        def reach(pair: Pair, one: int, other: int) -> None:
            if pair.one not in leads or pair.other not in leads:
                return
            if self._meets(pair):
                if pair.one == join:
                    found.add(frozenset({one, other}))
                if not self._parts(pair.one):
                    return
            if not self._is_earlier(pair):
                pair, one, other = pair.turned(), other, one
            if (pair, one, other) not in known:
                known.add((pair, one, other))
                todo.append((pair, one, other))
                if len(known) > MOST_PAIRS:
                    raise TooManyPairs

        def came(edge: int) -> int:
            return edge if self.topology.edges[edge][1] == join else -1

        for first, second, pair in self._starts():
            reach(pair, came(first), came(second))
        while todo:
            pair, _, other = todo.pop()
            for edge, after in self._follow(pair):
                reach(after, came(edge), other)
        return found

    # -- one field, with the way there ---------------------------------------------------------------

    def meeting(self, join: int, writes: Sequence[bool]) -> Meeting | None:
        """A shortest pair of lineages that meet at *join* after both have written.

        Args:
            join: Where they meet.
            writes: By vertex, whether it may write the field.
        """
        before = [[self.topology.edges[e][0] for e in into] for into in self.topology.into]
        leads = reachable([join], before)
        writing = reachable([v for v in leads if writes[v]], before)
        came: dict[_State, _Step] = {}
        todo: list[_State] = []

        def reach(state: _State, step: _Step) -> None:
            (first, second, *_), one, other = state
            if state in came or first not in leads or second not in leads:
                return
            if (one or first in writing) and (other or second in writing):
                came[state] = step
                todo.append(state)

        for edge, _, pair in self._starts():
            reach((pair, False, False), _Step(None, self.topology.edges[edge][0], True))
        for state in todo:
            pair, one, other = state
            if self._meets(pair):
                if pair.one == join and one and other:
                    return self._trace(state, came, writes)
                if not self._parts(pair.one):
                    continue
            first = self._is_earlier(pair)
            for edge, after in self._follow(pair if first else pair.turned()):
                wrote = edge not in self._unwritten and writes[pair.one if first else pair.other]
                flags = (one or wrote, other) if first else (one, other or wrote)
                reach((after if first else after.turned(), *flags), _Step(state, came[state].fork, first))
        return None

    def _trace(self, state: _State, came: Mapping[_State, _Step], writes: Sequence[bool]) -> Meeting:
        """Both lineages of a pair, from their fork."""
        steps, fork = [], came[state].fork
        here: _State | None = state
        while here is not None:
            step = came[here]
            steps.append((here[0], step))
            here = step.before
        start, _ = steps.pop()
        one, other = [fork, start.one], [fork, start.other]
        for pair, step in reversed(steps):
            if step.first:
                one.append(pair.one)
            else:
                other.append(pair.other)
        writers = [next(v for v in reversed(path[1:-1]) if writes[v]) for path in (one, other)]
        return Meeting(fork, one[-1], tuple(one), tuple(other), (writers[0], writers[1]))


_State = tuple[Pair, bool, bool]
"""A pair, and whether the one and the other lineage have written."""


class _Step(NamedTuple):
    """How a pair came about: from which, behind which fork, and whether the first lineage moved."""

    before: _State | None
    fork: int
    first: bool
