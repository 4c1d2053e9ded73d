"""Checks of what a run may take away, or never get: irreversible work that is withdrawn, a `first` of too many."""

from __future__ import annotations

from collections.abc import Iterator

from orchestra_graph.errors import Problem
from orchestra_graph.graph.plan import PlanNode
from orchestra_graph.graph.subject import Subject

__all__ = ["first_gets_enough", "irreversible_is_let_end"]


def irreversible_is_let_end(subject: Subject) -> Iterator[Problem]:
    """Irreversible work must not be withdrawn while it is done: nobody would know whether it has happened."""
    for node in subject.plan.nodes:
        if node.options.effect == "irreversible":
            why = next(_withdrawals(subject, node), None)
            if why is not None:
                yield Problem(
                    code="irreversible-withdrawn",
                    what=f"node '{node.name}' is irreversible, and {why} may withdraw it while it runs",
                    mend=f"Let '{node.name}' follow it, or say that it may be done twice:   "
                    '@node(effect="idempotent")',
                    where=node.where,
                )


def _withdrawals(subject: Subject, node: PlanNode) -> Iterator[str]:
    """What may take a node away while it runs; limits on turns and steps act when something else ends, and are left."""
    plan, vertex = subject.plan, node.index
    topology = plan.topology
    for race in plan.races:
        for member in race:
            inside = plan.opens[member].members if member in plan.opens else frozenset[int]()
            leads = topology.only_to(vertex, member) and topology.reaches(vertex, member)
            if vertex == member or vertex in inside or leads:
                yield f"the race of {' and '.join(repr(subject.name(v)) for v in race)}"
    for join, rule in enumerate(topology.rule):
        if rule.cancel_rest and topology.only_to(vertex, join) and topology.reaches(vertex, join):
            yield f"the join '{subject.name(join)}', which cancels the rest,"
    for cap in plan.caps:
        if cap.kind == "message" and vertex in cap.members:
            yield f"a message to '{subject.name(cap.vertex)}' that interrupts"
        elif cap.kind == "seconds" and cap.edge is not None and vertex in cap.members:
            yield f"the limit of {cap.allowed:g} seconds that leads to '{subject.name(plan.edges[cap.edge].target)}'"


def first_gets_enough(subject: Subject) -> Iterator[Problem]:
    """A `first(n)` with fewer than *n* edges needs branches that come several times: out of an `each`, a loop."""
    topology = subject.plan.topology
    for join, rule in enumerate(topology.rule):
        if rule.kind != "first" or rule.short != "error" or rule.count <= len(topology.into[join]):
            continue
        ahead = [v for v in range(topology.size) if any(mask >> v & 1 for mask in topology.masks[join])]
        several = [v for v in ahead if topology.rule[v].kind == "each_one" and len(topology.into[v]) > 1]
        deeper = [v for v in ahead if len(topology.chain[v]) > len(topology.chain[join])]
        if not several and not deeper:
            name, most = subject.name(join), len(topology.into[join])
            yield Problem(
                code="first-too-many",
                what=f"'{name}' waits for the first {rule.count}, but only {most} can come",
                mend=f'graph.join({name}, first({most}))\nOr take what there is:   first({rule.count}, short="fire")',
                where=subject.plan.nodes[join].where,
            )
