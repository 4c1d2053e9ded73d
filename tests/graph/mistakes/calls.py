"""Graphs in graphs, rewired nodes and views."""

from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel

from orchestra_graph import Graph, Item, Question, State, append, ask, extend, node
from orchestra_graph.state.schema import later
from tests.graph.mistakes.corpus import mistake


class Order(BaseModel):
    id: str = ""
    total: int = 0


class Shop(State):
    text: str
    order: Order = later()
    orders: list[Order] = []
    names: list[str] = []
    found: Annotated[list[str], append] = []
    note: str = later()
    mood: Literal["good", "bad"] | None = None
    report: str = later()
    done: bool = False
    size: int = 0


@node(writes="order")
def find(text: str) -> Order:
    return Order(id=text)


@node(writes="report")
def tell(text: str) -> str:
    return text


class Count(State):
    words: str
    number: int = later()


@node(writes="number")
def count_words(words: str) -> int:
    return len(words.split())


def count() -> Graph[Count]:
    graph = Graph(Count, name="count")
    graph.start(count_words)
    return graph


# -- graphs ----------------------------------------------------------------------------------------------


@mistake("unfilled", "field Count.words of graph 'count' must be given", 'inputs={"words": "..."}')
def a_field_that_nobody_gives() -> Graph[Any]:
    graph = Graph(Shop, name="shop")
    graph.start(count())  # here
    return graph


@mistake("subgraph-field", "graph 'other' has Other.text: int, and the graph around it has Shop.text: str", "text: str")
def one_name_for_two_types() -> Graph[Any]:
    class Other(State):
        text: int

    @node
    def look(text: int) -> None: ...

    inner = Graph(Other, name="other")
    inner.start(look)
    graph = Graph(Shop, name="shop")
    graph.start(inner)  # here
    return graph


@mistake("subgraph-field", "Annotated[list[str], extend]", 'inputs={"found": "found"}')
def one_name_for_two_reducers() -> Graph[Any]:
    class Other(State):
        found: Annotated[list[str], extend] = []

    @node(writes="found")
    def look(found: list[str]) -> list[str]:
        return found

    inner = Graph(Other, name="other")
    inner.start(look)
    graph = Graph(Shop, name="shop")
    graph.start(inner)  # here
    return graph


@mistake("recursion", "graph 'shop' stands in itself, as 'shop'", "await engine.start(graph, ...)")
def a_graph_in_itself() -> Graph[Any]:
    graph = Graph(Shop, name="shop")
    graph.start(find)
    graph.edge(find, graph)  # here
    return graph


@mistake("unknown-input", "names 'word', which is no field of Count. Did you mean 'words'?", "Count has: words, number")
def an_input_that_is_not_there() -> Graph[Any]:
    graph = Graph(Shop, name="shop")
    inner = graph.add(count(), inputs={"words": "text", "word": "text"})  # here
    graph.start(inner)
    return graph


@mistake("unknown-output", "names 'fond', which is no field of Shop. Did you mean 'found'?", "Shop has: text")
def an_output_that_goes_nowhere() -> Graph[Any]:
    graph = Graph(Shop, name="shop")
    inner = graph.add(count(), inputs={"words": "text"}, outputs={"number": "fond"})  # here
    graph.start(inner)
    return graph


@mistake("wrong-type-read", "graph 'count' reads orders: str, but Shop.orders is list[Order]", "orders: list[Order]")
def an_input_of_another_type() -> Graph[Any]:
    graph = Graph(Shop, name="shop")
    inner = graph.add(count(), inputs={"words": "orders"})  # here
    graph.start(inner)
    return graph


@mistake("wrong-type-read", "graph 'count' takes words: str, but size gives int", "def size(...) -> str: ...")
def a_function_that_gives_another_type() -> Graph[Any]:
    def size(text: str) -> int:
        return len(text)

    graph = Graph(Shop, name="shop")
    inner = graph.add(count(), inputs={"words": size})  # here
    graph.start(inner)
    return graph


