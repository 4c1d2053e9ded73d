"""Everything that a graph reads."""

from typing import Any, Literal

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.edges import Group
from orchestra_graph.graph.node import END, Item, node
from orchestra_graph.graph.reads import UNWRITTEN, Read, asked_of, choice_type, path_of, reads_of, takes_several
from orchestra_graph.state.schema import Schema, State


class Job(State):
    text: str
    parts: list[str] = []
    topics: list[Literal["a", "b"]] = []
    done: bool = False


@node
def first(text: str, done: bool) -> None: ...


@node
def part(item: Item[str], text: str) -> None: ...


def long(text: str) -> bool:
    return len(text) > 9


def graph() -> Graph[Job]:
    made = Graph(Job, name="job")
    made.start(first)
    made.edge(first, first, when=long)
    made.switch(first, "done", {True: END, False: END})
    made.each(first, "parts", part)
    return made


def test_parameters_conditions_switches_and_eaches_are_read() -> None:
    found = [(r.vertex, r.path, r.wanted, r.after, r.through, r.who) for r in reads_of(graph().compile())]

    after = "after 'first'"
    assert found == [
        (1, ("text",), str, False, False, "'first'"),
        (1, ("done",), bool, False, False, "'first'"),
        (2, ("text",), str, False, False, "'part'"),
        (1, ("text",), str, True, False, f"the function long of the when {after}"),
        (1, ("done",), Any, True, False, f"the path 'done' of the switch {after}"),
        (1, ("parts",), Any, True, True, f"the path 'parts' of the each {after}"),
    ]


def test_a_path_is_read_step_by_step_and_a_condition_need_not_find_its_end() -> None:
    class Deep(State):
        a: dict[str, dict[str, int]] = {}

    @node
    def only(a: dict[str, dict[str, int]]) -> None: ...

    made = Graph(Deep, name="deep")
    made.start(only)
    made.edge(only, END, when="a")

    assert [r.path for r in reads_of(made.compile())] == [("a",)]
    assert [a.kind for a in asked_of(made.compile())] == ["when"]


def test_a_read_refuses_what_is_not_there_or_does_not_fit() -> None:
    read = Read(vertex=1, path=("text",), wanted=int, who="", where="")
    through = Read(vertex=1, path=("text",), through=True, who="", where="")

    assert read.refuses(UNWRITTEN)
    assert read.refuses(str)
    assert not read.refuses(bool)
    assert through.refuses(type(None))
    assert not through.refuses(str)


def test_what_a_choice_gives() -> None:
    schema = Schema.of(Job)

    assert choice_type(schema, "done") is bool
    assert choice_type(schema, long) is bool
    assert choice_type(schema, lambda text: text) is Any
    assert choice_type(schema, "text.nothing") is Any
    assert path_of("a.b") == ("a", "b")


def test_a_switch_over_a_list_takes_several() -> None:
    schema = Schema.of(Job)

    assert takes_several(schema, Group(kind="switch", edges=(), choice="topics"))
    assert not takes_several(schema, Group(kind="switch", edges=(), choice="done"))
    assert not takes_several(schema, Group(kind="each", edges=(), choice="topics"))
