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
  question whether some wave could come about of tokens none of which brings the fact. `waves` answers it, by looking
  for a walk back from the join along edges that lack the fact, such that all that leaves the walk sideways lacks the
  fact as well, or never gets to this wave.
* In turn 0 the head of a loop meets only what enters, later only what comes back: both are asked, and both must hold.
* A token may not get to its join: it is absorbed, or withdrawn. The branch that it stands for may then be missing.
* A limit that leads on takes all tokens of its loop, wherever they stand, and merges them into one.

Found is the greatest solution: all facts are believed until something speaks against them. `tests/graph/test_flow.py`
runs random graphs and looks that no fact fails in a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from orchestra_graph.graph.digraph import reachable
from orchestra_graph.graph.waves import Waves, Withdrawal

__all__ = ["Facts", "Flow", "solve"]


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
