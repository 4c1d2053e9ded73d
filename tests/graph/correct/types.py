"""Types of every kind, postponed annotations, patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Protocol, TypedDict

from pydantic import BaseModel, Field

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import Resource, node
from orchestra_graph.state.patch import Patch
from orchestra_graph.state.reducers import extend, reducer
from orchestra_graph.state.schema import State, later
from tests.graph.correct.corpus import program

UserId = NewType("UserId", str)


class Document(BaseModel):
    title: str


class Invoice(Document):
    total: Decimal = Decimal(0)


@reducer
def merge(known: dict[str, int], new: Mapping[str, int]) -> dict[str, int]:
    return {**known, **new}


class Research(State):
    question: str
    user: UserId = UserId("")
    asked: date | None = None
    plan: str = later()
    steps: list[str] = later()
    notes: Annotated[list[str], extend] = []
    documents: list[Document] = []
    share: float = 0
    counts: Annotated[dict[str, int], merge] = {}
    age: Annotated[int, Field(ge=0)] = 0
    answer: str | None = None
    anything: Any = None


class Plan(Patch[Research]):
    plan: str
    steps: list[str]
    answer: str | None = None


class Found(TypedDict):
    plan: str
    steps: NotRequired[list[str]]


class Pair(NamedTuple):
    plan: str
    share: float


class Search(Protocol):
    def find(self, text: str) -> list[str]: ...


@node
def make_plan(question: str) -> Plan:
    return Plan(plan="", steps=[])


@node(writes="notes")
def take_notes(plan: str, steps: Sequence[str], search: Annotated[Search, Resource]) -> list[str]:
    return search.find(plan)


@program
def a_patch() -> Graph[Any]:
    graph = Graph(Research, name="research")
    graph.start(make_plan)
    graph.edge(make_plan, take_notes)
    return graph


@program
def a_typed_dict_and_a_named_tuple() -> Graph[Any]:
    @node
    def plan_it(question: str) -> Found:
        return {"plan": question}

    @node
    def weigh(plan: str) -> Pair:
        return Pair(plan, 1)

    @node
    def read_all(state: Research) -> None: ...

    graph = Graph(Research, name="research")
    graph.start(plan_it)
    graph.chain(plan_it, weigh, read_all)
    return graph


@program
def wider_and_narrower_types() -> Graph[Any]:
    @node(writes="documents")
    def load(question: str) -> list[Invoice]:
        return []

    @node(writes="share")
    def count(documents: Sequence[Document]) -> int:
        return len(documents)

    @node(writes="answer")
    def answer(share: float, user: str, age: int, anything: object) -> str:
        return ""

    @node
    def use(answer: str, share: int | float, question: str | None) -> None: ...

    graph = Graph(Research, name="research")
    graph.start(load)
    graph.chain(load, count, answer, use)
    return graph


@program
def a_reducer_of_ones_own() -> Graph[Any]:
    @node(writes="counts")
    def count(question: str) -> Mapping[str, int]:
        return {}

    @node(writes="counts")
    def count_more(question: str) -> dict[str, int]:
        return {}

    graph = Graph(Research, name="research")
    graph.start([count, count_more])
    return graph


@program
def written_on_every_way_though_none_by_default() -> Graph[Any]:
    @node(writes="answer")
    def short(question: str) -> str:
        return question

    @node(writes="answer")
    def long(question: str) -> Literal["a", "b"]:
        return "a"

    @node
    def send(answer: str) -> None: ...

    def brief(question: str) -> bool:
        return len(question) < 9

    @node
    def ask_first(question: str) -> None: ...

    graph = Graph(Research, name="research")
    graph.start(ask_first)
    graph.edge(ask_first, short, when=brief)
    graph.edge(ask_first, long, otherwise=True)
    graph.edge([short, long], send)
    return graph


@program
def classes_local_to_a_factory() -> Graph[Any]:
    class Local(BaseModel):
        name: str

    class LocalState(State):
        question: str
        local: Local = later()

    @node(writes="local")
    def make(question: str) -> Local:
        return Local(name=question)

    @node
    def use(local: Local) -> None: ...

    graph = Graph(LocalState, name="local")
    graph.start(make)
    graph.edge(make, use)
    return graph
