"""Where the tokens of a plan may get lost before they come to a join: races, excused failures, limits, ends."""

from __future__ import annotations

from collections.abc import Callable

from orchestra_graph.graph.digraph import reachable
from orchestra_graph.graph.plan import Cap, Plan
from orchestra_graph.graph.waves import Ending, Losses, Race, Withdrawal, losing

__all__ = ["losses_of"]


def losses_of(plan: Plan, in_turn: Callable[[int], bool]) -> Losses:
    """The losses of a plan.

    Args:
        plan: The plan.
        in_turn: Whether a vertex never runs several times at once.
    """
    excused, races = frozenset(plan.topology.excusing), [_race(plan, race) for race in plan.races]
    lost = excused.union(losing(plan.topology), *(some for race in races for some in race.lost))
    limits = []
    for cap in plan.caps:
        if cap.edge is not None:
            counts = cap.kind == "turns"
            sure = counts and cap.vertex not in lost and not _withdrawn(plan, cap) and in_turn(cap.vertex)
            limits.append(Withdrawal(edge=cap.edge, members=cap.members, counts=counts, in_turn=sure))
    limits += _failures(plan)
    return Losses(vertices=excused, races=races, limits=limits, ends=_ends(plan))


def _failures(plan: Plan) -> list[Withdrawal]:
    """A graph that may fail anywhere inside, and lead on: as with a limit, at any moment."""
    return [
        Withdrawal(edge=edge, members=call.members | {call.enter}, counts=False)
        for call in plan.calls
        for group in plan.nodes[call.leave].groups
        if group.kind == "error"
        for edge in group.edges
    ]


def _withdrawn(plan: Plan, cap: Cap) -> bool:
    """Whether another limit may withdraw the vertex of this one, and lead back to it."""
    begins = [
        plan.edges[other.edge].target
        for other in plan.caps
        if other.edge is not None and other.edge != cap.edge and cap.vertex in other.members
    ]
    return cap.vertex in reachable(begins, [plan.topology.targets(v) for v in range(plan.topology.size)])


def _race(plan: Plan, race: tuple[int, ...]) -> Race:
    """Whoever wins, the others lose; with them goes all work that could only lead to them."""
    chain = plan.topology.chain[race[0]]
    everyone = range(plan.topology.size)
    lost = []
    for winner in race:
        others = frozenset(race) - {winner}
        funnel = plan.topology.funnel(others)
        lost.append(others | {v for v in everyone if funnel >> v & 1})
    return Race(regions=chain, lost=tuple(lost))


def _ends(plan: Plan) -> list[Ending]:
    """The graphs that some of their nodes may end early."""
    found: dict[int, Ending] = {}
    for node in plan.nodes:
        if node.terminates is None:
            continue
        call = None if node.call is None else plan.calls[node.call]
        enter, leave = (0, plan.topology.end) if call is None else (call.enter, call.leave)
        members = frozenset(range(1, plan.topology.end)) if call is None else call.members
        known = found[leave].lost if leave in found else frozenset[int]()
        found[leave] = Ending(enter=enter, leave=leave, lost=known | (members - {leave, node.index}))
    return list(found.values())
