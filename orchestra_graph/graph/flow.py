"""Which facts surely hold where: definite assignment over a graph of tokens.

A *fact* says something about the value that is visible of a field ("order is written", "order is not None"), and is one
bit of an integer. What holds at the start is given; a node's writes make facts true or may break them; following an
edge can make some sure. Asked is, for every vertex, which facts hold for **every** activation of it in **every** run.
(In the words of compilers: reaching definitions, asked the other way round.)

On one path this is simple. The joins are what needs thought, because a merge keeps the causally newest write:

* What all in-edges bring holds after the join.
* What only some bring holds, too, if (1) no in-edge can bring a *written* value that breaks it, for it might be the
  newer one; the value of the start is older than any write and never wins; and (2) the wave surely has a token that
  brings it. An `all_of` has one of every edge. A default join waits for what can still come in this turn, so (2) is the
  question whether some wave could come about of tokens none of which brings the fact. `_Wave` answers it, by looking
  for a walk back from the join along edges that lack the fact, such that all that leaves the walk sideways lacks the
  fact as well, or never gets to this wave.
* In turn 0 the head of a loop meets only what enters, later only what comes back: both are asked, and both must hold.
* A token may not get to its join: it is absorbed, or withdrawn. The branch that it stands for may then be missing.
* A limit that leads on takes all tokens of its loop, wherever they stand, and merges them into one.

Found is the greatest solution: all facts are believed until something speaks against them. `tests/graph/test_flow.py`
runs random graphs and looks that no fact fails in a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from orchestra_graph.graph.digraph import reachable
from orchestra_graph.graph.topology import Topology
from orchestra_graph.graph.ways import Ways, may_follow, may_follow_with

__all__ = ["Ending", "Facts", "Flow", "Losses", "Race", "Waves", "Withdrawal", "solve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What happens to facts, as bitsets.

    Attributes:
        count: How many facts there are.
        initial: What holds at the start.
        makes: By vertex, what its writes make true.
        breaks: By vertex, what its writes may make false.
        sure: By edge, what holds whenever it is followed.
        resets: By vertex, what no longer holds behind it, as at the start: no write is visible any more.
        again: By the edge of a limit, what holds whenever its vertex comes up once more.
    """

    count: int
    initial: int = 0
    makes: Sequence[int]
    breaks: Sequence[int]
    sure: Mapping[int, int] = field(default_factory=dict)
    resets: Mapping[int, int] = field(default_factory=dict)
    again: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A limit that leads on: what is alive among its members is withdrawn, and one token is sent for all of it.

    Attributes:
        edge: Where the run goes on.
        members: The vertices whose work is withdrawn.
        counts: It comes up when the vertex of the edge is to start once more; otherwise at any moment.
        in_turn: That vertex never runs several times at once, so it has been done when it comes up.
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
        self.loses = _losing(topology) | self.losses.vertices
        self.limits = {limit.edge: limit for limit in self.losses.limits}
        self.aside = {e for w in ways for e in w.unwritten()}
        self.successors = [topology.targets(v) for v in range(topology.size)]
        self.rank = {v: i for i, v in enumerate(topology.order)}
        self.arrivals = [self._arrivals(v) for v in range(topology.size)]
        self._known: dict[tuple[int, ...], _Wave] = {}

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

    def wave(self, join: int, edges: tuple[int, ...]) -> _Wave:
        """The waves of *join* that these in-edges make."""
        if edges not in self._known:
            self._known[edges] = _Wave(self, join, edges, self._own_loop(join))
        return self._known[edges]


def _losing(topology: Topology) -> frozenset[int]:
    """The vertices at which a token may be lost: absorbed, left without a partner, or withdrawn."""
    lost = {v for v, rule in enumerate(topology.rule) if rule.races or rule.kind == "zipped"}
    before: list[list[int]] = [[topology.edges[e][0] for e in into] for into in topology.into]
    cancelling = [v for v, rule in enumerate(topology.rule) if rule.races and rule.cancel_rest]
    return frozenset(lost | (reachable(cancelling, before) - set(cancelling)))


