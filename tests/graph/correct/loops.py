"""Loops: until good, with a person, nested, entered in two places."""

from typing import Annotated, Any, Literal

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, ask, node
from orchestra_graph.graph.question import Question
from orchestra_graph.state.reducers import append
from orchestra_graph.state.schema import State, later
from tests.graph.correct.corpus import program


class Essay(State):
    topic: str
    draft: str = later()
    verdict: Literal["good", "bad"] = later()
    problem: str | None = None
    allowed: bool = later()
    messages: Annotated[list[str], append] = []
    done: bool = False
    turn: int = 0


@node(writes="draft")
def write(topic: str, problem: str | None) -> str:
    return topic


@node(writes="verdict")
def judge(draft: str) -> Literal["good", "bad"]:
    return "good"


@node(writes="problem")
def explain(draft: str) -> str:
    return draft


@node(effect="irreversible")
def publish(draft: str) -> None: ...


@ask(writes="allowed")
def allow(draft: str) -> Question[bool]:
    return Question(draft)


@program
def retry_until_good() -> Graph[Any]:
    graph = Graph(Essay, name="essay")
    graph.start(write)
    graph.edge(write, judge)
    graph.switch(judge, "verdict", {"good": END, "bad": explain})
    graph.edge(explain, write)
    return graph


@program
def a_person_before_each_publication() -> Graph[Any]:
    graph = Graph(Essay, name="essay")
    graph.start(write)
    graph.edge(write, allow)
    graph.switch(allow, "allowed", {True: publish, False: explain})
    graph.edge(publish, write, when="done")
    graph.edge(explain, write)
    return graph


@program
def a_chat_that_goes_on() -> Graph[Any]:
    @ask(writes="messages")
    def hear(messages: list[str]) -> Question[str]:
        return Question("?")

    @node(writes="messages")
    def reply(messages: list[str]) -> str:
        return ""

    def over(messages: list[str]) -> bool:
        return messages[-1] == "bye"

    graph = Graph(Essay, name="chat")
    graph.start(hear)
    graph.edge(hear, END, when=over)
    graph.edge(hear, reply, otherwise=True)
    graph.edge(reply, hear)
    graph.limit(hear, turns=20)
    return graph


@program
def a_loop_in_a_loop() -> Graph[Any]:
    @node(writes="turn")
    def step(turn: int) -> int:
        return turn + 1

    def more(turn: int) -> bool:
        return turn < 3

    graph = Graph(Essay, name="nested")
    graph.start(write)
    graph.edge(write, step)
    graph.edge(step, step, when=more)
    graph.edge(step, judge, otherwise=True)
    graph.switch(judge, "verdict", {"good": END, "bad": write})
    return graph


@program
def a_fork_in_a_loop() -> Graph[Any]:
    graph = Graph(Essay, name="forked")
    graph.start(write)
    graph.edge(write, [judge, explain])

    @node
    def weigh(verdict: Literal["good", "bad"], problem: str) -> None: ...

    graph.edge([judge, explain], weigh)
    graph.switch(weigh, "verdict", {"good": END, "bad": write})
    return graph


@program
def two_nodes_that_hand_over_to_each_other() -> Graph[Any]:
    @node(writes="draft")
    def ann(topic: str) -> str:
        return topic

    @node(writes="draft")
    def ben(topic: str) -> str:
        return topic

    graph = Graph(Essay, name="swarm")
    graph.start(ann)
    graph.edge(ann, ben, when="done")
    graph.edge(ben, ann, when="done")
    return graph


@program
def a_loop_entered_in_two_places_by_one_token() -> Graph[Any]:
    @node
    def choose(topic: str) -> None: ...

    @node(writes="problem")
    def ann(topic: str, problem: str | None) -> str:
        return topic

    @node(writes="problem")
    def ben(topic: str, problem: str | None) -> str:
        return topic

    def longer(topic: str) -> bool:
        return len(topic) > 3

    graph = Graph(Essay, name="either")
    graph.start(choose)
    graph.switch(choose, longer, {True: ann, False: ben})
    graph.edge(ann, ben)
    graph.edge(ben, ann, when="done")
    return graph


@program
def a_person_on_one_of_two_branches_that_join() -> Graph[Any]:
    graph = Graph(Essay, name="joined")
    graph.start(write)
    graph.edge(write, [allow, judge])
    graph.edge([allow, judge], publish)
    return graph
