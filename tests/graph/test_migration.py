"""What a graph says about its older versions is checked when it is compiled."""

from __future__ import annotations

from typing import Any

import pytest

from orchestra_graph import Graph, GraphError, State, later, node


class Doc(State):
    text: str = ""
    size: int = later()


@node(writes="size")
async def measure(text: str) -> int:
    return len(text)


def graph(version: str = "3") -> Graph[Doc]:
    made = Graph(Doc, name="doc", version=version)
    made.start(measure)
    return made


def length(old: Any) -> str:
    return "long"


def problems(made: Graph[Doc]) -> list[str]:
    with pytest.raises(GraphError) as caught:
        made.compile()
    return [problem.code for problem in caught.value.problems]


def test_names_that_are_there_and_values_that_fit_are_right() -> None:
    made = graph()
    made.migrate("1", nodes={"a": "b", "gone": None}, fields={"x": "y", "old": None})
    made.migrate("2", nodes={"b": "measure"}, fields={"y": "text", "size": lambda old: len(old["y"])})
    assert [one.version for one in made.compile().migrations] == ["1", "2"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"nodes": {"a": "mesure"}}, "migration-name"),
        ({"fields": {"x": "txt"}}, "migration-name"),
        ({"fields": {"sise": len}}, "migration-name"),
        ({"fields": {"size": length}}, "migration-type"),
    ],
)
def test_what_is_not_there_or_does_not_fit_is_a_problem_of_the_line_that_says_it(said: Any, code: str) -> None:
    made = graph()
    made.migrate("1", **said)
    with pytest.raises(GraphError) as caught:
        made.compile()
    (problem,) = caught.value.problems
    assert (problem.code, problem.where.partition(".py")[0].endswith("test_migration")) == (code, True)


def test_a_name_that_nearly_is_one_is_proposed() -> None:
    made = graph()
    made.migrate("1", nodes={"a": "mesure"})
    with pytest.raises(GraphError, match="Did you mean 'measure'"):
        made.compile()


def test_a_version_is_migrated_from_once_and_not_from_itself() -> None:
    made = graph()
    made.migrate("1")
    made.migrate("1")
    assert problems(made) == ["migration-version"]
    made = graph(version="1")
    made.migrate("1")
    assert problems(made) == ["migration-version"]


def test_what_is_said_later_is_compiled_anew() -> None:
    made = graph()
    assert made.compile().migrations == ()
    made.migrate("1", nodes={"a": "measure"})
    assert len(made.compile().migrations) == 1


def test_a_version_is_a_text() -> None:
    with pytest.raises(TypeError, match=r"graph\.migrate\('1', \.\.\.\)"):
        graph().migrate(1)  # type: ignore[arg-type]