@mistake(
    "wrong-type-written", "graph 'count' writes found: int, but append takes one element of Shop.found: str", "str"
)
def an_output_of_another_type() -> Graph[Any]:
    graph = Graph(Shop, name="shop")
    inner = graph.add(count(), inputs={"words": "text"}, outputs={"number": "found"})  # here
    graph.start(inner)
    return graph


@mistake(
    "read-before-write", "graph 'count' reads note, but nothing has written it on the way start -> count", "note: str"
)
def an_input_that_is_not_written_yet() -> Graph[Any]:
    graph = Graph(Shop, name="shop")
    inner = graph.add(count(), inputs={"words": "note"})  # here
    graph.start(inner)
    return graph


@mistake("unknown-path", "leads to 'idd', which Order has not. Did you mean 'id'?", "Order has: id, total")
def an_input_by_a_path_that_is_not_there() -> Graph[Any]:
    graph = Graph(Shop, name="shop")
    graph.start(find)
    inner = graph.add(count(), inputs={"words": "order.idd"})  # here
    graph.edge(find, inner)
    return graph


@mistake("read-before-write", "the end of graph 'count' reads count/number, but nothing has written it", "number")
def an_output_that_is_not_always_written() -> Graph[Any]:
    @node
    def look(words: str) -> None: ...

    inner = Graph(Count, name="count")
    inner.start(look)
    inner.edge(look, count_words, when="words")
    graph = Graph(Shop, name="shop")
    made = graph.add(inner, inputs={"words": "text"}, outputs={"number": "size"})  # here
    graph.start(made)
    return graph


@mistake(
    "read-before-write",
    "'count/look' reads count/number, but nothing has written it on the way count -> count/look",
    "graph.start(count_words)",
)
def a_field_of_the_turn_before() -> Graph[Any]:
    @node(writes="done")
    def again(text: str) -> bool:
        return True

    @node  # here
    def look(number: int) -> None: ...

    inner = Graph(Count, name="count")
    inner.start(look)
    inner.edge(look, count_words)
    graph = Graph(Shop, name="shop")
    made = graph.add(inner, inputs={"words": "text"})
    graph.start(made)
    graph.edge(made, again)
    graph.switch(again, "done", {True: tell, False: made})
    return graph


@mistake(
    "item-outside-each", "graph 'check' takes subject: Item[Order], but it is in the body of no each", "graph.each"
)
def a_graph_for_an_element_that_stands_by_itself() -> Graph[Any]:
    class Check(State):
        subject: Item[Order]

    @node
    def look(subject: Order) -> None: ...

    check = Graph(Check, name="check")
    check.start(look)
    graph = Graph(Shop, name="shop")
    graph.start(check)  # here
    return graph


@mistake("wrong-type-read", "graph 'check' takes subject: Item[Order], but each element of names", "subject: Item[str]")
def a_graph_for_elements_of_another_type() -> Graph[Any]:
    class Check(State):
        subject: Item[Order]

    @node
    def look(subject: Order) -> None: ...

    check = Graph(Check, name="check")
    check.start(look)
    graph = Graph(Shop, name="shop")
    graph.start(find)
    graph.each(find, "names", check, collect=tell)  # here
    return graph


@mistake("concurrent-writers", "both write count/number: they meet at", "number")
def two_writers_in_a_graph() -> Graph[Any]:
    @node(writes="number")  # here
    def one(words: str) -> int:
        return 1

    @node(writes="number")
    def two(words: str) -> int:
        return 2

    inner = Graph(Count, name="count")
    inner.start([one, two])
    graph = Graph(Shop, name="shop")
    made = graph.add(inner, inputs={"words": "text"})
    graph.start(made)
    return graph


