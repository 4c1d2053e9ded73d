"""Functions that cannot be nodes of the graph."""

from typing import Any, TypedDict

from pydantic import BaseModel

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import ask, node
from orchestra_graph.graph.question import Question
from orchestra_graph.state.patch import Patch
from orchestra_graph.state.schema import State
from tests.graph.mistakes.corpus import mistake


class Job(State):
    text: str
    total: int = 0
    done: bool = False


class Other(State):
    text: str


class Part(TypedDict):
    totl: int


class Plan(Patch[Other]):
    text: str


class Payments(BaseModel):
    url: str


def alone(step: Any) -> Graph[Any]:
    graph = Graph(Job, name="job")
    graph.start(step)
    return graph


@mistake(
    "unknown-parameter", "parameter 'totl' is no field of Job. Did you mean 'total'?", "Job has: text, total, done"
)
def misspelled_parameter() -> Graph[Any]:
    @node  # here
    def work(totl: int) -> None: ...

    return alone(work)


@mistake("unknown-parameter", "'payments'", "payments: Annotated[Payments, Resource]")
def unmarked_resource() -> Graph[Any]:
    @node  # here
    def work(payments: Payments) -> None: ...

    return alone(work)


@mistake("unannotated", "parameter 'text' has no annotation", "text: str")
def parameter_without_annotation() -> Graph[Any]:
    @node  # here
    def work(text) -> None: ...  # type: ignore[no-untyped-def]  # checker: reportMissingParameterType

    return alone(work)


@mistake("no-return-type", "no return annotation", "-> None")
def no_return_annotation() -> Graph[Any]:
    @node  # here
    def work(text: str):  # type: ignore[no-untyped-def]
        ...

    return alone(work)


@mistake("parameter-kind", "a catch-all", "")
def catch_all() -> Graph[Any]:
    @node  # here
    def work(*text: str) -> None: ...

    return alone(work)


@mistake("parameter-default", "parameter 'times' is no field, so its default would be all it ever gets", "")
def default_that_is_never_replaced() -> Graph[Any]:
    @node  # here
    def work(text: str, times: int = 3) -> None: ...

    return alone(work)


@mistake("undefined-name", "name Missing, which is not defined when the program runs", "TYPE_CHECKING")
def name_that_is_not_defined() -> Graph[Any]:
    @node  # here
    def work(text: "Missing") -> None: ...  # type: ignore[name-defined]  # checker: reportUndefinedVariable  # noqa: F821

    return alone(work)


@mistake("returns-nowhere", "does not say which field that is written to", '@node(writes="total")')
def result_that_goes_nowhere() -> Graph[Any]:
    @node  # here
    def work(text: str) -> int:
        return 1

    return alone(work)


@mistake(
    "unknown-field", "writes 'totl', which is no field of Job. Did you mean 'total'?", "Job has: text, total, done"
)
def misspelled_field() -> Graph[Any]:
    @node(writes="totl")  # here
    def work(text: str) -> int:
        return 1

    return alone(work)


@mistake("unknown-field", "writes 'totl'", "Job has: text, total, done")
def misspelled_field_in_a_patch() -> Graph[Any]:
    @node  # here
    def work(text: str) -> Part:
        return {"totl": 1}

    return alone(work)


@mistake("wrong-patch", "Plan is a patch of Other, not of Job", "")
def patch_of_another_state() -> Graph[Any]:
    @node  # here
    def work(text: str) -> Plan:
        return Plan(text=text)

    return alone(work)


@mistake("no-question", "an @ask function returns Question[the type of the answer]", "-> Question[bool]")
def question_without_a_type() -> Graph[Any]:
    @ask(writes="done")  # here
    def approve(text: str) -> Question:  # type: ignore[type-arg]  # checker: reportMissingTypeArgument
        return Question(text)

    return alone(approve)


@mistake("bad-name", "'two words' cannot be a node's name", "@node(name='...')")
def name_with_a_space() -> Graph[Any]:
    @node(name="two words")  # here
    def work(text: str) -> None: ...

    return alone(work)


@mistake("bad-name", "'END' cannot be a node's name", "@node(name='...')")
def name_that_is_taken_by_the_library() -> Graph[Any]:
    @node(name="END")  # here
    def work(text: str) -> None: ...

    return alone(work)


@mistake("name-taken", "two nodes are named 'work'", "second = graph.add(work, name='work_2')")
def two_nodes_of_one_name() -> Graph[Any]:
    def make(step: int) -> Any:
        @node
        def work(text: str) -> None: ...

        return work

    graph = Graph(Job, name="job")
    graph.start([make(1), make(2)])  # here
    return graph
