"""Writes of the wrong type."""

from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import ask, node
from orchestra_graph.graph.question import Question
from orchestra_graph.state.patch import Patch
from orchestra_graph.state.reducers import add, append, extend, reducer
from orchestra_graph.state.schema import State, later
from tests.graph.mistakes.corpus import mistake


@reducer
def merge(known: dict[str, int], new: dict[str, int]) -> dict[str, int]:
    return {**known, **new}


class Job(State):
    text: str
    total: Decimal = later()
    lines: Annotated[list[str], append] = []
    parts: Annotated[list[str], extend] = []
    cost: Annotated[int, add] = 0
    counts: Annotated[dict[str, int], merge] = {}
    allowed: bool = later()


class Plan(Patch[Job]):
    total: str


class Pair(NamedTuple):
    total: Decimal
    allowed: str


def alone(step: Any) -> Graph[Any]:
    graph = Graph(Job, name="job")
    graph.start(step)
    return graph


@mistake("wrong-type-written", "node 'price' writes total: str, but Job.total is Decimal", "-> Decimal")
def text_for_a_number() -> Graph[Any]:
    @node(writes="total")  # here
    def price(text: str) -> str:
        return text

    return alone(price)


@mistake("wrong-type-written", "writes total: Decimal | None, but Job.total is Decimal", "-> Decimal")
def perhaps_none() -> Graph[Any]:
    @node(writes="total")  # here
    def price(text: str) -> Decimal | None:
        return None

    return alone(price)


@mistake("wrong-type-written", "append takes one element of Job.lines: str", "-> str")
def list_for_append() -> Graph[Any]:
    @node(writes="lines")  # here
    def note(text: str) -> list[str]:
        return [text]

    return alone(note)


@mistake("wrong-type-written", "extend takes a list of elements of Job.parts: list[str]", "-> list[str]")
def element_for_extend() -> Graph[Any]:
    @node(writes="parts")  # here
    def note(text: str) -> str:
        return text

    return alone(note)


@mistake("wrong-type-written", "writes parts: list[int]", "-> list[str]")
def wrong_elements_for_extend() -> Graph[Any]:
    @node(writes="parts")  # here
    def note(text: str) -> list[int]:
        return [1]

    return alone(note)


@mistake("wrong-type-written", "writes cost: float, but Job.cost is int", "-> int")
def wrong_number_for_add() -> Graph[Any]:
    @node(writes="cost")  # here
    def pay(text: str) -> float:
        return 0.5

    return alone(pay)


@mistake("wrong-type-written", "the reducer merge of Job.counts takes dict[str, int]", "-> dict[str, int]")
def wrong_operand_for_a_reducer() -> Graph[Any]:
    @node(writes="counts")  # here
    def count(text: str) -> dict[str, str]:
        return {}

    return alone(count)


@mistake("wrong-type-written", "writes total: str, but Job.total is Decimal", "total: Decimal")
def wrong_member_of_a_patch() -> Graph[Any]:
    @node  # here
    def plan(text: str) -> Plan:
        return Plan(total="")

    return alone(plan)


@mistake("wrong-type-written", "writes allowed: str, but Job.allowed is bool", "allowed: bool")
def wrong_member_of_a_named_tuple() -> Graph[Any]:
    @node  # here
    def plan(text: str) -> Pair:
        return Pair(Decimal(1), "")

    return alone(plan)


@mistake("wrong-type-written", "writes allowed: str, but Job.allowed is bool", "-> Question[bool]")
def wrong_answer() -> Graph[Any]:
    @ask(writes="allowed")  # here
    def approve(text: str) -> Question[str]:
        return Question(text)

    return alone(approve)
