"""The edges between the vertices: which there are, in which groups, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.connect import Connections, connect
from orchestra_graph.graph.edges import Renamed
from orchestra_graph.graph.layout import lay_out
from orchestra_graph.graph.node import END
from orchestra_graph.graph.policies import all_of, first, until

from .nested import Outer, inner, outer, step


def connected(graph: Graph[Any]) -> tuple[list[str], Connections]:
    layout = lay_out(graph.declaration)
    return layout.names, connect(layout)


def drawn(graph: Graph[Any]) -> list[str]:
    names, made = connected(graph)
    return [f"{names[e.source]} -{e.kind}-> {names[e.target]}" for e in made.edges]


def codes(graph: Graph[Any]) -> list[str]:
    return [problem.code for problem in connected(graph)[1].problems]


def line(*more: str) -> Graph[Outer]:
    graph = Graph(Outer, name="line")
    graph.start(step("a"))
    graph.chain("a", *[step(name) for name in more])
    return graph


def test_edges_lead_to_the_entry_of_a_graph_and_leave_from_its_exit() -> None:
    assert drawn(outer()) == [
        "START -always-> begin",
        "begin -always-> inner",
        "inner/END -always-> END",
        "inner -always-> inner/write",
        "inner/write -always-> inner/keep",
        "inner/keep -drop-> inner/END",
    ]


def test_end_inside_of_a_graph_is_the_end_of_that_graph() -> None:
    made = inner()
    made.edge("keep", END, when="draft")
    graph = Graph(Outer, name="outer")
    graph.start(made)

    assert "inner/keep -when-> inner/END" in drawn(graph)
    assert "inner/END -drop-> END" in drawn(graph)


def test_errors_are_groups_of_their_own_in_declared_order() -> None:
    graph = line("b")
    graph.edge("a", [step("x"), step("y")], on_error=(KeyError, ValueError))
    graph.edge("a", "x", on_error=Exception)
    names, made = connected(graph)
    groups = made.groups[names.index("a")]

    assert [(g.kind, [names[made.edges[e].target] for e in g.edges]) for g in groups] == [
        ("error", ["x", "y"]),
        ("error", ["x"]),
        ("edges", ["b"]),
    ]
    assert made.edges[groups[0].edges[0]].label == "KeyError or ValueError"
    assert [group.kind for group in made.follows(names.index("a"))] == ["edges"]


def test_a_node_with_nothing_but_an_error_edge_still_ends() -> None:
    graph = line()
    graph.edge("a", step("x"), on_error=ValueError)

    assert "a -drop-> END" in drawn(graph)


@pytest.mark.parametrize(
    ("number", "label"),
    [({"turns": 1}, "after 1 turn"), ({"steps": 3}, "after 3 steps"), ({"seconds": 2.5}, "after 2.5 seconds")],
)
def test_a_limit_has_an_edge_where_it_leads_on(number: Any, label: str) -> None:
    graph = line("a")
    graph.limit("a", then=step("after"), **number)
    names, made = connected(graph)
    [bound] = made.bounds
    assert bound.edge is not None
    edge = made.edges[bound.edge]

    assert (names[edge.source], names[edge.target], edge.kind, edge.label) == ("a", "after", "limit", label)
    assert made.groups[edge.source][-1].kind == "limit"


def test_a_limit_without_then_has_none() -> None:
    graph = line("a")
    graph.limit("a", turns=3)
    graph.limit(steps=10)
    bounds = connected(graph)[1].bounds

    assert [(b.vertex, b.edge, b.then) for b in bounds] == [(1, None, None), (0, None, None)]


def test_a_limit_of_a_whole_graph_leaves_from_before_it() -> None:
    made = inner()
    made.limit(steps=9, then=step("rescue"))
    graph = Graph(Outer, name="outer")
    graph.start(made)

    assert "inner -limit-> inner/rescue" in drawn(graph)


def test_rules_are_of_the_vertex_to_which_edges_lead() -> None:
    graph = outer()
    graph.join("inner", first(2))
    names, made = connected(graph)

    assert [(names[v], str(rule)) for v, (rule, _) in made.rules.items()] == [("inner", "first(2)")]


def test_a_predicate_inside_of_a_graph_is_in_the_names_of_the_plan() -> None:
    def drafted(draft: str) -> bool:
        return bool(draft)

    made = inner()
    made.edge("write", step("other"))
    made.edge("other", "keep")
    made.join("keep", until(drafted, cancel_rest=True))
    graph = Graph(Outer, name="outer")
    graph.start(made)
    [(rule, _)] = connected(graph)[1].rules.values()

    assert isinstance(rule.predicate, Renamed)
    assert (rule.predicate.names, rule.cancel_rest) == ({"draft": "inner/draft"}, True)


def test_a_race_is_of_the_entries_and_an_end_of_the_exit() -> None:
    graph = outer()
    graph.edge("begin", step("x"))
    graph.race("inner", "x")
    graph.terminate("x")
    names, made = connected(graph)

    assert [[names[v] for v in race] for race, _ in made.races] == [["inner", "x"]]
    assert {names[v]: status for v, status in made.ends.items()} == {"x": "done"}


# -- what is wrong -------------------------------------------------------------------------------------------


def refused(code: str, change: Any) -> None:
    graph = outer()
    change(graph)
    assert code in codes(graph)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("edge-from-end", lambda g: g.edge(END, "begin")),
        ("join-end", lambda g: g.join(END, all_of())),
        ("two-rules", lambda g: (g.join("inner", all_of()), g.join("inner", first()))),
        ("end-goes-on", lambda g: g.terminate("begin")),
        ("unknown-node", lambda g: g.race("begin", "nobody")),
        ("unknown-node", lambda g: g.limit("nobody", turns=2)),
        ("unknown-node", lambda g: g.limit("begin", turns=2, then="nobody")),
        ("unknown-node", lambda g: g.terminate("nobody")),
        ("unknown-node", lambda g: g.join("nobody", all_of())),
        ("unknown-node", lambda g: g.edge("begin", "nobody", on_error=ValueError)),
        ("bad-choice", lambda g: g.join("inner", until(3))),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_meant(code: str, change: Any) -> None:
    refused(code, change)


def test_only_the_outermost_graph_ends_as_failed() -> None:
    made = inner()
    made.terminate("keep", status="failed")
    graph = Graph(Outer, name="outer")
    graph.start(made)

    assert codes(graph) == ["end-inside"]
    assert codes(made) == []


def test_the_errors_of_a_graph_leave_from_its_exit() -> None:
    graph = outer()
    graph.edge("inner", step("mend"), on_error=(KeyError, ValueError))

    assert "inner/END -error-> mend" in drawn(graph)
    assert codes(graph) == []
