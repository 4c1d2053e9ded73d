"""Reads of what is not there, or of something else."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, Item, ask, node
from orchestra_graph.graph.question import Question
from orchestra_graph.state.patch import Patch
from orchestra_graph.state.reducers import last
from orchestra_graph.state.schema import State, later
from tests.graph.mistakes.corpus import mistake


class Owner(BaseModel):
    name: str


class Order(BaseModel):
    total: int = 0
    owner: Owner | None = None


class Ticket(State):
    text: str
    kind: Literal["billing", "bug"] = "bug"
    order: Order = later()
    known: Order | None = None
    given: Order | None
    parts: list[str] = []
    perhaps: list[str] | None = None
    newest: Annotated[Order, last] = later()
    number: int = 0
    reply: str = ""


class Found(Patch[Ticket]):
    reply: str
    order: Order = Order()


@node(writes="kind")
def classify(text: str) -> Literal["billing", "bug"]:
    return "bug"


@node(writes="order")
def find(text: str) -> Order:
    return Order()


@node(writes="reply")
def draft(text: str) -> str:
    return text


@node
def close(text: str) -> None: ...


@mistake("wrong-type-read", "'work' reads number: str, but Ticket.number is int", "number: int")
def number_read_as_text() -> Graph[Any]:
    @node  # here
    def work(number: str) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(work)
    return graph


@mistake("wrong-type-read", "reads parts: list[int], but Ticket.parts is list[str]", "parts: list[str]")
def other_elements() -> Graph[Any]:
    @node  # here
    def work(parts: list[int]) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(work)
    return graph


@mistake("wrong-type-read", "the function big of the when after 'classify' reads number: str", "number: int")
def number_read_as_text_by_a_condition() -> Graph[Any]:
    def big(number: str) -> bool:
        return number > "9"

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.edge(classify, close, when=big)  # here
    return graph


@mistake("wrong-type-read", "reads known: Order, but 'look' writes known: Order | None", "known: Order | None")
def none_that_a_node_may_have_written() -> Graph[Any]:
    @node(writes="known")
    def look(text: str) -> Order | None:
        return None

    @node  # here
    def use(known: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(look)
    graph.edge(look, use)
    return graph


@mistake("wrong-type-read", "reads given: Order, but given may be None on the way start -> use", "given: Order | None")
def none_that_may_have_been_given() -> Graph[Any]:
    @node  # here
    def use(given: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(use)
    return graph


@mistake(
    "read-before-write", "nothing has written it on the way start -> classify -> use", "graph.edge(classify, find)"
)
def unwritten_on_one_of_two_ways() -> Graph[Any]:
    @node  # here
    def use(order: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.switch(classify, "kind", {"billing": find, "bug": use})
    graph.edge(find, use)
    return graph


@mistake("read-before-write", "nothing has written it on the way start -> use", '@node(writes="order")')
def written_by_nobody() -> Graph[Any]:
    @node  # here
    def use(order: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(use)
    graph.edge(use, close)
    return graph


@mistake("read-before-write", "known may still be None on the way start -> classify -> use", "known: Order | None")
def none_by_default() -> Graph[Any]:
    @node(writes="known")
    def look(text: str) -> Order:
        return Order()

    @node  # here
    def use(known: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.switch(classify, "kind", {"billing": look, "bug": use})
    graph.edge(look, use)
    return graph


@mistake("read-before-write", "on the way start -> use", "graph.start(find)")
def written_only_in_a_later_turn() -> Graph[Any]:
    @node  # here
    def use(order: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(use)
    graph.edge(use, find, when="reply")
    graph.edge(find, use)
    return graph


@mistake("read-before-write", "on the way start -> classify -> close", "graph.edge(classify, find)")
def written_on_a_side_branch_that_never_joins() -> Graph[Any]:
    @node  # here
    def close(order: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.edge(classify, [find, close])
    return graph


@mistake("read-before-write", "on the way start -> classify -> close", "")
def written_in_the_body_of_an_each_that_may_be_empty() -> Graph[Any]:
    @node(writes="newest")
    def work(part: Item[str]) -> Order:
        return Order()

    @node  # here
    def close(newest: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.each(classify, "parts", work, collect=close)
    return graph


@mistake("read-before-write", "'close' reads order, but nothing has written it on the way start -> look -> close", "")
def left_out_of_a_patch() -> Graph[Any]:
    @node
    def look(text: str) -> Found:
        return Found(reply="")

    @node  # here
    def close(order: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(look)
    graph.edge(look, close)
    return graph


@mistake("read-before-write", "'close' reads order, but nothing has written it", "graph.edge(approve, find)")
def question_that_may_ask_nobody() -> Graph[Any]:
    @ask(writes="order")
    def approve(text: str) -> Question[Order] | None:
        return None

    @node  # here
    def close(order: Order) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(approve)
    graph.edge(approve, close)
    graph.edge(close, find)
    return graph


@mistake("read-before-write", "the path 'order.total' of the switch after 'classify' reads order", "find")
def unwritten_in_a_switch() -> Graph[Any]:
    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.switch(classify, "order.total", {1: find}, default=END)  # here
    return graph


@mistake("read-before-write", "the path 'order.owner' of the when after 'classify' reads order", "find")
def unwritten_in_a_condition() -> Graph[Any]:
    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.edge(classify, find, when="order.owner")  # here
    return graph


@mistake("unknown-path", "leads to 'totl', which Order has not. Did you mean 'total'?", "Order has: total, owner")
def misspelled_step() -> Graph[Any]:
    graph = Graph(Ticket, name="ticket")
    graph.start(find)
    graph.switch(find, "order.totl", {1: close}, default=END)  # here
    return graph


@mistake("unknown-path", "leads to 'size', which str has not", '"text"')
def step_into_a_text() -> Graph[Any]:
    graph = Graph(Ticket, name="ticket")
    graph.start(find)
    graph.edge(find, close, when="text.size")  # here
    return graph


@mistake(
    "none-in-path",
    "needs known, which may still be None: start -> classify",
    'graph.switch(classify, "known", {None: ...}',
)
def step_through_none() -> Graph[Any]:
    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.switch(classify, "known.total", {1: close}, default=END)  # here
    return graph


@mistake("none-in-path", "needs order.owner, which may be None: find", 'graph.switch(find, "order.owner", {None: ...}')
def step_through_an_inner_none() -> Graph[Any]:
    graph = Graph(Ticket, name="ticket")
    graph.start(find)
    graph.edge(find, close, when="order.owner.name")  # here
    return graph


@mistake("none-in-path", "the path 'perhaps' of the each after 'classify' needs perhaps", "perhaps")
def items_that_may_be_none() -> Graph[Any]:
    @node
    def work(part: Item[str]) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.each(classify, "perhaps", work)  # here
    return graph


@mistake("no-items", "the path 'text' of the each after 'classify' gives str", "list[str]")
def items_of_a_text() -> Graph[Any]:
    @node
    def work(part: Item[str]) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.each(classify, "text", work)  # here
    return graph


@mistake("no-items", "gives int", "list[int]")
def items_of_a_function_that_gives_a_number() -> Graph[Any]:
    def size(text: str) -> int:
        return len(text)

    @node
    def work(part: Item[str]) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.each(classify, size, work)  # here
    return graph


@mistake(
    "wrong-type-read", "takes part: Item[int], but each element of parts after 'classify' is str", "part: Item[str]"
)
def other_element() -> Graph[Any]:
    @node  # here
    def work(part: Item[int]) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.each(classify, "parts", work)
    return graph


@mistake("wrong-type-read", "takes part: Item[str], but each element of what sizes returns", "part: Item[int]")
def element_of_the_outer_each() -> Graph[Any]:
    def sizes(text: str) -> list[int]:
        return []

    @node
    def outer(part: Item[str]) -> None: ...

    @node  # here
    def inner(part: Item[str]) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.each(classify, "parts", outer)
    graph.each(outer, sizes, inner)
    return graph


@mistake(
    "item-outside-each", "takes part: Item[str], but it is in the body of no each", 'graph.each(..., "items", work'
)
def element_of_nothing() -> Graph[Any]:
    @node  # here
    def work(part: Item[str]) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.edge(classify, work)
    return graph


@mistake("unknown-parameter", "reads 'parcels', which is no field of Ticket", "")
def items_of_an_unknown_field() -> Graph[Any]:
    @node
    def work(part: Item[str]) -> None: ...

    graph = Graph(Ticket, name="ticket")
    graph.start(classify)
    graph.each(classify, "parcels", work)  # here
    return graph
