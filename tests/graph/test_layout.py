"""Where everything stands: vertices of graphs in graphs, and what their fields are called."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from orchestra_graph.errors import GraphError
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.edges import Renamed
from orchestra_graph.graph.layout import Layout, lay_out
from orchestra_graph.graph.node import Item
from orchestra_graph.graph.plan import Transfer
from orchestra_graph.state.reducers import extend
from orchestra_graph.state.schema import State, later

from .nested import Inner, Outer, Part, inner, outer, step


def laid(graph: Graph[Any]) -> Layout:
    return lay_out(graph.declaration)


def codes(layout: Layout) -> list[str]:
    return [problem.code for problem in layout.problems]


def test_a_graph_is_an_entry_what_is_inside_and_an_exit() -> None:
    layout = laid(outer())

    assert layout.names == ["START", "begin", "inner", "inner/write", "inner/keep", "inner/END", "END"]
    root, frame = layout.frames
    assert (root.enter, root.leave, list(root.members)) == (0, 6, [1, 2, 3, 4, 5])
    assert (frame.enter, frame.leave, list(frame.members)) == (2, 5, [3, 4, 5])
    assert (root.entries["inner"], root.exits["inner"]) == (2, 5)  # edges lead to the one and leave from the other
    assert root.entries["begin"] == root.exits["begin"] == 1


def test_what_says_where_a_vertex_leads_is_the_graph_around_it() -> None:
    layout = laid(outer())
    root, frame = layout.frames

    assert [layout.within[v] is root for v in (1, 2, 5)] == [True] * 3
    assert [layout.within[v] is frame for v in (3, 4)] == [True] * 2
    assert [vertex for vertex, *_ in layout.nodes()] == [1, 3, 4]


def test_the_same_graph_twice_has_vertices_and_fields_of_its_own() -> None:
    graph = outer()
    graph.edge("inner", graph.add(inner("other")))

    layout = laid(graph)

    assert [n for n in layout.names if "write" in n] == ["inner/write", "other/write"]
    assert {f.path for f in layout.frames} == {"", "inner", "other"}
    assert {"inner/draft", "other/draft"} <= set(layout.schema.fields)


def test_names_of_nested_graphs_are_joined() -> None:
    middle = Graph(Outer, name="middle")
    middle.start(inner())
    graph = Graph(Outer, name="outer")
    graph.start(middle)

    layout = laid(graph)

    assert "middle/inner/write" in layout.names
    assert layout.frames[2].parent is layout.frames[1]
    assert "middle/inner/draft" in layout.schema.fields


def test_a_field_of_the_same_name_and_type_is_the_one_outside() -> None:
    layout = laid(outer())
    _, frame = layout.frames

    assert frame.fields == {
        "text": "text",
        "log": "log",
        "note": "inner/note",
        "draft": "inner/draft",
        "tags": "inner/tags",
    }
    assert [name for name, spec in layout.schema.fields.items() if spec.private] == [
        "inner/note",
        "inner/draft",
        "inner/tags",
    ]


def test_own_fields_begin_with_their_default_or_with_nothing() -> None:
    _, frame = laid(outer()).frames

    assert frame.fills == [Transfer(field="inner/note", kind="default"), Transfer(field="inner/tags", kind="default")]
    assert frame.gives == []


def test_inputs_and_outputs_are_in_the_names_of_the_plan() -> None:
    def shorten(text: str) -> str:
        return text[:3]

    _, frame = laid(outer(inputs={"note": "text", "text": shorten}, outputs={"draft": "found", "note": "text"})).frames

    assert frame.fields["text"] == "inner/text"  # what is given is its own, whatever stands outside
    assert frame.fills[:2] == [
        Transfer(field="inner/text", source=shorten),
        Transfer(field="inner/note", source="text"),
    ]
    assert frame.gives == [Transfer(field="found", source="inner/draft"), Transfer(field="text", source="inner/note")]


def test_an_item_field_takes_the_element() -> None:
    part = Graph(Part, name="part")
    part.start(step("look"))
    graph = Graph(Outer, name="outer")
    graph.start(step("begin"))
    graph.each("begin", "items", part)

    _, frame = laid(graph).frames

    assert frame.fills == [Transfer(field="part/element", kind="item")]


def test_paths_and_functions_are_named_anew() -> None:
    def both(text: str, note: str) -> str:
        return text + note

    def shared(text: str, log: list[str]) -> bool:
        return bool(text)

    root, frame = laid(outer()).frames

    assert frame.choice("draft.size") == "inner/draft.size"
    assert frame.choice("text.size") == "text.size"
    assert frame.choice("unknown.size") == "unknown.size"
    renamed = frame.choice(both)
    assert isinstance(renamed, Renamed)
    assert renamed.names == {"text": "text", "note": "inner/note"}
    assert renamed(**{"text": "a", "inner/note": "b"}) == "ab"
    assert renamed.__name__ == "both"
    assert frame.choice(shared) is shared
    assert root.choice(both) is both


# -- what is wrong -------------------------------------------------------------------------------------------


def test_one_name_with_two_types_must_be_told_apart() -> None:
    class Other(State):
        log: Annotated[list[str], extend] = []

    other = Graph(Other, name="other")
    other.start(step("look"))
    graph = Graph(Outer, name="outer")
    graph.start(other)
    layout = laid(graph)

    assert codes(layout) == ["subgraph-field"]
    assert "Annotated[list[str], extend]" in layout.problems[0].what
    apart: Graph[Outer] = Graph(Outer, name="outer")
    apart.start(apart.add(other, inputs={"log": "log"}))
    assert codes(laid(apart)) == []


def test_a_field_that_must_be_given_and_is_not() -> None:
    class Wanting(State):
        missing: int

    wanting = Graph(Wanting, name="wanting")
    wanting.start(step("look"))
    graph = Graph(Outer, name="outer")
    graph.start(wanting)

    assert codes(laid(graph)) == ["unfilled"]


@pytest.mark.parametrize(
    ("wired", "code"),
    [
        ({"inputs": {"nte": "text"}}, "unknown-input"),
        ({"outputs": {"drft": "found"}}, "unknown-output"),
        ({"outputs": {"draft": "fund"}}, "unknown-output"),
        ({"outputs": "found"}, "bad-outputs"),
    ],
)
def test_wires_that_lead_nowhere(wired: Any, code: str) -> None:
    assert codes(laid(outer(**wired))) == [code]


def test_a_graph_in_itself_is_refused_however_deep() -> None:
    graph, middle = Graph(Outer, name="graph"), Graph(Outer, name="middle")
    graph.start(middle)
    middle.start(graph)

    with pytest.raises(GraphError, match="stands in itself, as 'middle/graph'"):
        laid(graph)


def test_the_fields_of_a_graph_inside_must_be_storable() -> None:
    class Opaque:
        pass

    class Worse(State):
        model_config = {"arbitrary_types_allowed": True}
        thing: Opaque = later()

    odd = Graph(Worse, name="odd")
    odd.start(step("look"))
    graph = Graph(Outer, name="outer")
    graph.start(odd)

    assert codes(laid(graph)) == ["unstorable"]


def test_the_problems_of_a_graph_inside_are_told() -> None:
    made = inner()
    made.edge("keep", 3)  # type: ignore[call-overload]
    graph = Graph(Outer, name="outer")
    graph.start(made)

    assert codes(laid(graph)) == ["no-node"]


def test_an_inner_graph_needs_a_start() -> None:
    empty = Graph(Inner, name="empty")
    empty.add(step("look"))
    graph = Graph(Outer, name="outer")
    graph.start(empty)

    assert codes(laid(graph)) == ["no-start"]


class Element(State):
    inside: Annotated[Item[str], "marked"]


def test_an_item_may_be_marked_further() -> None:
    made = Graph(Element, name="element")
    made.start(step("look"))
    graph = Graph(Outer, name="outer")
    graph.start(step("begin"))
    graph.each("begin", "items", made)

    assert laid(graph).frames[1].fills[0].kind == "item"
