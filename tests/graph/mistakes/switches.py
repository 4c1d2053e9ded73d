"""Cases that are missing, and cases that cannot be."""

from enum import Enum
from typing import Any, Literal

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, node
from orchestra_graph.state.schema import State
from tests.graph.mistakes.corpus import mistake


class Colour(Enum):
    RED = 1
    BLUE = 2


class Case(State):
    text: str
    kind: Literal["billing", "bug", "other"] | None = None
    colour: Colour = Colour.RED
    ok: bool = False
    topics: list[Literal["tax", "law"]] = []


@node(writes="kind")
def classify(text: str) -> Literal["billing", "bug", "other"]:
    return "bug"


@node
def work(text: str) -> None: ...


@mistake("unhandled-case", "over kind has no case for 'other'", 'graph.switch(classify, "kind", {..., "other": ...})')
def literal_left_out() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(classify)
    graph.switch(classify, "kind", {"billing": work, "bug": END})  # here
    return graph


@mistake("unhandled-case", "no case for None; None can come by start -> work", "None: ...")
def none_left_out() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(work)
    graph.switch(work, "kind", {"billing": END, "bug": END, "other": END})  # here
    return graph


@mistake("unhandled-case", "no case for Colour.BLUE", "Colour.BLUE: ...")
def member_of_an_enum_left_out() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(work)
    graph.switch(work, "colour", {Colour.RED: END})  # here
    return graph


@mistake("unhandled-case", "over ok has no case for False", "False: ...")
def false_left_out() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(work)
    graph.switch(work, "ok", {True: END})  # here
    return graph


@mistake("unhandled-case", "over what long returns has no case for False", "False: ...")
def result_of_a_function_left_out() -> Graph[Any]:
    def long(text: str) -> bool:
        return len(text) > 9

    graph = Graph(Case, name="case")
    graph.start(work)
    graph.switch(work, long, {True: END})  # here
    return graph


@mistake("unhandled-case", "over topics has no case for 'law'", '"law": ...')
def topic_left_out() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(work)
    graph.switch(work, "topics", {"tax": classify})  # here
    return graph


@mistake("needs-default", "over text has no default, and str has no end of values", "default=...)")
def texts_without_a_default() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(work)
    graph.switch(work, "text", {"a": END})  # here
    return graph


@mistake("needs-default", "has no default, and nobody knows what it can be", "default=...)")
def lambda_without_a_default() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(work)
    graph.switch(work, lambda text: text[0], {"a": END})  # checker: reportUnknownLambdaType  # here
    return graph


@mistake("impossible-case", "has a case 'biling', which it can never be. Did you mean 'billing'?", "'billing', 'bug'")
def misspelled_value() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(classify)
    graph.switch(classify, "kind", {"biling": work}, default=END)  # here
    return graph


@mistake("impossible-case", "has a case 1, which it can never be", "True, False")
def number_for_a_bool() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(work)
    graph.switch(work, "ok", {1: classify}, default=END)  # here
    return graph


@mistake("case-never-comes", "has a case None, but no node writes that before it", "Take the case out", "warning")
def case_that_no_node_writes() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(classify)
    graph.switch(classify, "kind", {None: work}, default=END)  # here
    return graph
