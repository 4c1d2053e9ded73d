"""Switches over everything that has an end of values, and what is known behind them."""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Literal

from pydantic import BaseModel
from typing_extensions import TypedDict

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, ask, node
from orchestra_graph.graph.question import Question
from orchestra_graph.state.schema import State, later
from tests.graph.correct.corpus import program


class Colour(Enum):
    RED = 1
    BLUE = 2


class Kind(StrEnum):
    BILLING = "billing"
    BUG = "bug"


class Order(BaseModel):
    id: str
    paid: bool = False
    owner: "Owner | None" = None

    @property
    def size(self) -> Literal["small", "large"]:
        return "small"


class Owner(BaseModel):
    name: str
    trusted: bool = False


class Info(TypedDict):
    level: Literal[1, 2]


@dataclass(frozen=True)
class Score:
    good: bool


class Case(State):
    text: str
    colour: Colour = later()
    kind: Kind = later()
    order: Order | None = None
    found: Order = later()
    info: Info = later()
    score: Score = later()
    topics: list[Literal["tax", "law"]] = []
    mood: str = "calm"
    answer: bool | None = None
    reply: str = ""


@node(writes="colour")
def paint(text: str) -> Colour:
    return Colour.RED


@node(writes="kind")
def sort(text: str) -> Kind:
    return Kind.BUG


@node(writes="order")
def find(text: str) -> Order | None:
    return None


@node(writes="reply")
def say(text: str) -> str:
    return text


@node(writes="reply")
def pay(order: Order) -> str:
    return order.id


@node(writes="reply")
def sorry(order: None) -> str:
    return ""


@program
def over_an_enum() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(paint)
    graph.switch(paint, "colour", {Colour.RED: say, Colour.BLUE: END})
    return graph


@program
def over_a_text_enum_by_its_texts() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(sort)
    graph.switch(sort, "kind", {"billing": say, "bug": END})
    return graph


@program
def none_led_away_before_the_value_is_used() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(find)
    graph.switch(find, "order", {None: sorry}, default=pay)
    return graph


@program
def a_condition_that_says_it_is_set() -> Graph[Any]:
    graph = Graph(Case, name="case")
    graph.start(find)
    graph.edge(find, pay, when="order")
    graph.edge(find, say, otherwise=True)
    return graph


@program
def a_path_behind_a_check_for_none() -> Graph[Any]:
    @node
    def look(order: Order) -> None: ...

    @node
    def look_closer(order: Order) -> None: ...

    graph = Graph(Case, name="case")
    graph.start(find)
    graph.switch(find, "order", {None: END}, default=look)
    graph.switch(look, "order.owner", {None: say}, default=look_closer)
    graph.switch(look_closer, "order.owner.trusted", {True: pay, False: say})
    return graph


@program
def over_a_property_a_key_and_a_dataclass() -> Graph[Any]:
    class All(TypedDict):
        found: Order
        info: Info
        score: Score

    @node
    def load(text: str) -> All:
        return {"found": Order(id=text), "info": {"level": 1}, "score": Score(good=True)}

    @node
    def second(text: str) -> None: ...

    @node
    def third(text: str) -> None: ...

    graph = Graph(Case, name="case")
    graph.start(load)
    graph.switch(load, "found.size", {"small": second, "large": third})
    graph.switch(second, "info.level", {1: say, 2: END})
    graph.switch(third, "score.good", {True: say, False: END})
    return graph


@program
def over_what_the_writers_can_write() -> Graph[Any]:
    @node(writes="mood")
    def feel(text: str) -> Literal["glad", "sad"]:
        return "sad"

    graph = Graph(Case, name="case")
    graph.start(feel)
    graph.switch(feel, "mood", {"glad": say, "sad": END})
    return graph


@program
def over_an_optional_bool() -> Graph[Any]:
    @ask(writes="answer")
    def maybe(text: str) -> Question[bool] | None:
        return None

    graph = Graph(Case, name="case")
    graph.start(maybe)
    graph.switch(maybe, "answer", {True: say, False: END, None: END})
    return graph


@program
def over_a_function_and_over_one_that_gives_any_text() -> Graph[Any]:
    def long(text: str) -> bool:
        return len(text) > 9

    def first_letter(text: str) -> str:
        return text[0]

    @node
    def second(text: str) -> None: ...

    graph = Graph(Case, name="case")
    graph.start(say)
    graph.switch(say, long, {True: second, False: END})
    graph.switch(second, first_letter, {"a": END}, default=END)
    return graph


@program
def over_a_list_of_topics() -> Graph[Any]:
    @node
    def tax(text: str) -> None: ...

    @node
    def law(text: str) -> None: ...

    @node(writes="reply")
    def both(text: str) -> str:
        return text

    graph = Graph(Case, name="case")
    graph.start(say)
    graph.switch(say, "topics", {"tax": tax, "law": law})
    graph.edge([tax, law], both)
    return graph


@program
def each_case_writes_the_same_field() -> Graph[Any]:
    @node(writes="reply")
    def red(text: str) -> str:
        return text

    @node(writes="reply")
    def blue(text: str) -> str:
        return text

    @node
    def end(reply: str) -> None: ...

    graph = Graph(Case, name="case")
    graph.start(paint)
    graph.switch(paint, "colour", {Colour.RED: red, Colour.BLUE: blue})
    graph.edge([red, blue], end)
    return graph
