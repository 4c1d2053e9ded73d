"""Joins that starve, races that are none, tokens that multiply, and what is left over."""

from typing import Annotated, Any, Literal

from orchestra_graph import END, Graph, Item, State, all_of, append, each_one, first, node, until
from orchestra_graph.state.schema import later
from tests.graph.mistakes.corpus import mistake


class Talk(State):
    text: str
    kind: Literal["a", "b"] = "a"
    left: str = later()
    right: str = later()
    parts: list[str] = []
    log: Annotated[list[str], append] = []
    more: bool = False
    out: str = later()


@node
def begin(text: str) -> None: ...


@node(writes="left")
def go_left(text: str) -> str:
    return text


@node(writes="right")
def go_right(text: str) -> str:
    return text


@node(writes="log")
def note(text: str) -> str:
    return text


@node(writes="more")
def ask_again(text: str) -> bool:
    return False


@node
def close(text: str) -> None: ...


# -- all_of ----------------------------------------------------------------------------------------------


@mistake(
    "starving-join",
    "'finish' waits for all of its edges, but 'go_left' and 'go_right' never come to it together",
    "take graph.join(finish, all_of()) out",
)
def all_of_two_cases() -> Graph[Any]:
    @node  # here
    def finish(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start(begin)
    graph.switch(begin, "kind", {"a": go_left, "b": go_right})
    graph.edge([go_left, go_right], finish)
    graph.join(finish, all_of())
    return graph


@mistake("starving-join", "but 'begin' and 'work' never come to it together", "all_of()) out")
def all_of_a_list_that_is_empty_or_not() -> Graph[Any]:
    @node(writes="log")
    def work(part: Item[str]) -> str:
        return part

    @node  # here
    def finish(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start(begin)
    graph.each(begin, "parts", work, collect=finish)
    graph.join(finish, all_of())
    return graph


@mistake("may-starve", "but the one from 'go_right' may not come; then the run fails", "all_of()) out", "warning")
def all_of_with_a_branch_that_has_a_condition() -> Graph[Any]:
    @node  # here
    def finish(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start(begin)
    graph.edge(begin, go_left)
    graph.edge(begin, go_right, when="more")
    graph.edge([go_left, go_right], finish)
    graph.join(finish, all_of())
    return graph


@mistake("may-starve", "but the one from 'go_right' may not come", "all_of()) out", "warning")
def all_of_with_a_branch_that_may_lead_elsewhere_on_an_error() -> Graph[Any]:
    @node  # here
    def finish(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start([go_left, go_right])
    graph.edge(go_right, note, on_error=ValueError)
    graph.edge([go_left, go_right], finish)
    graph.join(finish, all_of())
    return graph


# -- lists -----------------------------------------------------------------------------------------------


@mistake(
    "never-meet",
    "'receive' and 'sum_up' run side by side and lead to 'respond' together, but never meet there: the loop begins at "
    "'receive'",
    "graph.start(respond)",
)
def started_at_the_wrong_node() -> Graph[Any]:
    @node
    def receive(text: str) -> None: ...

    @node
    def sum_up(text: str) -> None: ...

    @node
    def respond(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start(receive)
    graph.edge(respond, [sum_up, receive])
    graph.edge([sum_up, receive], respond)  # here
    graph.edge(respond, END, when="more")
    return graph


@mistake("never-meet", "'listen' and 'store' run side by side and lead to 'answer' together", "graph.start(answer)")
def started_at_the_wrong_node_of_longer_branches() -> Graph[Any]:
    @node
    def listen(text: str) -> None: ...

    @node
    def think(text: str) -> None: ...

    @node
    def store(text: str) -> None: ...

    @node
    def answer(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start(listen)
    graph.edge(answer, [think, listen])
    graph.edge(think, store)
    graph.edge([store, listen], answer)  # here
    graph.switch(listen, "kind", {"a": END, "b": close})
    return graph


@mistake("join-end", "END waits for everything: it has no other rule", "graph.join(last, ...)")
def a_rule_for_the_end() -> Graph[Any]:
    graph = Graph(Talk, name="talk")
    graph.start([go_left, go_right])
    graph.join(END, first())  # here
    return graph


@mistake("two-rules", "'close' has two join rules", "Take one of them out")
def two_rules_for_one_join() -> Graph[Any]:
    graph = Graph(Talk, name="talk")
    graph.start([go_left, go_right])
    graph.edge([go_left, go_right], close)
    graph.join(close, all_of())
    graph.join(close, each_one())  # here
    return graph


@mistake("unknown-parameter", "'lft', which is no field of Talk. Did you mean 'left'?", "")
def until_a_field_that_is_not_there() -> Graph[Any]:
    graph = Graph(Talk, name="talk")
    graph.start([go_left, go_right])
    graph.edge([go_left, go_right], close)
    graph.join(close, until("lft"))  # here
    return graph


@mistake(
    "read-before-write",
    "the function long of the join 'finish' reads left, but nothing has written it on the way",
    "start",
)
def until_something_of_a_branch_that_has_not_come() -> Graph[Any]:
    def long(left: str) -> bool:
        return len(left) > 3

    @node  # here
    def finish(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start([go_left, go_right])
    graph.edge([go_left, go_right], finish)
    graph.join(finish, until(long))
    return graph


@mistake("read-before-write", "'finish' reads right, but nothing has written it on the way start -> go_left", "right")
def the_first_of_two_read_as_if_both_had_come() -> Graph[Any]:
    @node  # here
    def finish(right: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start([go_left, go_right])
    graph.edge([go_left, go_right], finish)
    graph.join(finish, first(2, short="fire"))
    return graph


# -- races -----------------------------------------------------------------------------------------------


@mistake("race-in-line", "'go_left' leads to 'go_right', so the one cannot race the other", "graph.race(go_left, ...)")
def a_race_of_two_that_follow_each_other() -> Graph[Any]:
    graph = Graph(Talk, name="talk")
    graph.start(go_left)
    graph.edge(go_left, go_right)
    graph.race(go_left, go_right)  # here
    return graph


@mistake("race-apart", "they do not stand in the same loop, or in the body of the same each", "side by side")
def a_race_into_the_body_of_an_each() -> Graph[Any]:
    @node(writes="log")
    def work(part: Item[str]) -> str:
        return part

    graph = Graph(Talk, name="talk")
    graph.start([begin, go_left])
    graph.each(begin, "parts", work, collect=close)
    graph.race(work, go_left)  # here
    return graph


@mistake("race-twice", "race() names one node twice", "Name each node once")
def a_race_against_oneself() -> Graph[Any]:
    graph = Graph(Talk, name="talk")
    graph.start([go_left, go_right])
    graph.race(go_left, go_left)  # here
    return graph


@mistake(
    "left-over",
    "'note' is forked off at 'prepare', on the way to one side of race(go_left, go_right): when 'go_right' wins, "
    "'prepare' is not withdrawn",
    "graph.edge(go_left, note)",
    "warning",
)
def work_forked_on_the_way_to_a_rival() -> Graph[Any]:
    @node  # here
    def prepare(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start([prepare, go_right])
    graph.edge(prepare, [go_left, note])
    graph.race(go_left, go_right)
    return graph


@mistake(
    "left-over",
    "'note' is forked off beside race(go_left, go_right), and goes on whoever wins: when 'go_right' does, 'finish' "
    "starts without 'go_left'",
    "Let 'note' follow the race",
    "warning",
)
def work_that_meets_only_one_of_the_rivals() -> Graph[Any]:
    @node  # here
    def fork(text: str) -> None: ...

    @node
    def finish(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start(fork)
    graph.edge(fork, [go_left, go_right, note])
    graph.race(go_left, go_right)
    graph.edge([go_left, note], finish)
    graph.edge(go_right, close)
    return graph


# -- tokens that multiply ----------------------------------------------------------------------------------


@mistake(
    "multiplies",
    "'fork' leads to 'ask_again' and 'go_right' together, and from 'ask_again' a way leads back before it: 'go_right' "
    "then runs again",
    "Jump back to a node behind 'fork'",
    "warning",
)
def a_jump_back_before_the_fork() -> Graph[Any]:
    @node  # here
    def fork(text: str) -> None: ...

    @node(writes="log")
    def go_right(text: str) -> str:
        return text

    graph = Graph(Talk, name="talk")
    graph.start(fork)
    graph.edge(fork, [ask_again, go_right])
    graph.switch(ask_again, "more", {True: fork, False: close})
    graph.edge(go_right, close)
    return graph


@mistake("multiplies", "from 'check' a way leads back before it: 'slow' then runs again", "'draft'", "warning")
def a_longer_jump_back_before_the_fork() -> Graph[Any]:
    @node
    def plan(text: str) -> None: ...

    @node  # here
    def draft(text: str) -> None: ...

    @node(writes="more")
    def check(text: str) -> bool:
        return False

    @node(writes="log")
    def slow(text: str) -> str:
        return text

    graph = Graph(Talk, name="talk")
    graph.start(plan)
    graph.edge(plan, draft)
    graph.edge(draft, [check, slow])
    graph.edge(check, plan, when="more")
    graph.edge(check, close, otherwise=True)
    graph.edge(slow, close)
    return graph


@mistake(
    "multiplies",
    "'work' sends two branches that come back to it, and 'work' starts once for each: with every turn of the loop "
    "there are twice as many",
    "take graph.join(work, each_one()) out",
    "warning",
)
def tokens_that_double_with_every_turn() -> Graph[Any]:
    @node  # here
    def work(text: str) -> None: ...

    @node
    def one(text: str) -> None: ...

    @node
    def two(text: str) -> None: ...

    graph = Graph(Talk, name="talk")
    graph.start(work)
    graph.edge(work, [one, two])
    graph.edge([one, two], work)
    graph.edge(one, END, on_error=ValueError)
    graph.join(work, each_one())
    return graph
