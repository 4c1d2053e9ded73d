"""Graphs that say what becomes of runs of their older versions."""

from collections.abc import Mapping
from typing import Any

from orchestra_graph import Graph, State, node
from orchestra_graph.state.schema import later
from tests.graph.correct.corpus import program


class Letter(State):
    text: str
    size: int = later()
    tags: list[str] = []


@node(writes="size")
def measure(text: str) -> int:
    return len(text)


def tags(old: Mapping[str, Any]) -> list[str]:
    return [str(old["tag"])]


def everything(old: Mapping[str, Any]) -> dict[str, Any]:
    return {"size": len(old["body"])}


@program
def migrations_that_follow_one_another() -> Graph[Any]:
    graph = Graph(Letter, name="letters", version="3")
    graph.start(measure)
    graph.migrate("1", nodes={"count": "weigh", "gone": None}, fields={"content": "body", "old": None})
    graph.migrate("2", nodes={"weigh": "measure"}, fields={"body": "text", "tags": tags}, state=everything)
    return graph
