"""Where the tokens of a plan may get lost before they come to a join: races, excused failures, limits, ends."""

from __future__ import annotations

from collections.abc import Callable

from orchestra_graph.graph.flow import Ending, Losses, Race, Withdrawal
from orchestra_graph.graph.plan import Cap, Plan

__all__ = ["losses_of"]


def losses_of(plan: Plan, in_turn: Callable[[int], bool]) -> Losses:
    """The losses of a plan.

    Args:
        plan: The plan.
        in_turn: Whether a vertex never runs several times at once.
    """
    return Losses(
        vertices=frozenset(plan.topology.excusing),
        races=[_race(plan, race) for race in plan.races],
        limits=[_limit(cap, cap.edge, in_turn) for cap in plan.caps if cap.edge is not None],
        ends=_ends(plan),
    )


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


def _limit(cap: Cap, edge: int, in_turn: Callable[[int], bool]) -> Withdrawal:
    counts = cap.kind == "turns"
    return Withdrawal(edge=edge, members=cap.members, counts=counts, in_turn=counts and in_turn(cap.vertex))


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