@mistake("no-person", "is irreversible, and the path", "approve")
def a_person_in_a_graph_who_may_not_be_asked() -> Graph[Any]:
    class Approval(State):
        text: str
        allowed: bool = later()

    @ask(writes="allowed")
    def approve(text: str) -> Question[bool] | None:
        return None

    @node(effect="irreversible")  # here
    def pay(text: str) -> None: ...

    inner = Graph(Approval, name="approval")
    inner.start(approve)
    graph = Graph(Shop, name="shop")
    graph.start(inner)
    graph.edge(inner, pay)
    return graph


# -- rewired nodes ---------------------------------------------------------------------------------------


@node(writes="report")
def shorten(words: str) -> str:
    return words


@mistake("unknown-input", "names 'wrds', which is no parameter of it. Did you mean 'words'?", "It has: words")
def a_parameter_that_is_not_there() -> Graph[Any]:
    @node(writes="report")  # here
    def shorten(words: str) -> str:
        return words

    graph = Graph(Shop, name="shop")
    graph.start(graph.add(shorten, inputs={"words": "text", "wrds": "text"}))
    return graph


@mistake("wrong-type-read", "'shorten' reads order: str, but Shop.order is Order", "order: Order")
def a_parameter_that_is_given_another_type() -> Graph[Any]:
    @node(writes="report")  # here
    def shorten(words: str) -> str:
        return words

    graph = Graph(Shop, name="shop")
    graph.start(find)
    graph.edge(find, graph.add(shorten, inputs={"words": "order"}))
    return graph


@mistake("wrong-type-written", "node 'size' writes note: int, but Shop.note is str", "-> str")
def a_value_that_goes_to_a_field_of_another_type() -> Graph[Any]:
    @node  # here
    def size(text: str) -> int:
        return len(text)

    graph = Graph(Shop, name="shop")
    graph.start(graph.add(size, outputs="note"))
    return graph


@mistake("unknown-field", "it writes 'repot', which is no field of Shop. Did you mean 'report'?", "Shop has: text")
def a_value_that_goes_to_no_field() -> Graph[Any]:
    @node  # here
    def size(text: str) -> str:
        return text

    graph = Graph(Shop, name="shop")
    graph.start(graph.add(size, outputs="repot"))
    return graph


# -- views -----------------------------------------------------------------------------------------------


class Named(Protocol):
    @property
    def txt(self) -> str: ...


class Sized(Protocol):
    @property
    def text(self) -> int: ...


class Noted(Protocol):
    note: str


class Acting(Protocol):
    text: str

    def act(self) -> None: ...


@mistake("unknown-parameter", "is a Named, whose 'txt' is no field of Shop. Did you mean 'text'?", "Shop has: text")
def a_view_of_what_is_not_there() -> Graph[Any]:
    @node(writes="report")  # here
    def show(shop: Named) -> str:
        return shop.txt

    graph = Graph(Shop, name="shop")
    graph.start(show)
    return graph


@mistake("wrong-type-read", "'show' (by Sized) reads text: int, but Shop.text is str", "text: str")
def a_view_of_another_type() -> Graph[Any]:
    @node(writes="report")  # here
    def show(shop: Sized) -> str:
        return str(shop.text)

    graph = Graph(Shop, name="shop")
    graph.start(show)
    return graph


@mistake("read-before-write", "'show' (by Noted) reads note, but nothing has written it", "note: str")
def a_view_of_what_is_not_written() -> Graph[Any]:
    @node(writes="report")  # here
    def show(shop: Noted) -> str:
        return shop.note

    graph = Graph(Shop, name="shop")
    graph.start(show)
    return graph


@mistake("view-method", "has the method act(): a view of Shop has attributes only", "shop: Annotated[Acting, Resource]")
def a_view_that_can_be_called() -> Graph[Any]:
    @node(writes="report")  # here
    def show(shop: Acting) -> str:
        return shop.text

    graph = Graph(Shop, name="shop")
    graph.start(show)
    return graph
