"""Checks of what can happen in a run: people before irreversible nodes, writes side by side, tokens that meet."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from orchestra_graph.errors import Problem, nearest
from orchestra_graph.graph.conflicts import Meeting, TooManyPairs
from orchestra_graph.graph.flow import Facts, Flow, solve
from orchestra_graph.graph.plan import PlanNode
from orchestra_graph.graph.signature import type_name
from orchestra_graph.graph.subject import Subject, short

__all__ = ["caches_are_safe", "loops_are_clear", "people_stand_before", "writes_are_apart"]


# -- people ----------------------------------------------------------------------------------------------


def people_stand_before(subject: Subject) -> Iterator[Problem]:
    """Before an irreversible node stands a person on every way: from the start, and from the node round to itself.

    "A person was asked" is a fact that every `@ask` makes, except one that may ask nobody. It is followed from the
    start and, for a node in a loop, once more from the node itself.
    """
    risky = [n for n in subject.plan.nodes if n.options.effect == "irreversible" and not n.options.unattended]
    if not risky:
        return
    size = len(subject.plan.nodes)
    makes = [int(n.kind == "ask" and not n.optional) for n in subject.plan.nodes]
    facts = Facts(count=1, makes=makes, breaks=[0] * size)
    flow = solve(subject.waves, facts)
    for node in risky:
        if not flow.before[node.index]:
            yield _nobody(subject, node, flow.walk(node.index, 0)[1:], "the path")
        elif _comes_round(subject, node):
            again = Flow(subject.waves, facts, start=node.index)
            if not again.before[node.index]:
                yield _nobody(subject, node, again.walk(node.index, 0), "the way round to itself")


def _comes_round(subject: Subject, node: PlanNode) -> bool:
    return any(r.kind == "loop" and node.index in r.members for r in subject.plan.topology.regions)


def _nobody(subject: Subject, node: PlanNode, walk: tuple[int, ...], what: str) -> Problem:
    asks = [n for n in subject.plan.nodes if n.kind == "ask"]
    person = next((n.name for n in asks if not n.optional), "approve")
    before = subject.edge_code(walk[-2] if len(walk) > 1 else 0, short(person))
    skipped = [n.name for n in asks if n.optional and n.index in walk]
    hint = f" ('{skipped[0]}' may ask nobody, so it does not count)" if skipped else ""
    return Problem(
        code="no-person",
        what=f"node '{node.name}' is irreversible, and {what} {subject.way(walk)} has no person on it{hint}",
        mend=f"Put an @ask node before it:   {before}\n"
        'Or say that none is needed:   @node(effect="irreversible", unattended=True)',
        where=node.where,
    )


# -- results that are used again ---------------------------------------------------------------------------


def caches_are_safe(subject: Subject) -> Iterator[Problem]:
    """What must happen each time has no cache, and the key of a cache is made of what the node gets."""
    for node in subject.plan.nodes:
        cache = node.options.cache
        if cache is None:
            continue
        if node.kind == "ask" or node.options.effect == "irreversible":
            what = "asks a person" if node.kind == "ask" else "is irreversible"
            yield Problem(
                code="cache-irreversible",
                what=f"node '{node.name}' {what}, and its cache would let it be skipped",
                mend="Take the cache out",
                where=node.where,
            )
        if cache.key is not None:
            yield from _key_is_made(node, cache.key)


def _key_is_made(node: PlanNode, key: Callable[..., str]) -> Iterator[Problem]:
    given = [param.name for param in node.params]
    for parameter in inspect.signature(key).parameters.values():
        if parameter.name not in given and parameter.default is parameter.empty:
            yield Problem(
                code="cache-key",
                what=f"node '{node.name}': the key of its cache takes '{parameter.name}', which is none of the "
                f"parameters of the node{nearest(parameter.name, given)}",
                mend=f"It may take: {', '.join(given)}" if given else "Take the key out: the node reads nothing",
                where=node.where,
            )


# -- writes side by side -----------------------------------------------------------------------------------


def writes_are_apart(subject: Subject) -> Iterator[Problem]:
    """Two writes to a field without a reducer must not happen side by side, unless the join overwrites both."""
    plan = subject.plan
    plain = [name for name, spec in subject.schema.fields.items() if spec.reducer is None]
    inside = {name: call.members for call in plan.calls for name in call.private}
    bit = {name: 1 << i for i, name in enumerate(plain)}
    writes = [sum(bit.get(name, 0) for name in n.writes.fields) for n in plan.nodes]
    if not any(writes):
        return
    # the engine lets a join mend a conflict only if it writes all that it may write, and has not read the field
    alone = [sum(bit.get(f, 0) for f in n.writes.fields if n.writes.sure and f not in n.reads) for n in plan.nodes]
    mends = list(alone)
    for vertex, ways in enumerate(subject.ways):  # and when it fails, what follows then must mend it
        for edge in ways.unwritten():
            mends[vertex] &= alone[plan.edges[edge].target]
    pairs = subject.pairs
    try:
        found = pairs.conflicts(writes, mends)
    except TooManyPairs:
        yield _too_large(subject)
        return
    for name in plain:
        # what a graph in this one keeps to itself is gone where it is left
        joins = [v for v in plan.topology.order if found.get(v, 0) & bit[name] and v in inside.get(name, (v,))]
        if joins:
            meeting = pairs.meeting(joins[0], [bool(w & bit[name]) for w in writes])
            assert meeting is not None
            yield _side_by_side(subject, name, meeting)
    rest = {name: b for name, b in bit.items() if not any(fields & b for fields in found.values())}
    yield from _before_they_meet(subject, rest, writes, mends)


def _before_they_meet(
    subject: Subject, bits: Mapping[str, int], writes: Sequence[int], mends: Sequence[int]
) -> Iterator[Problem]:
    """A join that overwrites what its branches wrote mends nothing if a limit takes them away before it starts."""
    limits = [limit for limit in subject.waves.losses.limits if not limit.in_turn]
    if not limits:
        return
    met = subject.pairs.conflicts(writes, [0] * len(writes))
    for name, bit in bits.items():
        for limit in limits:
            then = subject.plan.edges[limit.edge].target
            joins = [v for v in subject.plan.topology.order if v in limit.members and met.get(v, 0) & bit]
            if joins and not mends[then] & bit:
                meeting = subject.pairs.meeting(joins[0], [bool(w & bit) for w in writes])
                assert meeting is not None
                problem = _side_by_side(subject, name, meeting)
                what = f"{problem.what}; a limit may lead to '{subject.name(then)}' before that overwrites it"
                yield replace(problem, what=what)
                break


def _too_large(subject: Subject) -> Problem:
    return Problem(
        code="too-many-pairs",
        what="the graph forks too often to tell whether two nodes may write one field at the same time",
        mend="Such a write would fail the run at the join. A reducer decides:   field: Annotated[..., last]",
        where=subject.where,
        severity="warning",
    )


def _side_by_side(subject: Subject, name: str, meeting: Meeting) -> Problem:
    first, second = (subject.plan.nodes[v] for v in meeting.writers)
    spec = subject.schema.fields[name]
    kind = type_name(spec.annotation)
    who = f"'{first.name}' and '{second.name}' may run at the same time, and both write {name}"
    if first is second:
        who = f"'{first.name}' may run several times at once, and each time writes {name}"
    ways = " and ".join(dict.fromkeys([subject.way(meeting.one), subject.way(meeting.other)]))
    mends = [f"Keep the later one in the graph's order:   {short(name)}: Annotated[{kind}, last]"]
    if kind.startswith(("list", "tuple")):
        mends.insert(0, f"Keep all:   {short(name)}: Annotated[{kind}, extend]")
    mends.append("Or let each write a field of its own")
    where = "at the end" if meeting.join == subject.plan.topology.end else f"at '{subject.name(meeting.join)}'"
    return Problem(
        code="concurrent-writers",
        what=f"{who}: they meet {where}, by {ways}",
        mend="\n".join(mends),
        where=first.where,
    )


# -- loops -----------------------------------------------------------------------------------------------


def loops_are_clear(subject: Subject) -> Iterator[Problem]:
    """What came into one loop at different entries counts its turns differently: say so where two can be in it."""
    topology = subject.plan.topology
    loops = [region for region in topology.regions if region.kind == "loop" and len(region.entries) > 1]
    if not loops:
        return
    pairs = subject.pairs
    for region in loops:
        try:
            meet = any(pairs.places(region.members.__contains__))
        except TooManyPairs:
            continue
        if meet:
            names = " and ".join(f"'{subject.name(v)}'" for v in region.entries)
            head = subject.name(region.entries[0])
            yield Problem(
                code="meeting-tokens",
                what=f"the loop of {names} is entered at each of them, and two branches may be in it at the same time: "
                f"which of them wait for each other depends on where they came in",
                mend=f"Enter it at one node:   graph.edge(..., {head})",
                where=subject.plan.nodes[region.entries[0]].where,
                severity="warning",
            )
