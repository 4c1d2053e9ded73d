"""Declaring a graph."""

import contextlib
import inspect
from datetime import timedelta
from typing import Any

import pytest

from orchestra_graph.errors import GraphError
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, Item, node
from orchestra_graph.graph.policies import Limits, Retry, all_of
from orchestra_graph.state.schema import State


class Job(State):
    text: str
    parts: list[str] = []
    done: bool = False


@node
def first(text: str) -> None: ...


@node
def second(text: str) -> None: ...


@node
def part(item: Item[str]) -> None: ...


def graph() -> Graph[Job]:
    made = Graph(Job, name="job")
    made.start(first)
    return made


def edges(made: Graph[Any]) -> list[tuple[str, str, str]]:
    plan = made.compile()
    return [(plan.nodes[e.source].name, e.kind, plan.nodes[e.target].name) for e in plan.edges]


def problem(made: Graph[Any]) -> str:
    with pytest.raises(GraphError) as caught:
        made.compile()
    return caught.value.problems[0].code


def test_a_bare_node_adds_itself() -> None:
    made = graph()
    made.edge(first, second)

    assert list(made.steps) == ["first", "second"]
    assert edges(made) == [("START", "always", "first"), ("first", "always", "second"), ("second", "drop", "END")]


def test_several_sources_and_targets_are_all_connected() -> None:
    other = node(name="other")(second.fn)
    made = graph()
    made.edge(first, [second, other])
    made.edge([second, other], END)

    assert edges(made)[1:] == [
        ("first", "always", "second"),
        ("first", "always", "other"),
        ("second", "always", "END"),
        ("other", "always", "END"),
    ]


def test_a_node_is_named_by_itself_by_its_handle_or_by_its_name() -> None:
    made = graph()
    again = made.add(first, name="again")
    made.edge("first", again)
    made.edge(again, second)

    assert edges(made)[1:3] == [("first", "always", "again"), ("again", "always", "second")]
    assert repr(again) == "<again>"


def test_a_chain_is_a_line_of_edges() -> None:
    made = Graph(Job, name="job")
    made.start(first)
    made.chain(first, second, END)

    assert edges(made)[1:] == [("first", "always", "second"), ("second", "always", "END")]


def test_a_switch_and_an_each_are_groups_of_their_own() -> None:
    made = graph()
    made.switch(first, "done", {True: END, False: second})
    made.each(second, "parts", part, collect=END, limit=3)

    plan = made.compile()

    assert [g.kind for g in plan.by_name["first"].groups] == ["switch"]
    (group,) = plan.by_name["second"].groups
    assert (group.kind, group.choice, group.limit) == ("each", "parts", 3)
    assert edges(made)[1:3] == [("first", "case", "END"), ("first", "case", "second")]


def test_the_line_of_the_call_is_kept() -> None:
    made = graph()
    here = inspect.currentframe()
    assert here is not None
    made.edge(first, second)
    line = here.f_lineno - 1

    edge = made.compile().edges[1]

    assert edge.where == f"{__file__}:{line}"


def test_a_chain_keeps_the_line_of_its_own_call() -> None:
    made = graph()
    made.chain(first, second)

    assert made.compile().edges[1].where.startswith(__file__)


def test_a_plan_is_made_once_and_again_after_a_change() -> None:
    made = graph()
    plan = made.compile()

    assert made.compile() is plan
    made.edge(first, second)
    assert made.compile() is not plan


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g.start(second),
        lambda g: g.add(second),
        lambda g: g.switch(first, "done", {True: END, False: END}),
        lambda g: g.each(first, "parts", part),
        lambda g: g.limit(first, turns=2),
        lambda g: g.edge(first, second, on_error=ValueError),
        lambda g: g.join(first, all_of()),
        lambda g: g.race(first, second),
        lambda g: g.terminate(first),
    ],
)
def test_every_declaration_asks_for_a_new_plan(change: Any) -> None:
    made = graph()
    plan = made.compile()
    change(made)

    with contextlib.suppress(GraphError):
        assert made.compile() is not plan


def test_misuse_is_refused_at_once() -> None:
    made: Any = graph()

    with pytest.raises(TypeError, match="an edge has one of"):
        made.edge(first, second, when="done", otherwise=True)
    with pytest.raises(TypeError, match="@node must be the outermost decorator"):
        made.add(len)


