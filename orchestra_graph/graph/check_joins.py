"""Checks of joins and races: what can never meet, what is missing, what comes several times, what is left over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from orchestra_graph.errors import Problem
from orchestra_graph.graph.conflicts import TooManyPairs
from orchestra_graph.graph.digraph import reachable
from orchestra_graph.graph.flow import Facts, Flow
from orchestra_graph.graph.policies import EACH_ONE
from orchestra_graph.graph.subject import Subject
from orchestra_graph.graph.topology import Topology

__all__ = ["joins_get_all", "lists_meet", "races_end_all", "tokens_stay_few"]


# -- all_of ----------------------------------------------------------------------------------------------


def joins_get_all(subject: Subject) -> Iterator[Problem]:
    """An `all_of` needs a token of every edge: it must be able to get them, and should be sure to."""
    for join, rule in enumerate(subject.plan.topology.rule):
        if rule.kind == "all_of":
            for edges in subject.waves.arrivals[join]:
                yield from _starving(subject, join, edges)


def _starving(subject: Subject, join: int, edges: tuple[int, ...]) -> Iterator[Problem]:
    if len(edges) < 2:
        return
    where = subject.plan.nodes[join].where
    apart = _never_together(subject, join, edges)
    if apart is not None:
        one, other = (subject.name(subject.plan.edges[e].source) for e in apart)
        both = f"'{one}' and '{other}'" if one != other else f"two edges of '{one}'"
        yield Problem(
            code="starving-join",
            what=f"'{subject.name(join)}' waits for all of its edges, but {both} never come to it together",
            mend=f"Let it wait for what can come: take graph.join({subject.name(join)}, all_of()) out",
            where=where,
        )
        return
    missing = _may_be_missing(subject, join, edges)
    if missing:
        names = " and ".join(dict.fromkeys(f"'{subject.name(subject.plan.edges[e].source)}'" for e in missing))
        yield Problem(
            code="may-starve",
            what=f"'{subject.name(join)}' waits for all of its edges, but the one from {names} may not come; "
            f"then the run fails",
            mend=f"Let it wait for what can come: take graph.join({subject.name(join)}, all_of()) out",
            where=where,
            severity="warning",
        )


def _never_together(subject: Subject, join: int, edges: Sequence[int]) -> tuple[int, int] | None:
    """Two of the edges by which no two tokens come to one wave."""
    try:
        meet = subject.pairs.arrivals(join)
    except TooManyPairs:
        return None
    return next((pair for pair in combinations(edges, 2) if frozenset(pair) not in meet), None)


def _may_be_missing(subject: Subject, join: int, edges: Sequence[int]) -> list[int]:
    """Those of the edges without which a wave may come about; that a token came by one is a fact of that edge."""
    sure = {edge: 1 << i for i, edge in enumerate(edges)}
    nothing = [0] * subject.plan.topology.size
    flow = Flow(subject.waves, Facts(count=len(edges), makes=nothing, breaks=nothing, sure=sure))
    missed = subject.waves.wave(join, tuple(edges)).lacking((1 << len(edges)) - 1, flow.over_all, 0)
    return [edge for edge, bit in sure.items() if missed & bit]


# -- list joins --------------------------------------------------------------------------------------------


def lists_meet(subject: Subject) -> Iterator[Problem]:
    """Sources named together for one target should meet there: not one in this turn of a loop, and one in the next.

    That is so where a loop is entered at another node than the author had in mind.
    """
    plan = subject.plan
    for join, arrivals in enumerate(subject.waves.arrivals):
        if len(arrivals) < 2 or plan.topology.rule[join].kind not in ("gather", "all_of"):
            continue
        entries, back = arrivals
        for first in entries:
            for second in back:
                one, other = plan.edges[first], plan.edges[second]
                if one.where and one.where == other.where and one.kind == other.kind == "always":
                    yield from _apart(subject, join, first, second)


def _apart(subject: Subject, join: int, first: int, second: int) -> Iterator[Problem]:
    plan, topology = subject.plan, subject.plan.topology
    one, other = plan.edges[first].source, plan.edges[second].source
    if not _beside(subject, one, other):
        return  # the one begins the loop, the other goes round it: named together to save a line
    names, name = f"'{subject.name(one)}' and '{subject.name(other)}'", subject.name(join)
    mends = [f"graph.start({name})"] if _meet_if_started(topology, join, first, second) else []
    mends.append(f"Or let them meet at a node of their own, before '{name}'")
    yield Problem(
        code="never-meet",
        what=f"{names} run side by side and lead to '{name}' together, but never meet there: the loop begins at "
        f"'{subject.name(_head(topology, one))}', so what '{subject.name(one)}' brings comes to another turn",
        mend="\n".join(mends),
        where=plan.edges[first].where,
    )


def _head(topology: Topology, vertex: int) -> int:
    heads = [topology.regions[r].head for r in topology.chain[vertex]]
    return next((head for head in heads if head is not None), vertex)


def _beside(subject: Subject, one: int, other: int) -> bool:
    """Whether two branches can stand at the two vertices at one time."""
    try:
        return any({pair.one, pair.other} == {one, other} for pair in subject.pairs.places({one, other}.__contains__))
    except TooManyPairs:
        return False


def _meet_if_started(topology: Topology, join: int, first: int, second: int) -> bool:
    """Whether the two edges would come to the same turns if a run began at the join."""
    edges = [(a, join) if a == 0 else (a, b) for a, b in topology.edges]
    try:
        other = Topology(topology.size, edges, rules=topology.rules, scopes=topology.scopes)
    except (KeyError, IndexError):
        return False  # then something could no longer be reached
    chain = other.chain[join]
    if not chain or other.regions[chain[-1]].head != join:
        return False
    members = other.regions[chain[-1]].members
    return edges[first][0] in members and edges[second][0] in members


# -- tokens that multiply ----------------------------------------------------------------------------------


def tokens_stay_few(subject: Subject) -> Iterator[Problem]:
    """A branch that jumps back before its fork forks again: the other branch then runs once more for each jump."""
    topology = subject.plan.topology
    for fork, ways in enumerate(subject.ways):
        loops = [r for r in topology.chain[fork] if topology.regions[r].kind == "loop"]
        if not loops:
            continue
        together = [(topology.edges[a][1], topology.edges[b][1]) for a, b in ways.surely_together()]
        found = next(filter(None, (_jumps_back(subject, fork, loop, together) for loop in loops)), None)
        if found is not None:
            yield _multiplies(subject, fork, *found)
        doubled = next((loop for loop in loops if _doubles(subject, fork, loop, together)), None)
        if doubled is not None:
            yield _without_end(subject, fork, doubled)


def _doubles(subject: Subject, fork: int, loop: int, together: Sequence[tuple[int, int]]) -> bool:
    """Whether two tokens of a fork come back to it with nothing on the way that makes one of them again."""
    topology, members = subject.plan.topology, subject.plan.topology.regions[loop].members
    if topology.rule[fork].kind != "each_one" or not together:
        return False
    open_ = {v for v in members if topology.rule[v].kind == "each_one"}
    before = {v: [u for u in (topology.edges[e][0] for e in topology.into[v]) if u in open_] for v in open_}
    back = reachable([fork], before)
    return any(one in back and other in back for one, other in together)


def _without_end(subject: Subject, fork: int, loop: int) -> Problem:
    topology = subject.plan.topology
    at = subject.name(fork)
    joins = [v for v in topology.regions[loop].members if len(topology.into[v]) > 1 and topology.rule[v] == EACH_ONE]
    name = subject.name(min(joins, default=fork))
    return Problem(
        code="multiplies",
        what=f"'{at}' sends two branches that come back to it, and '{name}' starts once for each: with every turn of "
        f"the loop there are twice as many",
        mend=f"Let them meet: take graph.join({subject.code(min(joins, default=fork))}, each_one()) out",
        where=subject.plan.nodes[fork].where or subject.where,
        severity="warning",
    )


def _jumps_back(subject: Subject, fork: int, loop: int, together: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """A branch of a fork that goes round a loop, and one beside it that leaves the loop, which meet behind it."""
    topology, region = subject.plan.topology, subject.plan.topology.regions[loop]
    ahead = subject.waves.successors
    both = [pair for one, other in together for pair in ((one, other), (other, one))]
    apart = [
        (stays, goes)
        for stays, goes in both
        if stays in region.members and stays != region.head and goes not in region.members
    ]
    if not apart:
        return None
    exits = [
        topology.edges[e][1]
        for v in region.members - {fork}
        for e in topology.out[v]
        if e not in subject.waves.aside and topology.edges[e][1] not in region.members
    ]
    behind = {v for v in reachable(exits, ahead) if v != topology.end and len(topology.into[v]) > 1}
    return next((pair for pair in apart if behind.intersection(reachable([pair[1]], ahead))), None)


def _multiplies(subject: Subject, fork: int, stays: int, goes: int) -> Problem:
    at, inner, outer = (subject.name(v) for v in (fork, stays, goes))
    return Problem(
        code="multiplies",
        what=f"'{at}' leads to '{inner}' and '{outer}' together, and from '{inner}' a way leads back before it: "
        f"'{outer}' then runs again, side by side with what it does already",
        mend=f"Jump back to a node behind '{at}', or let '{outer}' follow when the loop is done",
        where=subject.plan.nodes[fork].where or subject.where,
        severity="warning",
    )


# -- races -------------------------------------------------------------------------------------------------


def races_end_all(subject: Subject) -> Iterator[Problem]:
    """Work that is forked off beside a race is not part of it: it goes on, whoever wins.

    That is meant where it has nothing to do with the race. It is doubtful where it belongs to what one of the rivals
    does, or where it meets only some of them.
    """
    topology = subject.plan.topology
    for race in subject.plan.races:
        said = set[int]()
        for fork, ways in enumerate(subject.ways):
            for pair in dict.fromkeys(ways.together()):
                for inside, beside in (pair, pair[::-1]):
                    other = topology.edges[beside][1]
                    if other in said or not _is_beside(subject, race, topology.edges[inside][1], other):
                        continue
                    problem = _left_over(subject, race, fork, topology.edges[inside][1], other)
                    if problem is not None:
                        said.add(other)
                        yield problem


def _comes_to(topology: Topology, vertex: int, other: int) -> bool:
    """Whether a token at the one can get to the other in this turn, or is there."""
    return vertex == other or topology.reaches(vertex, other)


def _is_beside(subject: Subject, race: Sequence[int], inside: int, beside: int) -> bool:
    """Whether the one target of a fork leads into a race, and the other does not."""
    topology = subject.plan.topology
    if beside == topology.end or not any(_comes_to(topology, inside, m) for m in race):
        return False
    return not any(_comes_to(topology, beside, m) for m in race)


def _left_over(subject: Subject, race: Sequence[int], fork: int, inside: int, beside: int) -> Problem | None:
    topology, other = subject.plan.topology, subject.name(beside)
    call = f"race({', '.join(map(subject.name, race))})"
    where = subject.plan.nodes[fork].where or subject.where
    rivals = [m for m in race if not _comes_to(topology, inside, m)]
    if rivals and not any(_comes_to(topology, fork, m) for m in rivals) and fork not in race:
        at, winner = subject.name(fork), subject.name(rivals[0])
        return Problem(
            code="left-over",
            what=f"'{other}' is forked off at '{at}', on the way to one side of {call}: when '{winner}' wins, '{at}' "
            f"is not withdrawn, and '{other}' goes on",
            mend=f"Let '{other}' follow the race:   {subject.edge_code(inside, subject.code(beside))}",
            where=where,
            severity="warning",
        )
    for join in (v for v in topology.order if topology.rule[v].kind == "gather" and v != topology.end):
        brought = [m for m in race if topology.reaches(m, join)]
        if len(topology.into[join]) > 1 and 0 < len(brought) < len(race) and _comes_to(topology, beside, join):
            at, loser = subject.name(join), subject.name(brought[0])
            last = subject.name(next(m for m in race if m not in brought))
            return Problem(
                code="left-over",
                what=f"'{other}' is forked off beside {call}, and goes on whoever wins: when '{last}' does, '{at}' "
                f"starts without '{loser}'",
                mend=f"Let '{other}' follow the race, or let '{last}' lead to '{at}', too",
                where=where,
                severity="warning",
            )
    return None
