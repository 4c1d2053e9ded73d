"""The form of a plan as JSON: readers without code get the same topology, and limits do not change the fingerprint."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.plan import Plan, form_of
from orchestra_graph.graph.policies import JoinRule, all_of, batches, each_one, first, until, zipped
from orchestra_graph.graph.shape import rules_in
from orchestra_graph.runtime.records import outline

from .nested import Outer, inner, outer, step


def set_log(log: list[str]) -> bool:
    return bool(log)


def rich() -> Graph[Outer]:
    """A graph in a graph, a race, limits of every kind, an error edge, rules, and an end."""
    graph = outer(outputs={"draft": "found"})
    graph.edge("begin", [step("a"), step("b"), step("stop")])
    graph.race("a", "b")
    graph.edge("a", step("mend"), on_error=ValueError)
    graph.edge(["a", "b"], step("join"))
    graph.join("join", first(2, cancel_rest=True, short="fire"))
    graph.edge("join", "join", when="done")
    graph.limit("join", turns=3, steps=5, seconds=7, then=step("after"))
    graph.limit(steps=100)
    graph.terminate("stop", status="failed")
    return graph


def as_stored(plan: Plan) -> dict[str, Any]:
    shape: dict[str, Any] = json.loads(json.dumps(plan.shape))
    return shape


def test_the_outline_of_a_stored_shape_has_the_same_topology() -> None:
    plan = rich().compile()
    read = outline(as_stored(plan), plan.name, plan.version)

    for name in ("regions", "chain", "masks", "order", "rule", "edges", "raced"):
        assert getattr(read.topology, name) == getattr(plan.topology, name), name
    assert read.caps == plan.caps
    assert read.races == plan.races
    assert [(c.name, c.enter, c.leave, c.members, c.private) for c in read.calls] == [
        (c.name, c.enter, c.leave, c.members, c.private) for c in plan.calls
    ]
    for mine, its in zip(read.nodes, plan.nodes, strict=True):
        assert (mine.name, mine.kind, mine.terminates, mine.call, mine.turns, mine.counts_turns) == (
            its.name,
            its.kind,
            its.terminates,
            its.call,
            its.turns,
            its.counts_turns,
        )
        assert [(g.kind, g.edges, g.limit) for g in mine.groups] == [(g.kind, g.edges, g.limit) for g in its.groups]
    assert read.own == plan.own


@pytest.mark.parametrize(
    "rule", [all_of(), each_one(), first(1, cancel_rest=True), first(2, short="fire"), zipped(), batches(4)], ids=str
)
def test_rules_survive(rule: JoinRule) -> None:
    graph = Graph(Outer, name="g")
    graph.start([step("a"), step("b")])
    graph.edge(["a", "b"], step("join"))
    graph.join("join", rule)
    plan = graph.compile()

    assert rules_in(as_stored(plan)) == {plan.by_name["join"].index: rule}


def test_of_a_predicate_its_name_is_kept() -> None:
    graph = Graph(Outer, name="g")
    graph.start([step("a"), step("b")])
    graph.edge(["a", "b"], step("join"))
    graph.join("join", until(set_log, cancel_rest=True))
    plan = graph.compile()
    [rule] = rules_in(as_stored(plan)).values()

    assert (rule.kind, rule.predicate, rule.cancel_rest) == ("until", "set_log", True)


def test_a_plain_graph_has_nothing_of_that() -> None:
    graph = Graph(Outer, name="g")
    graph.start(step("a"))

    assert {"rules", "calls", "races", "caps"}.isdisjoint(graph.compile().shape)


def test_numbers_of_limits_are_not_in_the_form() -> None:
    def made(number: int) -> Graph[Outer]:
        graph = Graph(Outer, name="g")
        graph.start(step("a"))
        graph.edge("a", "a", when="done")
        graph.limit("a", turns=number, steps=number, seconds=number, then=step("after"))
        graph.limit(steps=number)
        return graph

    one, other = made(3).compile(), made(7).compile()
    assert one.shape != other.shape  # pictures show them
    assert form_of(one.shape) == form_of(other.shape)
    assert one.fingerprint == other.fingerprint


CHANGES: dict[str, Callable[[Graph[Outer]], object]] = {
    "rule": lambda g: g.join("join", all_of()),
    "race": lambda g: g.race("a", "b"),
    "limit": lambda g: g.limit("join", turns=3),
    "limit of the graph": lambda g: g.limit(steps=3),
    "then": lambda g: g.limit("join", steps=3, then=step("after")),
    "error": lambda g: g.edge("a", "join", on_error=ValueError),
    "terminate": lambda g: g.terminate("b2"),
    "call": lambda g: g.edge("join", inner()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_everything_else_is(change: str) -> None:
    def made() -> Graph[Outer]:
        graph = Graph(Outer, name="g")
        graph.start([step("a"), step("b"), step("b2")])
        graph.edge(["a", "b"], step("join"))
        return graph

    changed = made()
    CHANGES[change](changed)
    assert changed.compile().fingerprint != made().compile().fingerprint
