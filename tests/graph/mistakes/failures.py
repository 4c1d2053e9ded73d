"""Ways for errors, limits that lead on, and ends."""

from typing import Annotated, Any

from orchestra_graph import END, Graph, Item, Question, QuestionExpired, State, append, ask, node
from orchestra_graph.state.schema import later
from tests.graph.mistakes.corpus import mistake


class Claim(State):
    text: str
    draft: str = later()
    review: str = later()
    amount: int | None = None
    good: bool = False
    allowed: bool = later()
    out: str = later()
    parts: list[str] = later()
    log: Annotated[list[str], append] = []


@node(writes="draft")
def write(text: str) -> str:
    return text


@node(writes="review")
def judge(draft: str) -> str:
    return draft


@node(writes="good")
def decide(review: str) -> bool:
    return False


@node(writes="out")
def finish(draft: str) -> str:
    return draft


@node(writes="amount")
def fetch(text: str) -> int:
    return 1


# -- errors ----------------------------------------------------------------------------------------------


@mistake(
    "read-before-write", "'tell' reads draft, but nothing has written it on the way start -> write -> tell", "draft"
)
def what_a_failed_node_would_have_written() -> Graph[Any]:
    @node(writes="out")  # here
    def tell(draft: str) -> str:
        return draft

    graph = Graph(Claim, name="claim")
    graph.start(write)
    graph.edge(write, finish)
    graph.edge(write, tell, on_error=ValueError)
    return graph


@mistake("read-before-write", "'tell' reads amount: int, but amount may still be None", "amount: int | None")
def none_on_the_way_of_an_error() -> Graph[Any]:
    @node(writes="out")  # here
    def tell(amount: int) -> str:
        return str(amount)

    graph = Graph(Claim, name="claim")
    graph.start(fetch)
    graph.edge(fetch, tell)
    graph.edge(fetch, tell, on_error=ValueError)
    return graph


@mistake(
    "no-person", "node 'pay' is irreversible, and the path approve -> pay has no person on it", "graph.edge(approve"
)
def a_question_that_nobody_answered() -> Graph[Any]:
    @ask(writes="allowed")
    def approve(text: str) -> Question[bool]:
        return Question(text)

    @node(effect="irreversible")  # here
    def pay(text: str) -> None: ...

    graph = Graph(Claim, name="claim")
    graph.start(approve)
    graph.edge(approve, pay)
    graph.edge(approve, pay, on_error=QuestionExpired)
    return graph


@mistake("concurrent-writers", "'one' and 'two' may run at the same time, and both write out", "last")
def two_ways_for_one_error() -> Graph[Any]:
    @node(writes="out")  # here
    def one(text: str) -> str:
        return text

    @node(writes="out")
    def two(text: str) -> str:
        return text

    graph = Graph(Claim, name="claim")
    graph.start(write)
    graph.edge(write, [one, two], on_error=ValueError)
    graph.edge(write, END)
    return graph


# -- limits ----------------------------------------------------------------------------------------------


@mistake("then-inside", "'judge' is in the loop that is limited: it would be withdrawn, too", "graph.limit(write, ...")
def on_in_the_loop_itself() -> Graph[Any]:
    graph = Graph(Claim, name="claim")
    graph.start(write)
    graph.chain(write, judge, decide)
    graph.switch(decide, "good", {True: finish, False: write})
    graph.limit(write, turns=3, then=judge)  # here
    return graph


@mistake("read-before-write", "'tell' reads out, but nothing has written it on the way", "out")
def what_only_the_other_way_out_has_written() -> Graph[Any]:
    @node  # here
    def tell(out: str) -> None: ...

    graph = Graph(Claim, name="claim")
    graph.start(write)
    graph.chain(write, judge, decide)
    graph.switch(decide, "good", {True: finish, False: write})
    graph.limit(write, turns=3, then=tell)
    graph.edge(finish, tell)
    return graph


@mistake("read-before-write", "'tell' reads review, but nothing has written it on the way", "review")
def what_a_limit_on_time_may_have_cut_off() -> Graph[Any]:
    @node(writes="out")  # here
    def tell(review: str) -> str:
        return review

    graph = Graph(Claim, name="claim")
    graph.start(write)
    graph.chain(write, judge, decide)
    graph.switch(decide, "good", {True: finish, False: write})
    graph.limit(write, seconds=3, then=tell)
    return graph


@mistake("no-exit", "the loop write -> judge -> decide -> write has no way out", "graph.edge(decide, END, when=...)")
def a_limit_that_leads_nowhere() -> Graph[Any]:
    @node(writes="draft")  # here
    def write(text: str) -> str:
        return text

    graph = Graph(Claim, name="claim")
    graph.start(write)
    graph.chain(write, judge, decide, write)
    graph.limit(write, turns=3)
    return graph


# -- ends ------------------------------------------------------------------------------------------------


