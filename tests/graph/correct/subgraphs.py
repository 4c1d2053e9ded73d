"""Graphs in graphs, and nodes that are wired otherwise than their names say."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel

from orchestra_graph import END, Graph, Item, Patch, Question, State, append, ask, node
from orchestra_graph.state.schema import later
from tests.graph.correct.corpus import program


class Order(BaseModel):
    id: str = ""
    total: Decimal = Decimal(0)


class Shop(State):
    text: str
    order: Order = later()
    orders: list[Order] = [Order(id="a"), Order(id="b")]
    found: Annotated[list[str], append] = []
    verdict: Literal["yes", "no"] = later()
    allowed: bool = later()
    note: str = ""
    more: bool = False
    report: str = later()


class Review(State):
    order: Order = later()
    draft: str = later()
    note: str = ""
    rounds: int = 0
    verdict: Literal["yes", "no"] = later()


class Check(State):
    subject: Item[Order]
    hint: str = "none"
    found: Annotated[list[str], append] = []
    seen: str = later()


class Count(State):
    words: str
    number: int = later()


@node(writes="order")
def find(text: str) -> Order:
    return Order(id=text)


@node(writes="report")
def tell(verdict: Literal["yes", "no"]) -> str:
    return verdict


@node(writes="draft")
def write(order: Order) -> str:
    return order.id


@node(writes="verdict")
def judge(draft: str) -> Literal["yes", "no"]:
    return "yes"


def review() -> Graph[Review]:
    graph = Graph(Review, name="review")
    graph.start(write)
    graph.edge(write, judge)
    return graph


def count() -> Graph[Count]:
    @node(writes="number")
    def count_words(words: str) -> int:
        return len(words.split())

    graph = Graph(Count, name="count")
    graph.start(count_words)
    return graph


@program
def a_graph_that_shares_fields() -> Graph[Any]:
    graph = Graph(Shop, name="shop")
    inner = review()
    graph.start(find)
    graph.chain(find, inner, tell)
    return graph


@program
def a_graph_as_the_work_of_an_each() -> Graph[Any]:
    @node(writes="seen")
    def look(subject: Order) -> str:
        return subject.id

    @node(writes="found")
    def keep(seen: str, hint: str) -> str:
        return seen + hint

    @node(writes="report")
    def sum_up(found: list[str]) -> str:
        return ", ".join(found)

    check = Graph(Check, name="check")
    check.start(look)
    check.edge(look, keep)
    graph = Graph(Shop, name="shop")
    graph.start(find)
    graph.each(find, "orders", check, collect=sum_up)
    return graph


@program
def a_graph_in_a_loop() -> Graph[Any]:
    @node(writes="more")
    def again(verdict: Literal["yes", "no"]) -> bool:
        return False

    graph = Graph(Shop, name="shop")
    inner = review()
    graph.start(find)
    graph.chain(find, inner, again)
    graph.switch(again, "more", {True: inner, False: tell})
    return graph


@program
def a_graph_with_a_loop_of_its_own() -> Graph[Any]:
    @node(writes="rounds")
    def turn(rounds: int) -> int:
        return rounds + 1

    def enough(rounds: int) -> bool:
        return rounds > 1

    inner = Graph(Review, name="rounds")
    inner.start(write)
    inner.chain(write, judge, turn)
    inner.switch(turn, enough, {True: END, False: write})
    graph = Graph(Shop, name="shop")
    graph.start(find)
    graph.chain(find, inner, tell)
    return graph


@program
def a_graph_that_is_given_its_fields() -> Graph[Any]:
    @node
    def show(note: str) -> None: ...

    def size(report: str) -> str:
        return report * 2

    counting = Graph(Shop, name="shop")
    first = counting.add(count(), name="first", inputs={"words": "order.id"}, outputs={"number": "found"})
    del first
    graph = Graph(Shop, name="shop")
    graph.start(find)
    graph.edge(find, tell_report)
    second = graph.add(count(), name="second", inputs={"words": size})
    graph.chain(tell_report, second, show)
    return graph


@node(writes="report")
def tell_report(text: str) -> str:
    return text


class Totals(State):
    text: str
    numbers: Annotated[list[int], append] = []
    total: int = 0


@program
def what_a_graph_gives_is_one_operand() -> Graph[Any]:
    @node(writes="total")
    def add_up(numbers: list[int]) -> int:
        return sum(numbers)

    graph = Graph(Totals, name="totals")
    one = graph.add(count(), name="one", inputs={"words": "text"}, outputs={"number": "numbers"})
    two = graph.add(count(), name="two", inputs={"words": "text"}, outputs={"number": "numbers"})
    graph.start([one, two])
    graph.edge([one, two], add_up)
    return graph


@program
def a_graph_in_a_graph_in_a_graph() -> Graph[Any]:
    middle = Graph(Review, name="middle")
    inner = review()
    middle.start(inner)
    graph = Graph(Shop, name="shop")
    graph.start(find)
    graph.chain(find, middle, tell)
    return graph


@program
def one_graph_side_by_side_with_itself() -> Graph[Any]:
    @node(writes="found")
    def keep(number: int) -> str:
        return str(number)

    class Side(State):
        text: str
        number: int = later()
        found: Annotated[list[str], append] = []

    @node(writes="number")
    def measure(text: str) -> int:
        return len(text)

    side = Graph(Side, name="side")
    side.start(measure)
    side.edge(measure, keep)
    graph = Graph(Shop, name="shop")
    left = graph.add(side, name="left")
    right = graph.add(side, name="right")
    graph.start([left, right])
    return graph


@program
def a_person_in_a_graph_before_what_cannot_be_undone() -> Graph[Any]:
    class Approval(State):
        order: Order = later()
        allowed: bool = later()

    @ask(writes="allowed")
    def approve(order: Order) -> Question[bool]:
        return Question(order.id)

    @node(effect="irreversible")
    def pay(order: Order, allowed: bool) -> None: ...

    inner = Graph(Approval, name="approval")
    inner.start(approve)
    graph = Graph(Shop, name="shop")
    graph.start(find)
    graph.chain(find, inner, pay)
    return graph


@program
def a_graph_that_ends_early() -> Graph[Any]:
    class Look(State):
        text: str
        hit: bool = False
        note: str = ""

    @node(writes="hit")
    def try_one(text: str) -> bool:
        return True

    @node(writes="note")
    def found(text: str) -> str:
        return text

    @node
    def try_other(text: str) -> None: ...

    inner = Graph(Look, name="look")
    inner.start([try_one, try_other])
    inner.edge(try_one, found, when="hit")
    inner.terminate(found)
    graph = Graph(Shop, name="shop")
    graph.start(inner)
    graph.edge(inner, tell_report)
    return graph


# -- wired otherwise -------------------------------------------------------------------------------------


@program
def a_node_with_other_fields() -> Graph[Any]:
    @node(writes="report")
    def shorten(words: str) -> str:
        return words[:3]

    def both(text: str, report: str) -> str:
        return text + report

    graph = Graph(Shop, name="shop")
    one = graph.add(shorten, name="one", inputs={"words": "text"})
    two = graph.add(shorten, name="two", inputs={"words": both}, outputs="note")
    graph.start(one)
    graph.edge(one, two)
    return graph


@program
def a_patch_with_other_fields() -> Graph[Any]:
    class Found(Patch[Shop]):
        title: str
        more: bool = False

    @node
    def look(name: str) -> Found:
        return Found(title=name)

    graph = Graph(Shop, name="shop")
    graph.start(find)
    looking = graph.add(look, inputs={"name": "order.id"}, outputs={"title": "report"})
    graph.edge(find, looking)
    return graph


@program
def branches_in_a_graph_that_join_in_it() -> Graph[Any]:
    class Both(State):
        text: str
        one: str = later()
        two: str = later()
        note: str = ""

    @node(writes="one")
    def left(text: str) -> str:
        return text

    @node(writes="two")
    def right(text: str) -> str:
        return text

    @node(writes="note")
    def join(one: str, two: str) -> str:
        return one + two

    inner = Graph(Both, name="both")
    inner.start([left, right])
    inner.edge([left, right], join)
    graph = Graph(Shop, name="shop")
    graph.start(tell_report)
    graph.edge(tell_report, inner)
    return graph
