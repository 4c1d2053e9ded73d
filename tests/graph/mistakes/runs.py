"""What goes wrong only when a graph runs: writes side by side, nobody asked."""

from typing import Annotated, Any, Literal

from pydantic import Field

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, Item, ask, node
from orchestra_graph.graph.question import Question
from orchestra_graph.state.reducers import reducer
from orchestra_graph.state.schema import State, later
from tests.graph.mistakes.corpus import mistake


@reducer
def take_out(known: list[str], gone: list[str]) -> list[str]:
    return [name for name in known if name not in gone]


class Job(State):
    text: str
    facts: list[str] = []
    reply: str = ""
    parts: list[str] = []
    some: Annotated[list[str], Field(min_length=1)] = []
    left: Annotated[list[str], take_out, Field(min_length=1)] = ["a"]
    kind: Literal["a", "b"] = "a"
    allowed: bool = later()
    more: bool = False


@node
def plan(text: str) -> None: ...


@node
def close(text: str) -> None: ...


@node(writes="more")
def again(text: str) -> bool:
    return False


@ask(writes="allowed")
def approve(text: str) -> Question[bool]:
    return Question(text)


# -- two at once ---------------------------------------------------------------------------------------


@mistake(
    "concurrent-writers",
    "'look' and 'check' may run at the same time, and both write facts: they meet at 'close', by plan -> look -> close",
    "facts: Annotated[list[str], extend]",
)
def both_branches_write() -> Graph[Any]:
    @node(writes="facts")  # here
    def look(text: str) -> list[str]:
        return [text]

    @node(writes="facts")
    def check(text: str) -> list[str]:
        return [text]

    graph = Graph(Job, name="job")
    graph.start(plan)
    graph.edge(plan, [look, check])
    graph.edge([look, check], close)
    return graph


@mistake("concurrent-writers", "both write reply: they meet at the end", "reply: Annotated[str, last]")
def branches_that_meet_at_the_end() -> Graph[Any]:
    @node(writes="reply")  # here
    def one(text: str) -> str:
        return text

    @node(writes="reply")
    def two(text: str) -> str:
        return text

    graph = Graph(Job, name="job")
    graph.start([one, two])
    return graph


@mistake(
    "concurrent-writers", "'work' may run several times at once, and each time writes reply", "Annotated[str, last]"
)
def each_element_writes_one_field() -> Graph[Any]:
    @node(writes="reply")  # here
    def work(part: Item[str]) -> str:
        return part

    graph = Graph(Job, name="job")
    graph.start(plan)
    graph.each(plan, "parts", work, collect=close)
    return graph


@mistake("concurrent-writers", "'side' may run several times at once", "reply: Annotated[str, last]")
def side_branch_of_every_turn() -> Graph[Any]:
    @node(writes="reply")  # here
    def side(text: str) -> str:
        return text

    graph = Graph(Job, name="job")
    graph.start(again)
    graph.edge(again, side)
    graph.edge(again, again, when="more")
    return graph


@mistake("concurrent-writers", "both write reply", "reply: Annotated[str, last]")
def join_that_reads_before_it_overwrites() -> Graph[Any]:
    @node(writes="reply")  # here
    def one(text: str) -> str:
        return text

    @node(writes="reply")
    def two(text: str) -> str:
        return text

    @node(writes="reply")
    def final(reply: str) -> str:
        return reply

    graph = Graph(Job, name="job")
    graph.start([one, two])
    graph.edge([one, two], final)
    return graph


@mistake("concurrent-writers", "both write reply: they meet at 'close'", "reply: Annotated[str, last]")
def conditions_that_may_both_hold() -> Graph[Any]:
    @node(writes="reply")  # here
    def one(text: str) -> str:
        return text

    @node(writes="reply")
    def two(text: str) -> str:
        return text

    graph = Graph(Job, name="job")
    graph.start(plan)
    graph.edge(plan, one, when="more")
    graph.edge(plan, two, when="reply")
    graph.edge([one, two], close)
    return graph


# -- nobody asked --------------------------------------------------------------------------------------


@mistake(
    "no-person",
    "node 'pay' is irreversible, and the path plan -> pay has no person on it",
    "Put an @ask node before it:   graph.edge(plan, approve)",
)
def nobody_at_all() -> Graph[Any]:
    @node(effect="irreversible")  # here
    def pay(text: str) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(plan)
    graph.edge(plan, pay)
    return graph


@mistake("no-person", "and the path plan -> pay has no person on it", "unattended=True")
def way_around_the_person() -> Graph[Any]:
    @node(effect="irreversible")  # here
    def pay(text: str) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(plan)
    graph.switch(plan, "kind", {"a": approve, "b": pay})
    graph.edge(approve, pay)
    return graph


@mistake("no-person", "the way round to itself pay -> again -> pay has no person on it", "graph.edge(again, approve)")
def once_asked_and_paid_for_ever() -> Graph[Any]:
    @node(effect="irreversible")  # here
    def pay(text: str) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(approve)
    graph.chain(approve, pay, again)
    graph.edge(again, pay, when="more")
    return graph


@mistake("no-person", "('maybe' may ask nobody, so it does not count)", "graph.edge(maybe, approve)")
def person_who_may_not_be_asked() -> Graph[Any]:
    @ask(writes="allowed")
    def maybe(text: str) -> Question[bool] | None:
        return None

    @node(effect="irreversible")  # here
    def pay(text: str) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(maybe)
    graph.edge(maybe, pay)
    return graph


@mistake("no-person", "the path plan -> pay has no person on it", "graph.edge(plan, confirm)")
def people_in_the_body_of_an_each_that_may_be_empty() -> Graph[Any]:
    @ask(writes="allowed")
    def confirm(part: Item[str]) -> Question[bool]:
        return Question(part)

    @node(writes="allowed", effect="irreversible")  # here
    def pay(text: str) -> bool:
        return True

    graph = Graph(Job, name="job")
    graph.start(plan)
    graph.each(plan, "parts", confirm, collect=pay)
    return graph


@mistake("no-person", "the path plan -> pay has no person on it", "graph.edge(plan, confirm)")
def default_that_is_shorter_than_the_field_allows() -> Graph[Any]:
    @ask(writes="allowed")
    def confirm(part: Item[str]) -> Question[bool]:
        return Question(part)

    @node(writes="allowed", effect="irreversible")  # here
    def pay(text: str) -> bool:
        return True

    graph = Graph(Job, name="job")
    graph.start(plan)
    graph.each(plan, "some", confirm, collect=pay)
    return graph


@mistake("no-person", "the path plan -> pay has no person on it", "graph.edge(plan, confirm)")
def reducer_that_may_leave_nothing() -> Graph[Any]:
    @ask(writes="allowed")
    def confirm(part: Item[str]) -> Question[bool]:
        return Question(part)

    @node(writes="allowed", effect="irreversible")  # here
    def pay(text: str) -> bool:
        return True

    graph = Graph(Job, name="job")
    graph.start(plan)
    graph.each(plan, "left", confirm, collect=pay)
    return graph


# -- tokens that meet ----------------------------------------------------------------------------------


@mistake("meeting-tokens", "the loop of 'one' and 'two' is entered at each of them", "graph.edge(..., one)", "warning")
def two_tokens_in_a_loop_entered_in_two_places() -> Graph[Any]:
    @node  # here
    def one(text: str) -> None: ...

    @node
    def two(text: str) -> None: ...

    graph = Graph(Job, name="job")
    graph.start([one, two])
    graph.edge(one, two, when="more")
    graph.edge(two, one, when="more")
    graph.edge(two, END, otherwise=True)
    return graph