@pytest.mark.parametrize(
    ("declare", "error", "says"),
    [
        (lambda g: g.limit(first, turns=0), ValueError, "a limit is more than 0"),
        (lambda g: g.limit(first, seconds=timedelta(0)), ValueError, "a limit is more than 0"),
        (lambda g: g.limit(first), TypeError, "takes turns="),
        (lambda g: g.limit(first, then=second), TypeError, "takes turns="),
        (lambda g: g.limit(turns=3), TypeError, "takes turns= \\(of a node\\)"),
        (lambda g: g.race(first), TypeError, "two nodes, or more"),
        (lambda g: g.race(), TypeError, "two nodes, or more"),
        (lambda g: g.join(first, 3), TypeError, "a rule is expected"),
        (lambda g: g.join(first, all_of), TypeError, "a rule is expected"),
        (lambda g: g.terminate(first, status="well"), ValueError, "it is 'done' or 'failed'"),
        (lambda g: g.edge(first, second, on_error="KeyError"), TypeError, "exception types are expected"),
        (lambda g: g.edge(first, second, on_error=(KeyError, 3)), TypeError, "exception types are expected"),
        (lambda g: g.edge(first, second, on_error=KeyError("a")), TypeError, "exception types are expected"),
        (lambda g: g.edge(first, second, on_error=KeyError, when="done"), TypeError, "one of when="),
        (lambda g: g.edge(first, second, on_error=KeyError, otherwise=True), TypeError, "one of when="),
        (lambda g: g.add(Graph(Job, name="x"), timeout=3), TypeError, "for nodes, not for a graph"),
    ],
)
def test_what_can_be_seen_at_once_is_refused_at_once(declare: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        declare(graph())


def test_an_empty_tuple_of_errors_is_refused() -> None:
    with pytest.raises(TypeError, match="exception types are expected"):
        graph().edge(first, second, on_error=())


def test_what_was_added_keeps_its_options_and_the_node_its_own() -> None:
    made = graph()
    handle = made.add(second, name="slow", timeout=timedelta(seconds=5), retry=Retry(attempts=3), effect="pure")
    made.edge(first, handle)

    options = made.compile().by_name["slow"].options
    assert (options.timeout, options.retry.attempts, options.effect) == (5, 3, "pure")
    assert second.options.timeout is None
    assert handle.what is not second


def test_the_same_thing_added_twice_under_one_name_is_one_and_wired_otherwise_is_a_problem() -> None:
    made = graph()
    made.add(second)
    made.add(second)
    made.edge(first, second)
    assert "second" in made.compile().by_name

    made.add(second, inputs={"text": "text"})
    assert problem(made) == "name-taken"


def test_a_graph_is_named_by_itself_by_its_handle_or_by_its_name() -> None:
    inner = Graph(Job, name="inner")
    inner.start(second)
    made = graph()
    made.edge(first, inner)
    made.edge("inner", made.add(inner, name="again"))

    assert edges(made)[1:3] == [("first", "always", "inner"), ("inner/END", "always", "again")]
    assert made.steps["inner"] is inner


def test_a_change_of_a_graph_inside_asks_for_a_new_plan() -> None:
    inner = Graph(Job, name="inner")
    inner.start(second)
    made = graph()
    made.edge(first, inner)
    plan = made.compile()
    inner.edge(second, node(name="more")(second.fn))

    assert made.compile() is not plan
    assert "inner/more" in made.compile().by_name


def test_every_number_of_a_limit_is_a_limit_of_its_own() -> None:
    made = graph()
    made.edge(first, first, when="done")
    made.limit(first, turns=3, steps=9, seconds=timedelta(minutes=1), then=second)

    caps = made.compile().caps
    assert [(cap.kind, cap.allowed) for cap in caps] == [("turns", 3), ("steps", 9), ("seconds", 60)]


def test_the_handle_of_another_graph_is_a_problem() -> None:
    other = Graph(Job, name="other")
    handle = other.add(second)
    made = graph()
    made.edge(first, handle)

    assert problem(made) == "foreign-handle"


def test_a_graph_stands_where_a_node_stands() -> None:
    inner = Graph(Job, name="inner")
    inner.start(second)
    made: Any = graph()
    made.edge(first, inner)

    assert "inner/second" in made.compile().by_name


def test_what_is_no_node_is_a_problem() -> None:
    made: Any = graph()
    made.edge(first, 3)

    assert problem(made) == "no-node"


def test_limits_are_kept() -> None:
    made = Graph(Job, name="job", version="2", limits=Limits(turns=7, steps=3))
    made.start(first)
    made.edge(first, first, when="done")
    made.limit("first", turns=5)

    plan = made.compile()

    assert plan.limits == Limits(turns=7, steps=3)
    assert plan.by_name["first"].turns == 5
    assert plan.version == "2"
    assert repr(made) == "<graph job>"
