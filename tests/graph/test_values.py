"""Which members can be visible where."""

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, ask, node
from orchestra_graph.graph.question import Question
from orchestra_graph.graph.reads import UNWRITTEN, Read, path_of
from orchestra_graph.graph.subject import Subject
from orchestra_graph.graph.values import Values
from orchestra_graph.state.reducers import append, last
from orchestra_graph.state.schema import State, later


class Colour(Enum):
    RED = 1
    BLUE = 2


class Order(BaseModel):
    paid: bool = False


class Job(State):
    text: str
    kind: Literal["a", "b"] | None = None
    colour: Colour = later()
    order: Order = later()
    maybe: Order | None = None
    wrong: Order = None  # type: ignore[assignment]
    notes: Annotated[list[str], append] = later()
    newest: Annotated[int | None, last] = None


@node
def first(text: str) -> None: ...


@node(writes="kind")
def sort(text: str) -> Literal["a", "b"]:
    return "a"


@node(writes="colour")
def paint(text: str) -> Colour:
    return Colour.RED


@node(writes="order")
def find(text: str) -> Order:
    return Order()


@node(writes="maybe")
def look(text: str) -> Order | None:
    return None


@node(writes="kind")
def vague(text: str) -> Any: ...


@node(writes="notes")
def note(text: str) -> str:
    return text


@node(writes="newest")
def count(text: str) -> int:
    return 1


@ask(writes="kind")
def choose(text: str) -> Question[Literal["a", "b"]] | None:
    return None


A, B, NONE = Literal["a"], Literal["b"], type(None)


def made(*steps: Any) -> Graph[Job]:
    graph = Graph(Job, name="job")
    graph.start(steps[0])
    graph.chain(*steps, END)
    return graph


def seen(graph: Graph[Job], where: str, path: str, *, after: bool = True) -> tuple[Any, ...]:
    subject = Subject(graph.compile(), "")
    vertex = subject.plan.by_name[where].index
    wanted = Read(vertex=vertex, path=path_of(path), after=after, who="", where="")
    tracked = Read(vertex=vertex, path=path_of(path), after=True, who="", where="")
    return Values(subject.plan, subject.waves, [wanted, tracked]).possible(wanted)


def test_what_is_there_at_the_start() -> None:
    graph = made(first)

    assert seen(graph, "first", "kind") == (A, B, NONE)
    assert seen(graph, "first", "order") == (UNWRITTEN,)
    assert seen(graph, "first", "text") == (str,)
    assert seen(graph, "first", "order.paid") == ()


def test_a_default_that_does_not_fit_counts() -> None:
    assert seen(made(first), "first", "wrong") == (Order, NONE)


def test_a_write_replaces_what_was_there() -> None:
    graph = made(sort, find, paint)

    assert seen(graph, "paint", "kind") == (A, B)
    assert seen(graph, "paint", "order") == (Order,)
    assert seen(graph, "paint", "colour") == (Literal[Colour.RED], Literal[Colour.BLUE])
    assert seen(graph, "paint", "order.paid") == (Literal[True], Literal[False])
    assert seen(graph, "paint", "colour", after=False) == (UNWRITTEN,)


def test_a_question_that_may_ask_nobody_leaves_what_was_there() -> None:
    assert seen(made(choose), "choose", "kind") == (A, B, NONE)


def test_a_write_of_an_unknown_type_can_be_all_that_the_field_can() -> None:
    assert seen(made(vague), "vague", "kind") == (A, B, NONE)


def test_a_field_with_a_reducer_has_its_own_type_and_with_last_that_of_the_write() -> None:
    assert seen(made(note), "note", "notes") == (list[str],)
    assert seen(made(count), "count", "newest") == (int,)


def test_a_case_tells_the_value_and_the_default_what_it_is_not() -> None:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.switch(first, "kind", {"a": sort, None: paint}, default=find)

    assert seen(graph, "sort", "kind", after=False) == (A,)
    assert seen(graph, "paint", "kind", after=False) == (NONE,)
    assert seen(graph, "find", "kind", after=False) == (B,)


def test_a_case_names_one_of_all_texts() -> None:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.switch(first, "text", {"yes": sort}, default=find)

    assert seen(graph, "sort", "text", after=False) == (Literal["yes"],)
    assert seen(graph, "find", "text", after=False) == (str,)


def test_a_condition_tells_that_a_value_is_set() -> None:
    graph = Graph(Job, name="job")
    graph.start(look)
    graph.edge(look, find, when="maybe")
    graph.edge(look, sort, otherwise=True)

    assert seen(graph, "find", "maybe", after=False) == (Order,)
    assert seen(graph, "sort", "maybe", after=False) == (Order, NONE)


def test_behind_a_join_everything_that_may_come_counts() -> None:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(first, sort, when="text")
    graph.edge(first, paint, otherwise=True)
    graph.edge([sort, paint], find)

    assert seen(graph, "find", "kind") == (A, B, NONE)


@pytest.mark.parametrize("wanted", [Any, Order, Order | None])
def test_a_read_that_cannot_fail_is_not_followed(wanted: Any) -> None:
    subject = Subject(made(first).compile(), "")
    read = Read(vertex=1, path=("text",), wanted=str, who="", where="")

    assert Values(subject.plan, subject.waves, [read]).possible(read) == ()


def test_a_way_is_told_by_which_a_value_comes() -> None:
    subject = Subject(made(first, look, paint).compile(), "")
    read = Read(vertex=3, path=("maybe",), wanted=Order, who="", where="")
    values = Values(subject.plan, subject.waves, [read])

    assert values.possible(read) == (Order, NONE)
    assert values.walk(read, NONE) == (2, 3)
