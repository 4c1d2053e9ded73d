"""What is said of runs of older versions."""

from collections.abc import Mapping
from typing import Any

from orchestra_graph import Graph, State, node
from orchestra_graph.state.schema import later
from tests.graph.mistakes.corpus import mistake


class Letter(State):
    text: str
    size: int = later()


@node(writes="size")
def measure(text: str) -> int:
    return len(text)


def letters(version: str = "2") -> Graph[Letter]:
    graph = Graph(Letter, name="letters", version=version)
    graph.start(measure)
    return graph


@mistake("migration-name", "leads to the node 'mesure', which is not there. Did you mean 'measure'?", '"measure"')
def a_migration_to_a_node_that_is_not_there() -> Graph[Any]:
    graph = letters()
    graph.migrate("1", nodes={"count": "mesure"})  # here
    return graph


@mistake("migration-name", "leads to the field 'txt', which is not there", '"text"')
def a_migration_to_a_field_that_is_not_there() -> Graph[Any]:
    graph = letters()
    graph.migrate("1", fields={"body": "txt"})  # here
    return graph


@mistake("migration-type", "gives 'size' a str, and it takes a int", "-> int")
def a_migration_that_gives_another_type() -> Graph[Any]:
    def size(old: Mapping[str, Any]) -> str:
        return str(old["text"])

    graph = letters()
    graph.migrate("1", fields={"size": size})  # here
    return graph


@mistake("migration-version", "migrate('2') is from the graph's own version", "Graph(..., version=...)")
def a_migration_from_the_version_itself() -> Graph[Any]:
    graph = letters()
    graph.migrate("2", nodes={"count": "measure"})  # here
    return graph
