"""What may stand where a value is chosen, and what cannot."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from orchestra_graph.errors import GraphError
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.choices import wrong_with
from orchestra_graph.graph.node import node
from orchestra_graph.graph.policies import until
from orchestra_graph.state.schema import Schema

from .nested import Outer, inner, step

SCHEMA = Schema.of(Outer)


def plain(text: str) -> bool:
    return bool(text)


async def awaited(text: str) -> bool:
    return bool(text)


def misspelled(txt: str) -> bool:
    return bool(txt)


class Asks:
    def __call__(self, text: str) -> bool:
        return bool(text)


class Awaits:
    async def __call__(self, text: str) -> bool:
        return bool(text)


def name_of(value: Any) -> str:
    """The same in every process, which the text of a function is not."""
    return str(value) if isinstance(value, str | int) else getattr(value, "__name__", type(value).__name__)


@pytest.mark.parametrize(
    "choice", ["text", "text.size", plain, Asks(), lambda text, log: True, lambda: True], ids=name_of
)
def test_a_field_a_path_and_a_function_of_fields_are_fine(choice: Any) -> None:
    assert wrong_with(choice, SCHEMA, "after 'a'", "here") is None


@pytest.mark.parametrize(
    ("choice", "code", "says"),
    [
        (3, "bad-choice", "3 is neither a field, a dotted path nor a function of fields"),
        (None, "bad-choice", "None is neither"),
        ("txt", "unknown-parameter", "the path 'txt' after 'a' reads 'txt', which is no field of Outer. Did you mean"),
        ("txt.size", "unknown-parameter", "the path 'txt.size' after 'a' reads 'txt'"),
        (misspelled, "unknown-parameter", "the function misspelled after 'a' reads 'txt'"),
        (awaited, "bad-choice", "the function awaited after 'a' is async"),
        (partial(awaited), "bad-choice", "is async"),
        (Awaits(), "bad-choice", "the function Awaits after 'a' is async"),
        (type, "bad-choice", "the parameters of <class 'type'> cannot be read"),
    ],
    ids=name_of,
)
def test_everything_else_is_a_problem(choice: Any, code: str, says: str) -> None:
    problem = wrong_with(choice, SCHEMA, "after 'a'", "here")

    assert problem is not None
    assert (problem.code, problem.where) == (code, "here")
    assert problem.what.startswith(says) or says in problem.what


@node(writes="log")
async def say(what: str) -> str:
    return what


def graph() -> Graph[Outer]:
    made = Graph(Outer, name="made")
    made.start(step("a"))
    return made


def on_edges(made: Graph[Outer], choice: Any) -> None:
    made.edge("a", [step("b"), step("c")], when=choice)


def at_a_switch(made: Graph[Outer], choice: Any) -> None:
    made.switch("a", choice, {"x": step("b")}, default=step("c"))


def at_an_each(made: Graph[Outer], choice: Any) -> None:
    made.each("a", choice, step("b"))


def at_a_join(made: Graph[Outer], choice: Any) -> None:
    made.start(step("b"))
    made.edge(["a", "b"], step("c"))
    made.join("c", until(choice))


def into_a_node(made: Graph[Outer], choice: Any) -> None:
    made.edge("a", made.add(say, inputs={"what": choice}))


def into_a_graph(made: Graph[Outer], choice: Any) -> None:
    made.edge("a", made.add(inner(), inputs={"note": choice}))


@pytest.mark.parametrize(
    ("choice", "code"), [(3, "bad-choice"), (awaited, "bad-choice"), ("txt", "unknown-parameter")], ids=name_of
)
@pytest.mark.parametrize(
    "place", [on_edges, at_a_switch, at_an_each, at_a_join, into_a_node, into_a_graph], ids=lambda f: f.__name__
)
def test_wherever_a_value_is_chosen_it_is_said_once(
    place: Callable[[Graph[Outer], Any], None], choice: Any, code: str
) -> None:
    made = graph()
    place(made, choice)

    with pytest.raises(GraphError) as caught:
        made.compile()
    assert [problem.code for problem in caught.value.problems] == [code]
    assert caught.value.problems[0].where.startswith(__file__)


def test_of_a_graph_inside_its_own_state_is_named() -> None:
    inside = inner()
    inside.edge("keep", step("more"), when="drft")
    made = graph()
    made.edge("a", inside)

    with pytest.raises(
        GraphError, match=r"after 'inner/keep' reads 'drft', which is no field of Inner\. Did you mean 'draft'"
    ):
        made.compile()
