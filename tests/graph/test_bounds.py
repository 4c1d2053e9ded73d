"""Limits and races on the finished topology: what they cover, and what cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest

from orchestra_graph.errors import GraphError
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END
from orchestra_graph.graph.plan import Cap, Plan

from .nested import Outer, Part, inner, step


def graph(*starts: str) -> Graph[Outer]:
    made = Graph(Outer, name="made")
    made.start([step(name) for name in starts or ("a",)])
    return made


def loop() -> Graph[Outer]:
    """``a`` and ``b`` go round; behind them stands ``c``."""
    made = graph()
    made.chain("a", step("b"))
    made.edge("b", "a", when="done")
    made.edge("b", step("c"), otherwise=True)
    return made


def covered(plan: Plan, cap: Cap) -> list[str]:
    return [plan.nodes[v].name for v in sorted(cap.members)]


def codes(made: Graph[Any]) -> list[str]:
    with pytest.raises(GraphError) as caught:
        made.compile()
    return [problem.code for problem in caught.value.problems]


# -- limits ------------------------------------------------------------------------------------------------


def test_a_limit_covers_the_innermost_loop() -> None:
    made = loop()
    made.edge("c", "a", when="done")
    made.limit("b", turns=3)
    made.limit("c", turns=3)
    plan = made.compile()

    inside, around = plan.caps
    assert covered(plan, inside) == ["a", "b", "c"] == covered(plan, around)  # one loop with two ways round
    assert inside.depth == 0


def test_of_nested_loops_each_has_its_own() -> None:
    made = loop()
    made.edge("a", "a", when="found")
    made.edge("b", "b", when="found")
    made.limit("b", turns=3)
    made.limit("a", turns=3)
    plan = made.compile()

    own, outer = plan.caps
    assert (covered(plan, own), own.depth) == (["b"], 1)
    assert (covered(plan, outer), outer.depth) == (["a", "b"], 0)


def test_without_a_loop_it_covers_the_node_and_with_a_graph_its_inside() -> None:
    made = graph()
    made.edge("a", inner())
    made.limit("a", seconds=3)
    made.limit("inner", seconds=3)
    plan = made.compile()

    assert [covered(plan, cap) for cap in plan.caps] == [
        ["a"],
        ["inner", "inner/write", "inner/keep", "inner/END"],
    ]


def test_of_a_whole_graph_it_covers_everything_but_the_end() -> None:
    inside = inner()
    inside.limit(steps=3)
    made = graph()
    made.edge("a", inside)
    made.limit(steps=9)
    plan = made.compile()

    by_depth = {cap.depth: covered(plan, cap) for cap in plan.caps}
    assert by_depth == {
        0: ["a", "inner", "inner/write", "inner/keep", "inner/END"],
        1: ["inner/write", "inner/keep"],
    }


def test_the_lowest_of_several_limits_on_turns_counts() -> None:
    made = loop()
    made.limit("a", turns=9)
    made.limit("a", turns=4)

    assert made.compile().by_name["a"].turns == 4


@pytest.mark.parametrize(
    ("limit", "counts"),
    [
        ({}, ["a"]),
        ({"turns": 3}, []),
        ({"steps": 3}, []),
        ({"seconds": 3}, []),
    ],
)
def test_a_loop_of_which_nothing_was_said_has_the_default(limit: Any, counts: list[str]) -> None:
    made = loop()
    if limit:
        made.limit("b", **limit)

    assert [node.name for node in made.compile().nodes if node.counts_turns] == counts


@pytest.mark.parametrize(
    ("limit", "then", "counts"),
    [
        ({"turns": 3}, None, []),  # the run stops, however often the outer loop goes round
        ({"turns": 3}, "out", ["outer"]),  # the outer one would go round for ever
        ({"steps": 3}, None, ["outer"]),  # each time that the inner one is entered
        ({"seconds": 3}, "out", ["outer"]),
    ],
)
def test_an_outer_loop_is_not_limited_by_what_only_leads_out_of_an_inner_one(
    limit: Any, then: str | None, counts: list[str]
) -> None:
    made = graph("outer")
    made.edge("outer", step("inner"))
    made.edge("inner", "inner", when="done")
    made.edge("inner", step("out"))
    made.edge("out", "outer", when="done")
    made.limit("inner", then=then, **limit)

    assert [node.name for node in made.compile().nodes if node.counts_turns] == counts


def test_then_must_stand_outside_of_what_is_withdrawn() -> None:
    made = loop()
    made.limit("a", turns=3, then="b")

    assert codes(made) == ["then-inside"]


def test_then_of_a_whole_graph_must_not_have_run_before() -> None:
    made = loop()
    made.limit(steps=3, then="c")

    assert codes(made) == ["then-shared"]


def test_then_of_a_whole_graph_stands_apart() -> None:
    made = loop()
    made.limit(steps=3, then=step("report"))
    made.edge("report", step("last"))

    assert made.compile().caps[0].edge is not None


# -- races -------------------------------------------------------------------------------------------------


def test_members_of_a_race_know_each_other() -> None:
    made = graph("a", "b", "c")
    made.race("a", "b", "c")
    made.race("a", "c")
    plan = made.compile()
    a, b, c = (plan.by_name[name].index for name in "abc")

    assert plan.rivals == {
        a: (frozenset({b, c}), frozenset({c})),
        b: (frozenset({a, c}),),
        c: (frozenset({a, b}), frozenset({a})),
    }


def test_members_stand_side_by_side() -> None:
    made = loop()
    made.race("a", "c")
    assert codes(made) == ["race-apart"]

    part: Graph[Part] = Graph(Part, name="part")
    part.start([step("x"), step("y")])
    each = graph()
    each.each("a", "items", part)
    each.edge("a", step("b"))
    each.race("part", "b")
    assert codes(each) == ["race-apart"]  # the graph stands in the body of the each


def test_members_do_not_lead_to_each_other() -> None:
    made = graph("a")
    made.chain("a", step("b"), step("c"))
    made.race("a", "c")
    assert codes(made) == ["race-in-line"]


def test_one_node_is_named_once() -> None:
    made = graph("a", "b")
    made.race("a", "b", "a")
    assert codes(made) == ["race-twice"]


def test_races_in_a_row_are_fine_and_in_a_circle_are_not() -> None:
    made = graph("a", "b")
    made.edge("a", step("c"))
    made.edge("a", step("d"))
    made.race("a", "b")
    made.race("c", "d")
    made.compile()

    circle = graph("a", "b", "c", "d")
    circle.edge("a", step("x"))
    circle.edge("a", "c")
    circle.edge("d", "b")
    circle.edge("x", END)
    circle.race("a", "b")
    circle.race("c", "d")
    assert codes(circle) == ["race-circle"]
