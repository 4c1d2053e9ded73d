"""Where tokens get lost, as a plan says it."""

from typing import Any

from orchestra_graph import Graph, State, first, node
from orchestra_graph.graph.losses import losses_of
from orchestra_graph.graph.plan import Plan


class Case(State):
    text: str
    again: bool = False


@node
def begin(text: str) -> None: ...


@node
def left(text: str) -> None: ...


@node
def right(text: str) -> None: ...


@node
def after(text: str) -> None: ...


@node
def last(text: str) -> None: ...


def at(plan: Plan, *names: str) -> set[int]:
    return {plan.by_name[name].index for name in names}


def test_the_losers_of_a_race_and_what_leads_only_to_them() -> None:
    graph: Graph[Any] = Graph(Case, name="case")
    graph.start([begin, right])
    graph.edge(begin, left)
    graph.race(left, right)
    graph.edge([left, right], last)
    plan = graph.compile()

    (race,) = losses_of(plan, lambda v: True).races

    assert race.regions == ()
    assert set(map(frozenset, race.lost)) == {frozenset(at(plan, "begin", "left")), frozenset(at(plan, "right"))}


def test_a_join_that_does_without_a_branch() -> None:
    graph: Graph[Any] = Graph(Case, name="case")
    graph.start([left, right])
    graph.edge([left, right], last)
    graph.join(last, first())
    plan = graph.compile()

    assert losses_of(plan, lambda v: True).vertices == at(plan, "left", "right")


def test_limits_that_lead_on() -> None:
    graph: Graph[Any] = Graph(Case, name="case")
    graph.start(begin)
    graph.edge(begin, left)
    graph.edge(left, begin, when="again")
    graph.limit(begin, turns=3, then=last)
    graph.limit(begin, seconds=9, then=after)
    graph.limit(left, steps=5)
    plan = graph.compile()

    turns, seconds = losses_of(plan, lambda v: True).limits

    assert (turns.counts, turns.in_turn, seconds.counts, seconds.in_turn) == (True, True, False, False)
    assert turns.members == seconds.members == at(plan, "begin", "left")
    assert {plan.edges[e].target for e in (turns.edge, seconds.edge)} == at(plan, "last", "after")


def test_graphs_that_may_end_early() -> None:
    inner: Graph[Any] = Graph(Case, name="inner")
    inner.start([left, right])
    inner.terminate(left)
    graph: Graph[Any] = Graph(Case, name="case")
    graph.start(inner)
    graph.edge(inner, last)
    plan = graph.compile()

    (ending,) = losses_of(plan, lambda v: True).ends

    assert {ending.enter} == at(plan, "inner")
    assert {ending.leave} == at(plan, "inner/END")
    assert ending.lost == at(plan, "inner/right")
