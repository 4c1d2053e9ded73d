"""Edges that lead nowhere, or nowhere else."""

from typing import Any

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, node
from orchestra_graph.state.schema import State
from tests.graph.mistakes.corpus import mistake


class Job(State):
    text: str
    parts: list[str] = []
    done: bool = False


@node
def first(text: str) -> None: ...


@node
def second(text: str) -> None: ...


@node
def third(text: str) -> None: ...


@mistake("unknown-node", "'secnd' is not in the graph. Did you mean 'second'?", "The graph has: first, second")
def misspelled_node() -> Graph[Any]:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(first, second)
    graph.edge("secnd", END)  # here
    return graph


@mistake("unknown-node", "'frist' is not in the graph. Did you mean 'first'?", "The graph has: first, second")
def misspelled_case() -> Graph[Any]:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(first, second)
    graph.switch(second, "done", {True: END, False: "frist"})  # here
    return graph


@mistake("no-node", "second is no node: @node must be its outermost decorator", "")
def plain_function_in_an_edge() -> Graph[Any]:
    function: Any = second.fn
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(first, function)  # here
    return graph


@mistake("no-start", "nothing says where a run begins", "graph.start(first)")
def nothing_to_start_with() -> Graph[Any]:
    graph = Graph(Job, name="job")  # here
    graph.edge(first, second)
    return graph


@mistake("edge-from-end", "nothing follows END", "")
def something_behind_the_end() -> Graph[Any]:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(first, second)
    graph.edge(END, second)  # here
    return graph


@mistake("unreachable", "node 'aside' cannot be reached from a start", "graph.edge(..., aside)")
def node_that_is_never_reached() -> Graph[Any]:
    @node  # here
    def aside(text: str) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(aside, first)
    return graph


@mistake("unreachable", "node 'aside' cannot be reached from a start", "graph.edge(..., aside)")
def two_nodes_that_only_reach_each_other() -> Graph[Any]:
    @node  # here
    def aside(text: str) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(aside, aside, when="done")
    return graph


@mistake("no-exit", "the loop ping -> pong -> ping has no way out", "graph.edge(pong, END, when=...)")
def loop_without_a_way_out() -> Graph[Any]:
    @node  # here
    def ping(text: str) -> None: ...

    @node
    def pong(text: str) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(ping)
    graph.edge(ping, pong)
    graph.edge(pong, ping)
    return graph


@mistake("no-exit", "the loop spin -> spin has no way out", "graph.edge(spin, END, when=...)")
def node_that_only_leads_to_itself() -> Graph[Any]:
    @node  # here
    def spin(text: str) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(first, [second, spin])
    graph.edge(spin, spin)
    return graph


@mistake(
    "each-entered", "'second' is in the body of the each over 'second'", "again = graph.add(second, name='second_2')"
)
def body_of_an_each_entered_from_outside() -> Graph[Any]:
    graph = Graph(Job, name="job")
    graph.start([first, second])
    graph.each(first, "parts", second, collect=third)  # here
    return graph


@mistake("each-leaves", "the body of the each over 'second' leads back to 'first'", "collect=first")
def body_of_an_each_that_leads_back() -> Graph[Any]:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.each(first, "parts", second, collect=third)  # here
    graph.edge(second, [first, third])
    return graph
