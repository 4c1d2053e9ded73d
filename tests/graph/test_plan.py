"""What a plan can be asked, above all about the graphs that stand in it."""

from __future__ import annotations

from typing import Annotated

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.plan import Plan
from orchestra_graph.state.reducers import append
from orchestra_graph.state.schema import State

from .nested import Outer, inner, names, outer, step


def nested() -> Plan:
    """``begin``, then ``middle`` with ``inner`` in it."""
    middle = Graph(Middle, name="middle")
    middle.start(inner())
    middle.edge("inner", step("rest"))
    graph = Graph(Outer, name="outer")
    graph.start(step("begin"))
    graph.edge("begin", middle)
    return graph.compile()


class Middle(State):
    text: str
    log: Annotated[list[str], append] = []
    aside: int = 0


def at(plan: Plan, name: str) -> int:
    return plan.by_name[name].index


def test_calls_are_told_by_their_path_the_outer_one_first() -> None:
    plan = nested()

    assert [call.name for call in plan.calls] == ["middle", "middle/inner"]
    middle, deep = plan.calls
    assert deep.members < middle.members
    assert [names(plan)[v] for v in (middle.enter, middle.leave)] == ["middle", "middle/END"]
    assert (middle.state, dict(middle.names)) == (Middle, {"text": "text", "log": "log", "aside": "middle/aside"})
    assert deep.private == ("middle/inner/note", "middle/inner/draft", "middle/inner/tags")


def test_a_vertex_knows_the_call_that_it_stands_in() -> None:
    plan = nested()
    inside = {node.name: None if node.call is None else plan.calls[node.call].name for node in plan.nodes}

    assert inside == {
        "START": None,
        "begin": None,
        "middle": None,  # before the inside
        "middle/inner": "middle",
        "middle/inner/write": "middle/inner",
        "middle/inner/keep": "middle/inner",
        "middle/inner/END": "middle/inner",  # the last of it
        "middle/rest": "middle",
        "middle/END": "middle",
        "END": None,
    }
    kinds = {name: plan.by_name[name].kind for name in ("middle", "middle/inner", "middle/END", "middle/rest")}
    assert kinds == {"middle": "enter", "middle/inner": "enter", "middle/END": "leave", "middle/rest": "work"}


def test_a_private_field_means_something_in_its_call_only() -> None:
    plan = nested()

    assert plan.own == ("text", "log", "items", "found", "done")
    assert [name for name in names(plan) if plan.sees(at(plan, name), "middle/inner/note")] == [
        "middle/inner/write",
        "middle/inner/keep",
        "middle/inner/END",
    ]
    assert not plan.sees(at(plan, "END"), "middle/aside")
    assert plan.sees(at(plan, "middle/inner/write"), "middle/aside")
    assert all(plan.sees(vertex, "text") for vertex in range(len(plan.nodes)))


def test_a_call_begins_and_ends_without_its_private_fields() -> None:
    plan = nested()

    assert plan.drops(at(plan, "middle")) == plan.drops(at(plan, "middle/END")) == ("middle/aside",)
    assert plan.drops(at(plan, "middle/rest")) == ()
    assert plan.opens[at(plan, "middle/inner")] is plan.calls[1]


def test_the_way_in_and_out_write_what_goes_over() -> None:
    plan = outer(inputs={"note": "text"}, outputs={"draft": "found"}).compile()
    enter, leave = plan.by_name["inner"], plan.by_name["inner/END"]

    assert (enter.reads, sorted(enter.writes.fields)) == (("text",), ["inner/note", "inner/tags"])
    assert (leave.reads, sorted(leave.writes.fields)) == (("inner/draft",), ["found"])
    assert leave.writes.fields["found"] is str
    assert enter.writes.certain == frozenset({"inner/note", "inner/tags"})
    assert enter.where == leave.where
    assert __file__.rpartition("/")[0] in enter.where


def test_what_counts_at_a_vertex() -> None:
    graph = outer()
    graph.edge("begin", "begin", when="done")
    graph.limit("begin", turns=3)
    graph.limit("begin", turns=2, then=step("after"))
    graph.limit("begin", steps=9)
    graph.limit(seconds=60)
    plan = graph.compile()
    begin = at(plan, "begin")

    assert plan.caps[plan.turned[begin]].allowed == 2
    assert [plan.caps[i].kind for i in plan.tallied[begin]] == ["steps", "seconds"]
    assert [plan.caps[i].kind for i in plan.tallied[at(plan, "inner/write")]] == ["seconds"]


def test_the_group_of_an_edge() -> None:
    graph = outer()
    graph.edge("begin", step("mend"), on_error=ValueError)
    plan = graph.compile()
    index = next(i for i, edge in enumerate(plan.edges) if edge.kind == "error")

    assert plan.group_of(index).kind == "error"
