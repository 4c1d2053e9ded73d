"""The waves of a join, as far as no facts are needed to know them: which in-edges can meet, and who may be missing.

A wave is what comes to one join in one turn of every loop around it, and in one instance of every `each` and graph.
What `flow` asks of it: which facts may no token of it bring? That is so where a walk leads back from the join along
edges that lack the fact, such that all that leaves the walk sideways lacks it as well, or never gets to this wave.

A token may stay out of a wave in three ways: it goes elsewhere; it is absorbed or withdrawn; or a limit takes it away,
and one token is sent for all that it took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from orchestra_graph.graph.digraph import reachable
from orchestra_graph.graph.topology import Topology
from orchestra_graph.graph.ways import Ways, may_follow, may_follow_with

__all__ = ["Ending", "Losses", "Race", "Wave", "Waves", "Withdrawal", "losing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A limit that leads on: what is alive among its members is withdrawn, and one token is sent for all of it.

    Attributes:
        edge: Where the run goes on.
        members: The vertices whose work is withdrawn.
        counts: It comes up when the vertex of the edge is to start once more; otherwise at any moment.
        in_turn: That vertex never runs several times at once, and always to its end: it has been done when it comes up.
    """

    edge: int
    members: frozenset[int]
    counts: bool = True
    in_turn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Vertices of which only one gets through.

    Attributes:
        regions: The regions around it: in each of their turns and instances there is one race.
        lost: For each of the vertices: those at which a token may get lost when that one wins.
    """

    regions: tuple[int, ...]
    lost: tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A graph that a node in it may end early: what else is in it is withdrawn, and its last vertex is started.

    Attributes:
        enter: The vertex before its inside.
        leave: Its last vertex.
        lost: The vertices whose work is withdrawn.
    """

    enter: int
    leave: int
    lost: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Where tokens may get lost, beside what the join rules say.

    Attributes:
        vertices: Those at which a token may be withdrawn or absorbed.
        races: The races.
        limits: The limits that lead on.
        ends: The graphs that may be ended early.
    """

    vertices: frozenset[int] = frozenset()
    races: Sequence[Race] = ()
    limits: Sequence[Withdrawal] = ()
    ends: Sequence[Ending] = ()


class Waves:
    """The waves of every join of a graph, as far as no facts are needed to know them; all flows over it share them.

    Args:
        topology: The graph.
        ways: What each vertex may follow.
        losses: Where tokens may get lost.
    """

    def __init__(self, topology: Topology, ways: Sequence[Ways], losses: Losses | None = None):
        self.topology = topology
        self.ways = ways
        self.losses = losses or Losses()
        self.never = {e for v, out in enumerate(topology.out) for e in set(out) - ways[v].possible()}
        self.loses = losing(topology) | self.losses.vertices
        self.limits = {limit.edge: limit for limit in self.losses.limits}
        self.aside = {e for w in ways for e in w.unwritten()}
        self.successors = [topology.targets(v) for v in range(topology.size)]
        self.rank = {v: i for i, v in enumerate(topology.order)}
        self.arrivals = [self._arrivals(v) for v in range(topology.size)]
        self._known: dict[tuple[int, ...], Wave] = {}

    def _arrivals(self, vertex: int) -> list[tuple[int, ...]]:
        """The in-edges that can meet in one wave."""
        edges = tuple(e for e in self.topology.into[vertex] if e not in self.never)
        members = self._own_loop(vertex)
        if members is None:
            return [edges] if edges else []
        back = tuple(e for e in edges if self.topology.edges[e][0] in members)
        entries = tuple(e for e in edges if e not in back)
        return [group for group in (entries, back) if group]

    def sources(self, edge: int) -> Iterable[int]:
        """Where a token on *edge* comes from: on that of a limit, from wherever it was withdrawn."""
        limit = self.limits.get(edge)
        return (self.topology.edges[edge][0],) if limit is None else {self.topology.edges[edge][0], *limit.members}

    def _own_loop(self, vertex: int) -> frozenset[int] | None:
        """The members of the loop whose head *vertex* is."""
        chain = self.topology.chain[vertex]
        own = self.topology.regions[chain[-1]] if chain else None
        return own.members if own is not None and own.head == vertex else None

    def wave(self, join: int, edges: tuple[int, ...]) -> Wave:
        """The waves of *join* that these in-edges make."""
        if edges not in self._known:
            self._known[edges] = Wave(self, join, edges, self._own_loop(join))
        return self._known[edges]


def losing(topology: Topology) -> frozenset[int]:
    """The vertices at which a token may be lost: absorbed, left without a partner, or withdrawn."""
    lost = {v for v, rule in enumerate(topology.rule) if rule.races or rule.kind == "zipped"}
    before: list[list[int]] = [[topology.edges[e][0] for e in into] for into in topology.into]
    cancelling = [v for v, rule in enumerate(topology.rule) if rule.races and rule.cancel_rest]
    return frozenset(lost | (reachable(cancelling, before) - set(cancelling)))


class Wave:
    """The waves of one join in one fixed turn of every loop around it.

    Attributes:
        join: The vertex.
        edges: Its in-edges that meet.
        inside: The vertices from which a token gets to the join in the same turn; later ones first.
        away: Those of them whose token can stay out of the wave, whatever facts it has: for every race, and each of
            its winners.
    """

    def __init__(self, waves: Waves, join: int, edges: tuple[int, ...], own: frozenset[int] | None):
        self.topology, self.waves = waves.topology, waves
        self.join, self.edges = join, edges
        self._in = frozenset(edges)
        self.ways = self._limited(waves)
        again = own is not None and self.topology.edges[edges[0]][0] in own
        self._within = own if own is not None and again else None
        chain = self.topology.chain[join]
        self._fix(chain if own is None or again else chain[:-1])
        self._find_inside(waves)
        self._find_away(waves)

    def _limited(self, waves: Waves) -> Sequence[Ways]:
        """What each vertex may follow; where a limit may withdraw its work, the edge of the limit, too.

        Inside of a loop that is left by a limit no wave is left over.
        """
        edges, ways = self.topology.edges, list(waves.ways)
        for limit in waves.losses.limits:
            ends = self.join in limit.members and edges[limit.edge][1] not in limit.members
            for vertex in {*limit.members, edges[limit.edge][0]}:
                others = tuple(a for a in ways[vertex].instead if a != (limit.edge,))
                ways[vertex] = replace(ways[vertex], instead=others if ends else (*others, (limit.edge,)))
        return ways

    def _fix(self, regions: Sequence[int]) -> None:
        """Keep to one turn of these loops and one instance of these eaches: where walks begin, which edges lead out."""
        topology = self.topology
        self.begins = {0}
        self._leaving: set[int] = set()
        for region in (topology.regions[r] for r in regions):
            if region.head is not None:
                self.begins.add(region.head)
                self._leaving |= {e for e in topology.into[region.head] if topology.edges[e][0] in region.members}
        for scope in topology.scopes:
            if self.join not in scope.members:
                continue
            if scope.call:  # one token went in, and all begins of the inside came of it
                enter = topology.edges[scope.edge][0]
                self.begins.add(enter)
                self._leaving.update(topology.into[enter])
            else:
                self.begins.add(topology.edges[scope.edge][1])
                self._leaving.add(scope.edge)

    def _before(self, vertex: int) -> Sequence[int]:
        """The in-edges of a vertex inside the wave."""
        if vertex == self.join:
            return self.edges
        within, edges = self._within, self.topology.edges
        return [
            e
            for e in self.topology.into[vertex]
            if e not in self._leaving and (within is None or edges[e][0] in within)
        ]

    def _find_inside(self, waves: Waves) -> None:
        found, todo, asked = set[int](), [self.join], {self.join}
        while todo:
            for source in chain.from_iterable(map(waves.sources, self._before(todo.pop()))):
                found.add(source)
                if source not in asked:
                    asked.add(source)
                    todo.append(source)
        self.inside = sorted(found, key=waves.rank.__getitem__, reverse=True)
        self._found = found

    def arrives(self, edge: int) -> bool:
        """Whether a token on *edge* is in the wave."""
        return edge in self._in

    def leaves(self, edge: int) -> bool:
        """Whether a token on *edge* can no longer get into the wave."""
        target = self.topology.edges[edge][1]
        if target == self.join:
            return edge not in self._in
        return edge in self._leaving or target not in self._found

    def _find_away(self, waves: Waves) -> None:
        losses = waves.losses
        lost = waves.loses.union(*(ending.lost for ending in losses.ends if ending.leave == self.join))
        # of a graph around which a walk leads, the end starts in any case, whatever is lost in it
        self._ended = {e.enter: e for e in losses.ends if self.join not in e.lost and self.join != e.leave and e.enter}
        here = [race for race in losses.races if self._is_fixed(race)]
        for race in losses.races:
            if race not in here:
                lost |= frozenset().union(*race.lost)
        self.away: list[list[set[int]]] = []
        for race in here:
            others = lost.union(*(some for other in here if other is not race for some in other.lost))
            self.away.append([self._away(others | some) for some in race.lost])
        if not here:
            self.away.append([self._away(lost)])

    def _is_fixed(self, race: Race) -> bool:
        """Whether there is one such race in a wave."""
        return self.topology.chain[self.join][: len(race.regions)] == race.regions

    def _away(self, lost: frozenset[int]) -> set[int]:
        ended = frozenset[int]().union(*(ending.lost for ending in self._ended.values()))
        away = set(self.inside).intersection(lost | ended) - {self.join}

        def out(edge: int) -> int:
            return int(not self.arrives(edge) and (self.leaves(edge) or self.topology.edges[edge][1] in away))

        grows = True
        while grows:
            grows = False
            for vertex in self.inside:
                if vertex == self.join or vertex in away:
                    continue
                ending = self._ended.get(vertex)
                if ending.leave in away if ending is not None else may_follow(self.ways[vertex], out, 1):
                    away.add(vertex)
                    grows = True
        return away

    def lacking(self, asked: int, over: Sequence[int], begin: int) -> int:
        """Which of the facts *asked* no token of some wave brings.

        Args:
            asked: Facts.
            over: What surely holds on every edge.
            begin: Where all walks begin, beside the turns.
        """
        for winners in self.away:
            missed = 0
            for away in winners:
                missed |= self._lacking(asked & ~missed, over, begin, away)
            asked &= missed
        return asked

    def _lacking(self, asked: int, over: Sequence[int], begin: int, away: set[int]) -> int:
        edges, ways = self.topology.edges, self.ways
        without = dict.fromkeys(self.inside, 0)
        without.update(dict.fromkeys(away, asked))

        def lacks(edge: int) -> int:
            """Facts that a token on this edge need not bring to the wave."""
            if self.arrives(edge):
                return asked & ~over[edge]
            if self.leaves(edge):
                return asked
            target = edges[edge][1]
            return without[target] & ~over[edge] if target not in away else asked

        grows = True
        while grows:
            grows = False
            for vertex in self.inside:
                ending = self._ended.get(vertex)
                found = without[vertex]
                found |= may_follow(ways[vertex], lacks, asked) if ending is None else without.get(ending.leave, 0)
                if found != without[vertex]:
                    without[vertex], grows = found, True
        return self._walk(asked, over, lacks, {*self.begins, begin})

    def _walk(self, asked: int, over: Sequence[int], lacks: Callable[[int], int], begins: set[int]) -> int:
        """Go back from the join along edges that lack facts; the facts that are lacked all the way from a beginning."""
        reached, todo, hit = dict.fromkeys(self.inside, 0), [(self.join, asked)], 0
        while todo:
            vertex, have = todo.pop()
            for edge in self._before(vertex):
                for source in self.waves.sources(edge):
                    missing = have & ~over[edge]
                    if missing:
                        missing &= may_follow_with(self.ways[source], edge, lacks, asked)
                    if missing & ~reached[source]:
                        reached[source] |= missing
                        if source in begins:
                            hit |= missing
                        else:
                            todo.append((source, reached[source]))
            hit |= self._entered(vertex, have, over)
        return hit

    def _entered(self, vertex: int, have: int, over: Sequence[int]) -> int:
        """A loop with several entries: a walk of a later turn may begin where the loop is entered beside its head."""
        if self._within is None or vertex == self.join:
            return 0
        hit = 0
        for edge in self.topology.into[vertex]:
            if self.topology.edges[edge][0] not in self._within and edge not in self._leaving:
                hit |= have & ~over[edge]
        return hit