@mistake("end-goes-on", "'write' ends the graph, but edges leave it", "Take its out-edges out")
def an_end_that_goes_on() -> Graph[Any]:
    graph = Graph(Claim, name="claim")
    graph.start(write)
    graph.edge(write, finish)
    graph.terminate(write)  # here
    return graph


@mistake("end-inside", "ends graph 'inner' as failed, but the graph around it goes on", "raise in the node")
def a_graph_in_a_graph_that_fails() -> Graph[Any]:
    inner = Graph(Claim, name="inner")
    inner.start(write)
    inner.terminate(write, status="failed")  # here
    graph = Graph(Claim, name="claim")
    graph.start(inner)
    return graph


@mistake("read-before-write", "'tell' reads review, but nothing has written it on the way", "review")
def what_an_early_end_may_have_cut_off() -> Graph[Any]:
    @node  # here
    def tell(review: str) -> None: ...

    inner = Graph(Claim, name="inner")
    inner.start([write, fetch])
    inner.edge(write, judge)
    inner.terminate(fetch)
    graph = Graph(Claim, name="claim")
    graph.start(inner)
    graph.edge(inner, tell)
    return graph


@mistake(
    "read-before-write", "'tell' reads parts, but nothing has written it on the way start -> list_parts -> tell", ""
)
def the_items_of_an_each_whose_node_failed() -> Graph[Any]:
    @node(writes="parts")
    def list_parts(text: str) -> list[str]:
        return []

    @node(writes="log")
    def work(part: Item[str]) -> str:
        return part

    @node  # here
    def tell(parts: list[str]) -> None: ...

    graph = Graph(Claim, name="claim")
    graph.start(list_parts)
    graph.each(list_parts, "parts", work, collect=tell)
    graph.edge(list_parts, tell, on_error=ValueError)
    return graph


@mistake("read-before-write", "'tell' reads review, but nothing has written it on the way start -> outer ->", "review")
def what_the_early_end_of_a_graph_around_may_have_cut_off() -> Graph[Any]:
    @node
    def begin(text: str) -> None: ...

    @node  # here
    def tell(review: str) -> None: ...

    inner = Graph(Claim, name="inner")
    inner.start(write)
    inner.edge(write, judge)
    outer = Graph(Claim, name="outer")
    outer.start(begin)
    outer.edge(begin, [inner, fetch])
    outer.terminate(fetch)
    graph = Graph(Claim, name="claim")
    graph.start(outer)
    graph.switch(outer, "good", {True: tell, False: END})
    return graph


@mistake("concurrent-writers", "they meet at 'both', by", "last")
def a_limit_that_comes_before_the_join_that_overwrites() -> Graph[Any]:
    @node(writes="draft")  # here
    def one(text: str) -> str:
        return text

    @node(writes="draft")
    def two(text: str) -> str:
        return text

    @node(writes="log")
    def read_one(draft: str) -> str:
        return draft

    @node(writes="log")
    def read_two(draft: str) -> str:
        return draft

    @node(writes="draft")
    def both(text: str) -> str:
        return text

    graph = Graph(Claim, name="claim")
    graph.start([one, two])
    graph.edge(one, read_one)
    graph.edge(two, read_two)
    graph.edge([read_one, read_two], both)
    graph.limit(seconds=5, then=fetch)
    return graph


@mistake("read-before-write", "'tell' reads review, but nothing has written it on the way", "review")
def a_limit_of_a_node_that_may_have_lost_a_race_each_time() -> Graph[Any]:
    @node
    def begin(text: str) -> None: ...

    @node
    def rival(text: str) -> None: ...

    @node
    def slow(text: str) -> None: ...

    @node(writes="review")
    def judge(text: str) -> str:
        return text

    @node(writes="good")
    def decide(text: str) -> bool:
        return False

    @node  # here
    def tell(review: str) -> None: ...

    graph = Graph(Claim, name="claim")
    graph.start(begin)
    graph.edge(begin, [slow, rival])
    graph.race(slow, rival)
    graph.edge(slow, judge)
    graph.edge([judge, rival], decide)
    graph.switch(decide, "good", {True: END, False: begin})
    graph.limit(slow, turns=2, then=tell)
    return graph


@mistake(
    "concurrent-writers", "'one' and 'two' may run at the same time, and both write draft: they meet at 'both'", "last"
)
def a_join_that_overwrites_unless_it_fails() -> Graph[Any]:
    @node(writes="draft")  # here
    def one(text: str) -> str:
        return text

    @node(writes="draft")
    def two(text: str) -> str:
        return text

    @node(writes="log")
    def read_one(draft: str) -> str:
        return draft

    @node(writes="log")
    def read_two(draft: str) -> str:
        return draft

    @node(writes="draft")
    def both(text: str) -> str:
        return text

    graph = Graph(Claim, name="claim")
    graph.start([one, two])
    graph.edge(one, read_one)
    graph.edge(two, read_two)
    graph.edge([read_one, read_two], both)
    graph.edge(both, fetch, on_error=ValueError)
    return graph
