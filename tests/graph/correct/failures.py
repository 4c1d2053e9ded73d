"""Edges for errors, limits that lead on, ends before the end."""

from typing import Annotated, Any, Literal

from orchestra_graph import (
    END,
    Context,
    Graph,
    Item,
    Question,
    QuestionExpired,
    Retry,
    State,
    append,
    ask,
    node,
)
from orchestra_graph.state.schema import later
from tests.graph.correct.corpus import program


class Claim(State):
    text: str
    draft: str = later()
    review: str = later()
    good: bool = False
    amount: int = later()
    cause: str = later()
    state: Literal["open", "closed"] = "open"
    parts: list[str] = ["a", "b"]
    log: Annotated[list[str], append] = []
    allowed: bool = later()
    result: str = later()


@node(writes="amount", retry=Retry(attempts=2, delay=0))
def fetch(text: str) -> int:
    return 3


@node(writes="result")
def report(amount: int) -> str:
    return str(amount)


@node(writes="result")
def excuse(ctx: Context) -> str:
    return "" if ctx.error is None else ctx.error.message


@node(writes="log")
def record(text: str) -> str:
    return text


@node(writes="draft")
def write(text: str) -> str:
    return text


@node(writes="review")
def judge(draft: str) -> str:
    return draft


@node(writes="good")
def decide(review: str) -> bool:
    return False


@node(writes="result")
def finish(draft: str) -> str:
    return draft


@program
def a_way_for_an_error() -> Graph[Any]:
    graph = Graph(Claim, name="error")
    graph.start(fetch)
    graph.edge(fetch, report)
    graph.edge(fetch, excuse, on_error=Exception)
    return graph


@program
def several_ways_for_errors_that_come_together() -> Graph[Any]:
    @node(writes="amount")
    def guess(text: str) -> int:
        return 0

    @node(writes="amount")
    def estimate(text: str) -> int:
        return 1

    graph = Graph(Claim, name="errors")
    graph.start(fetch)
    graph.edge(fetch, guess, on_error=(TimeoutError, ConnectionError))
    graph.edge(fetch, estimate, on_error=Exception)
    graph.edge([fetch, guess, estimate], report)
    return graph


@program
def an_error_that_leads_back() -> Graph[Any]:
    @node(writes="log")
    def mend(ctx: Context) -> str:
        return "mended"

    graph = Graph(Claim, name="back")
    graph.start(fetch)
    graph.edge(fetch, mend, on_error=ValueError)
    graph.edge(mend, fetch)
    graph.edge(fetch, report)
    return graph


@program
def an_expired_question() -> Graph[Any]:
    @ask(writes="allowed")
    def approve(text: str) -> Question[bool]:
        return Question(text)

    @node(effect="irreversible")
    def pay(allowed: bool) -> None: ...

    graph = Graph(Claim, name="expired")
    graph.start(approve)
    graph.switch(approve, "allowed", {True: pay, False: END})
    graph.edge(approve, record, on_error=QuestionExpired)
    return graph


@program
def an_error_in_one_of_two_branches() -> Graph[Any]:
    @node(writes="amount")
    def nothing(ctx: Context) -> int:
        return 0

    @node(writes="result")
    def both(amount: int, draft: str) -> str:
        return draft

    graph = Graph(Claim, name="branch")
    graph.start([fetch, write])
    graph.edge(fetch, nothing, on_error=Exception)
    graph.edge([fetch, nothing, write], both)
    return graph


@program
def an_error_for_one_element() -> Graph[Any]:
    @node(writes="log")
    def work(part: Item[str]) -> str:
        return part

    @node(writes="log")
    def skip(part: Item[str]) -> str:
        return f"not {part}"

    @node(writes="result")
    def collected(log: list[str]) -> str:
        return ", ".join(log)

    graph = Graph(Claim, name="parts")
    graph.start(record)
    graph.each(record, "parts", work, collect=collected)
    graph.edge(work, collected)
    graph.edge(work, skip, on_error=Exception)
    graph.edge(skip, collected)
    return graph


# -- limits ----------------------------------------------------------------------------------------------


@program
def a_loop_that_is_left_after_some_turns() -> Graph[Any]:
    @node(writes="result")
    def escalate(draft: str, review: str) -> str:
        return draft + review

    graph = Graph(Claim, name="escalate")
    graph.start(write)
    graph.chain(write, judge, decide)
    graph.switch(decide, "good", {True: finish, False: write})
    graph.limit(write, turns=3, then=escalate)
    return graph


@program
def a_limit_of_a_node_that_does_not_head_its_loop() -> Graph[Any]:
    @node(writes="result")
    def escalate(draft: str, review: str) -> str:
        return draft + review

    graph = Graph(Claim, name="inner")
    graph.start(write)
    graph.chain(write, judge, decide)
    graph.switch(decide, "good", {True: finish, False: write})
    graph.limit(judge, turns=2, then=escalate)
    return graph


@program
def a_limit_that_is_the_only_way_out() -> Graph[Any]:
    graph = Graph(Claim, name="only")
    graph.start(write)
    graph.chain(write, judge, decide, write)
    graph.limit(write, turns=2, then=record)
    return graph


@program
def a_limit_on_steps_and_one_on_time() -> Graph[Any]:
    graph = Graph(Claim, name="steps")
    graph.start(write)
    graph.chain(write, judge, decide)
    graph.switch(decide, "good", {True: finish, False: write})
    graph.limit(write, steps=20, then=record)
    graph.limit(write, seconds=60, then=record)
    return graph


@program
def a_limit_of_the_whole_graph() -> Graph[Any]:
    graph = Graph(Claim, name="whole")
    graph.start(write)
    graph.chain(write, judge, finish)
    graph.limit(seconds=60, then=record)
    return graph


@program
def both_ways_out_of_a_loop_come_together() -> Graph[Any]:
    @node(writes="result")
    def give_up(draft: str) -> str:
        return draft

    @node(writes="log")
    def tell(result: str, amount: int) -> str:
        return result

    graph = Graph(Claim, name="together")
    graph.start([write, fetch])
    graph.chain(write, judge, decide)
    graph.switch(decide, "good", {True: finish, False: write})
    graph.limit(write, turns=2, then=give_up)
    graph.edge([finish, give_up, fetch], tell)
    return graph


# -- ends ------------------------------------------------------------------------------------------------


@program
def a_node_that_ends_the_graph() -> Graph[Any]:
    @node(writes="state")
    def close(text: str) -> Literal["closed"]:
        return "closed"

    graph = Graph(Claim, name="end")
    graph.start([write, fetch])
    graph.edge(write, close, when="good")
    graph.edge(write, judge, otherwise=True)
    graph.edge(fetch, report)
    graph.terminate(close)
    return graph


@program
def a_graph_that_fails_on_purpose() -> Graph[Any]:
    @node(writes="cause")
    def refuse(text: str) -> str:
        return text

    graph = Graph(Claim, name="refuse")
    graph.start(write)
    graph.edge(write, refuse, when="good")
    graph.edge(write, finish, otherwise=True)
    graph.terminate(refuse, status="failed")
    return graph


@program
def a_limit_that_leads_to_what_overwrites_anew() -> Graph[Any]:
    @node(writes="draft")
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

    @node(writes="draft")
    def late(text: str) -> str:
        return text

    graph = Graph(Claim, name="overwritten")
    graph.start([one, two])
    graph.edge(one, read_one)
    graph.edge(two, read_two)
    graph.edge([read_one, read_two], both)
    graph.limit(seconds=5, then=late)
    return graph
