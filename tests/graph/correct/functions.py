"""Everything that can be a node."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import Node, node
from orchestra_graph.state.schema import State, later
from tests.graph.correct.corpus import program

F = TypeVar("F", bound=Callable[..., Any])


class Sum(State):
    a: int
    b: int = later()
    c: int = later()
    total: int = 0


def made(step: int) -> Node[Callable[[int, int], int]]:
    @node(writes="total", name=f"add_{step}")
    def add(a: int, total: int) -> int:
        return a + total + step

    return add


class Adder:
    def __init__(self, step: int):
        self.step = step

    def add(self, a: int) -> int:
        return a + self.step

    def __call__(self, b: int) -> int:
        return b + self.step


def scaled(a: int, factor: int) -> int:
    return a * factor


def logged(function: F) -> F:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return cast("F", wrapper)


@program
def nodes_of_a_factory_and_of_methods() -> Graph[Any]:
    bound = node(writes="b")(Adder(1).add)
    called = node(writes="c", name="called")(Adder(2))
    graph = Graph(Sum, name="sum")
    graph.start(made(1))
    graph.chain(made_once, bound, called)
    graph.edge("add_1", made_once)
    return graph


made_once = made(2)


@program
def partials_and_decorated_functions() -> Graph[Any]:
    @node(writes="c")
    @logged
    def double(b: int) -> int:
        return 2 * b

    partial = node(writes="b", name="thrice")(functools.partial(scaled, factor=3))
    graph = Graph(Sum, name="sum")
    graph.start(partial)
    graph.edge(partial, double)
    return graph


@program
def one_node_by_its_name() -> Graph[Any]:
    graph = Graph(Sum, name="sum")
    graph.start(made(3))
    graph.edge("add_3", made(4))
    return graph
