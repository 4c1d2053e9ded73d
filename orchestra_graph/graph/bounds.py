"""Limits and races, seen on the finished topology: what each of them covers, and what cannot be meant by it."""

from __future__ import annotations

from itertools import permutations

from orchestra_graph.errors import Problem
from orchestra_graph.graph.connect import Bound, Connections
from orchestra_graph.graph.digraph import components_in_order, reachable
from orchestra_graph.graph.layout import Layout
from orchestra_graph.graph.plan import Cap
from orchestra_graph.graph.topology import Region, Topology

__all__ = ["Bounds"]


class Bounds:
    """The limits and races of a graph, and of the graphs in it.

    Args:
        layout: The vertices.
        made: The edges, and what was said of limits and races.
        topology: Made of these edges.

    Attributes:
        caps: The limits.
        turns: For a vertex how often it may run, where that was said.
        heads: The heads of loops of which nothing was said: the run's own limit on turns counts there.
        problems: What is wrong.
    """

    def __init__(self, layout: Layout, made: Connections, topology: Topology):
        self._layout, self._made, self._topology = layout, made, topology
        self.problems: list[Problem] = []
        self.caps = tuple(self._cap(bound) for bound in made.bounds)
        self.turns: dict[int, int] = {}
        for cap in self.caps:
            if cap.kind == "turns":
                self.turns[cap.vertex] = min(int(cap.allowed), self.turns.get(cap.vertex, int(cap.allowed)))
        self.heads = frozenset(r.head for r in topology.regions if r.head is not None and not self._has_limit(r))
        for race, where in made.races:
            self._race(race, where)
        self._no_circle()

    def _problem(self, code: str, what: str, where: str, mend: str) -> None:
        self.problems.append(Problem(code=code, what=what, mend=mend, where=where))

    def _name(self, vertex: int) -> str:
        return self._layout.names[vertex]

    def _names(self, vertices: tuple[int, ...]) -> str:
        return " and ".join(f"'{self._name(vertex)}'" for vertex in vertices)

    # -- limits -------------------------------------------------------------------------------------

    def _cap(self, bound: Bound) -> Cap:
        declared, vertex = bound.declared, bound.vertex
        members, depth = self._whole(bound) if declared.place is None else self._around(bound)
        return Cap(declared.kind, declared.allowed, vertex, bound.edge, members, depth)

    def _whole(self, bound: Bound) -> tuple[frozenset[int], int]:
        """What a limit of a whole graph covers: everything but what has come to its end."""
        frame = bound.frame
        self._then_apart(bound)
        depth = 0 if frame.parent is None else len(self._topology.chain[frame.leave])
        return frozenset(frame.members) - {frame.leave}, depth

    def _around(self, bound: Bound) -> tuple[frozenset[int], int]:
        """What a limit of a node covers: the loop around it; of a graph that stands there, its inside, too."""
        loop, depth = self._topology.loop_around(bound.vertex)
        if bound.declared.kind == "message":
            self._begins_loop(bound, depth)
        members = loop.union(*(frame.members for frame in self._layout.frames[1:] if frame.enter in loop))
        if bound.then in members and bound.declared.kind != "message":
            name, then = self._name(bound.vertex), self._name(bound.then)
            self._problem(
                "then-inside",
                f"limit({name}, then={then}): '{then}' is in the loop that is limited: it would be withdrawn, too",
                bound.declared.where,
                f"graph.limit({name}, ..., then=...)   of a node behind the loop",
            )
        return members, depth

    def _begins_loop(self, bound: Bound, depth: int) -> None:
        """What interrupts begins the next turn of its loop: it must be where turns begin."""
        loops = [r for r in self._topology.regions if r.head == bound.vertex and len(r.members) > 1]
        if depth or not loops or bound.frame.parent is not None:
            name = self._name(bound.vertex)
            self._problem(
                "interrupt-place",
                f"'{name}' interrupts, but it is not the first node of a loop of the graph (which stands in no other "
                f"loop, each or graph)",
                bound.declared.where,
                f"graph.start({name})   ...   graph.edge(last, {name})\n"
                f"Or let it wait beside the work:   graph.edge(before, [work, {name}])   graph.race(work, {name})",
            )

    def _then_apart(self, bound: Bound) -> None:
        """Where a limit of a whole graph leads to must not have run before: it would run again, under the same id."""
        if bound.then is None:
            return
        topology, ends = self._topology, {bound.frame.leave, self._layout.end}
        ahead = [[] if v in ends else topology.targets(v) for v in range(topology.size)]
        behind = reachable([bound.then], ahead) - ends
        ahead[bound.vertex] = [topology.edges[e][1] for e in topology.out[bound.vertex] if e != bound.edge]
        both = sorted(behind & reachable([bound.vertex], ahead))
        if both:
            then, other = self._name(bound.then), self._name(both[0])
            self._problem(
                "then-shared",
                f"limit(then={then}) of a whole graph leads to '{other}', which may have run before it is reached",
                bound.declared.where,
                f"again = graph.add(..., name='{other}_2')   and let the limit lead to that, and to END",
            )

    def _has_limit(self, region: Region) -> bool:
        """Whether a loop needs no default: a limit of its own, or one inside of it that stops the run for good.

        From an inner loop that a limit only leads out of, the outer one would go round for ever.
        """
        for bound in self._made.bounds:
            if bound.declared.place is None or bound.declared.kind == "message":
                continue
            if bound.vertex not in region.members:
                continue
            innermost = self._topology.chain[bound.vertex][-1] == region.index
            if innermost or (bound.declared.kind == "turns" and bound.then is None):
                return True
        return False

    # -- races --------------------------------------------------------------------------------------

    def _race(self, race: tuple[int, ...], where: str) -> None:
        for one, other in permutations(race, 2):
            if one != other:
                self._rivals(one, other, where)
        if len(set(race)) < len(race):
            self._problem("race-twice", "race() names one node twice", where, "Name each node once")

    def _rivals(self, one: int, other: int, where: str) -> None:
        first, second = self._name(one), self._name(other)
        if self._topology.chain[one] != self._topology.chain[other]:
            if one < other:
                what = f"race({first}, {second}): they do not stand in the same loop, or in the body of the same each"
                self._problem("race-apart", what, where, "Race nodes that stand side by side")
        elif self._topology.reaches(one, other):
            what = f"race({first}, {second}): '{first}' leads to '{second}', so the one cannot race the other"
            self._problem("race-in-line", what, where, f"graph.race({first}, ...)   with a node beside it")

    def _no_circle(self) -> None:
        """Races must not lead to each other: each could take from the other what it has won, and nothing was left."""
        races = [race for race, _ in self._made.races]
        ahead = {
            i: [j for j, other in enumerate(races) if i != j and self._leads(race, other)]
            for i, race in enumerate(races)
        }
        for circle, _ in components_in_order(list(ahead), ahead, rank=lambda i: i):
            if len(circle) > 1:
                one, two = (self._names(races[i]) for i in sorted(circle)[:2])
                what = f"the race of {one} leads to the race of {two}, and that one leads back in the same turn"
                mend = "Let one of the races come before the other"
                self._problem("race-circle", what, self._made.races[min(circle)][1], mend)

    def _leads(self, race: tuple[int, ...], other: tuple[int, ...]) -> bool:
        return any(self._topology.reaches(one, two) for one in race for two in other)