class _Wave:
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


class Flow:
    """The facts that hold before and after every vertex, and on every edge.

    Args:
        waves: The graph.
        facts: What happens to them.
        start: Where the facts are followed from: the start of the graph, or one vertex. Then only what happens after an
            activation of that vertex, in its causal future, counts, and `before[start]` says what holds when it comes
            round to it again.
        failed: With *start*: what holds where that vertex was left without being done. Left out: everything, for it has
            not happened.
    """

    def __init__(self, waves: Waves, facts: Facts, start: int = 0, failed: int | None = None):
        self.waves, self.topology, self.facts, self.start = waves, waves.topology, facts, start
        size = self.topology.size
        self.everything = (1 << facts.count) - 1
        self._failed = self.everything if failed is None else failed
        self.before = [self.everything] * size
        self.before[0] = facts.initial if start == 0 else self.everything
        self._clean = [self.everything] * size
        self._over = [self.everything] * len(self.topology.edges)
        self._unbroken = list(self._over)
        self._clock = 0
        self._changed = [0] * size
        self._asked: dict[tuple[int, ...], tuple[int, int, int]] = {}
        self._solve()

    def after(self, vertex: int) -> int:
        """What holds when *vertex* is done."""
        if vertex == self.start:
            return self.facts.initial
        held = self.before[vertex] & ~self.facts.resets.get(vertex, 0)
        return held & ~self.facts.breaks[vertex] | self.facts.makes[vertex]

    def over(self, edge: int) -> int:
        """What holds on *edge*."""
        return self._over[edge]

    @property
    def over_all(self) -> Sequence[int]:
        """What holds on every edge."""
        return self._over

    def unbroken(self, vertex: int) -> int:
        """What no write breaks that is visible at *vertex*."""
        return self._clean[vertex]

    def _solve(self) -> None:
        order = [v for v in self.topology.order if v != 0]
        for vertex in reachable([self.start], self.waves.successors):
            self._leave(vertex)
        changed = True
        while changed:
            changed = False
            for vertex in order:
                changed |= self._visit(vertex)
            for limit in self.waves.losses.limits:
                changed |= self._withdraw(limit)

    def _visit(self, vertex: int) -> bool:
        before, clean = self.everything, self.everything
        for edges in self.waves.arrivals[vertex]:
            value, unbroken = self._meet(vertex, edges)
            before &= value
            clean &= unbroken
        before &= self.before[vertex]
        if before == self.before[vertex] and clean == self._clean[vertex]:
            return False
        self.before[vertex], self._clean[vertex] = before, clean
        return self._leave(vertex) if vertex != self.start else False

    def _leave(self, vertex: int) -> bool:
        """Put on the out-edges of *vertex* what holds there."""
        facts = self.facts
        unbroken = (self._clean[vertex] | facts.resets.get(vertex, 0)) & ~facts.breaks[vertex] | facts.makes[vertex]
        done, undone = (self.after(vertex), unbroken), (self.before[vertex], self._clean[vertex])
        if vertex == self.start:
            done, undone = (self.facts.initial, self.everything), (self._failed, self.everything)
            if vertex == 0:
                undone = done
        changed = False
        for edge in self.topology.out[vertex]:
            if edge not in self.waves.never and edge not in self.waves.limits:
                changed |= self._put(edge, undone if edge in self.waves.aside else done)
        return changed

    def _put(self, edge: int, held: tuple[int, int]) -> bool:
        """Put on an edge what holds, and what is unbroken there."""
        sure = self.facts.sure.get(edge, 0)
        now = held[0] | sure, held[1] | sure
        if now == (self._over[edge], self._unbroken[edge]):
            return False
        self._over[edge], self._unbroken[edge] = now
        self._clock += 1
        for source in self.waves.sources(edge):
            self._changed[source] = self._clock
        return True

    def _withdraw(self, limit: Withdrawal) -> bool:
        """Put on the edge of a limit what holds in the merge of all that it withdraws."""
        vertex = self.topology.edges[limit.edge][0]
        every, spared, clean = self.everything, self.everything, self.everything
        for member in limit.members:
            held, unbroken = self.before[member], self._clean[member]
            if member != 0 and self._comes(member):
                every, spared, clean = every & held, spared & (held | unbroken), clean & unbroken
            for edge in chain.from_iterable(self.waves.arrivals[member]):
                held, unbroken = self._over[edge], self._unbroken[edge]
                every, spared, clean = every & held, spared & (held | unbroken), clean & unbroken
        if limit.counts:
            # the one that is to start has it, and the others bring no write that breaks it
            every |= (self.before[vertex] | self.facts.again.get(limit.edge, 0)) & spared
        return self._put(limit.edge, (every, clean))

    def _comes(self, vertex: int) -> bool:
        return bool(self.waves.arrivals[vertex])

    def _meet(self, vertex: int, edges: tuple[int, ...]) -> tuple[int, int]:
        """What a wave of these in-edges has, and what no write visible in it breaks."""
        every, some, clean = self.everything, 0, self.everything
        for edge in edges:
            every &= self._over[edge]
            some |= self._over[edge]
            clean &= self._unbroken[edge]
        asked = some & ~every & clean
        if asked and len(edges) > 1:
            every |= asked & ~self._missed(vertex, edges, asked)
        return every, clean

    def _missed(self, vertex: int, edges: tuple[int, ...], asked: int) -> int:
        """Facts that only some in-edges bring, and that a wave may be without."""
        kind = self.topology.rule[vertex].kind
        if kind == "all_of" and self.start == 0:
            return 0
        if kind not in ("gather", "all_of"):  # from one vertex on, a branch of an `all_of` may bring what was before it
            return asked
        wave = self.waves.wave(vertex, edges)
        before, when, missed = self._asked.get(edges, (0, 0, 0))
        if asked & ~before or any(self._changed[v] > when for v in wave.inside):
            missed = wave.lacking(asked, self._over, self.start)
            self._asked[edges] = asked, self._clock, missed
        return missed

    def walk(self, vertex: int, fact: int, *, after: bool = False) -> tuple[int, ...]:
        """A shortest walk to *vertex* on which a fact, given by its number, does not hold: from what speaks against it.

        Args:
            vertex: Where the fact does not hold.
            fact: Its number.
            after: It does not hold when the vertex is done; left out: before it.

        Returns:
            The vertices of the walk; the first is the start, or a node whose write may break the fact.
        """
        bit, resets = 1 << fact, self.facts.resets
        if after and (self.facts.breaks[vertex] | resets.get(vertex, 0)) & bit:
            return (vertex,)
        towards: dict[int, int | None] = {vertex: None}
        todo = [vertex]
        for here in todo:
            for edge in (e for group in self.waves.arrivals[here] for e in group):
                if self._over[edge] & bit:
                    continue
                done = edge not in self.waves.aside
                for source in self.waves.sources(edge):
                    if source == self.start or (done and (self.facts.breaks[source] | resets.get(source, 0)) & bit):
                        return (source, *_follow(here, towards))
                    if source not in towards and not self.before[source] & bit:
                        towards[source] = here
                        todo.append(source)
        return (vertex,)


def solve(waves: Waves, facts: Facts) -> Flow:
    """The flow from the start, in which what a limit withdraws is looked at more closely.

    A limit on the turns of a vertex comes up when it is to start once more. What has happened since it was last done is
    followed from there.
    """
    flow, again = Flow(waves, facts), dict[int, int]()
    for limit in waves.losses.limits:
        if limit.counts and limit.in_turn:
            vertex = waves.topology.edges[limit.edge][0]
            later = Flow(waves, replace(facts, initial=flow.after(vertex)), vertex, failed=flow.before[vertex])
            again[limit.edge] = later.before[vertex] & flow.unbroken(vertex)
    return Flow(waves, replace(facts, again=again)) if any(again.values()) else flow


def _follow(vertex: int | None, towards: Mapping[int, int | None]) -> Iterator[int]:
    while vertex is not None:
        yield vertex
        vertex = towards[vertex]
