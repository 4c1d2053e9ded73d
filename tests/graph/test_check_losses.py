"""What a run may take away, or never get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestra_graph import END, Graph, Item, State, first, node
from orchestra_graph.errors import GraphError


class Job(State):
    names: list[str] = []
    again: bool = False


@node(effect="irreversible", unattended=True)
async def pay() -> None: ...


@node
async def wait() -> None: ...


@node
async def begin() -> None: ...


@node
async def after() -> None: ...


@node
async def one(item: Item[str]) -> None: ...


def raced(graph: Graph[Job]) -> None:
    graph.start([pay, wait])
    graph.race(pay, wait)


def before_a_member(graph: Graph[Job]) -> None:
    graph.start([pay, wait])
    graph.chain(pay, after)
    graph.race(after, wait)


def inside_a_member(graph: Graph[Job]) -> None:
    inner = Graph(Job, name="inner")
    inner.start(pay)
    graph.start([inner, wait])
    graph.race(inner, wait)


def cancelled(graph: Graph[Job]) -> None:
    graph.start([pay, wait])
    graph.edge([pay, wait], after)
    graph.join(after, first(1, cancel_rest=True))


def cut_off(graph: Graph[Job]) -> None:
    graph.start(begin)
    graph.chain(begin, pay)
    graph.edge(pay, begin, when="again")
    graph.limit(pay, seconds=60, then=after)


def behind_a_race(graph: Graph[Job]) -> None:
    graph.start([begin, wait])
    graph.race(begin, wait)
    graph.edge(begin, pay)


def beside_a_race(graph: Graph[Job]) -> None:
    graph.start([begin, wait, pay])
    graph.race(begin, wait)


def leads_elsewhere_too(graph: Graph[Job]) -> None:
    graph.start([pay, wait])
    graph.edge(pay, END, when="again")
    graph.edge([pay, wait], after)
    graph.join(after, first(1, cancel_rest=True))


def waits_for_the_rest(graph: Graph[Job]) -> None:
    graph.start([pay, wait])
    graph.edge([pay, wait], after)
    graph.join(after, first(1))


def turns_of_a_line(graph: Graph[Job]) -> None:
    graph.start(begin)
    graph.chain(begin, pay)
    graph.edge(pay, begin, when="again")
    graph.limit(begin, turns=3, then=after)


def codes(declare: Callable[[Graph[Job]], None]) -> list[str]:
    graph = Graph(Job, name="job")
    declare(graph)
    try:
        graph.compile()
    except GraphError as error:
        return [problem.code for problem in error.problems]
    return []


@pytest.mark.parametrize(
    "declare", [raced, before_a_member, inside_a_member, cancelled, cut_off], ids=lambda f: f.__name__
)
def test_irreversible_work_that_may_be_withdrawn_is_refused(declare: Any) -> None:
    assert codes(declare) == ["irreversible-withdrawn"]


@pytest.mark.parametrize(
    "declare",
    [behind_a_race, beside_a_race, leads_elsewhere_too, waits_for_the_rest, turns_of_a_line],
    ids=lambda f: f.__name__,
)
def test_irreversible_work_that_is_let_end_is_left_in_peace(declare: Any) -> None:
    assert codes(declare) == []


def test_first_must_be_able_to_get_as_many_as_it_asks_for() -> None:
    def three_of_two(graph: Graph[Job]) -> None:
        graph.start([begin, wait])
        graph.edge([begin, wait], after)
        graph.join(after, first(3))

    assert codes(three_of_two) == ["first-too-many"]


def test_first_may_ask_for_more_than_its_edges_where_a_branch_comes_several_times() -> None:
    def of_an_each(graph: Graph[Job]) -> None:
        graph.start(begin)
        graph.each(begin, "names", one, collect=after)
        graph.join(after, first(3))

    def what_there_is(graph: Graph[Job]) -> None:
        graph.start([begin, wait])
        graph.edge([begin, wait], after)
        graph.join(after, first(3, short="fire"))

    def of_a_loop(graph: Graph[Job]) -> None:
        graph.start(begin)
        graph.edge(begin, begin, when="again")
        graph.edge([begin, wait], after)
        graph.edge(begin, wait)
        graph.join(after, first(3, short="error"))

    assert codes(of_an_each) == codes(what_there_is) == codes(of_a_loop) == []
