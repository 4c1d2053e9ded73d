"""Small graphs in graphs, for tests of what is made of them."""

from __future__ import annotations

from typing import Annotated, Any

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, Item, Node, node
from orchestra_graph.graph.plan import Plan
from orchestra_graph.state.reducers import append
from orchestra_graph.state.schema import State, later

__all__ = ["Inner", "Outer", "Part", "inner", "names", "outer", "step"]


class Outer(State):
    text: str = ""
    log: Annotated[list[str], append] = []
    items: list[str] = []
    found: str = ""
    done: bool = False


class Inner(State):
    """Shares ``text`` and ``log`` with `Outer`; ``note``, ``draft`` and ``tags`` are its own."""

    text: str
    log: Annotated[list[str], append] = []
    note: str = "none"
    draft: str = later()
    tags: list[str] = []


class Part(State):
    element: Item[str]
    log: Annotated[list[str], append] = []


def step(name: str) -> Node[Any]:
    @node(writes="log", name=name)
    async def work() -> str:
        return name

    return work


@node(writes="draft")
async def write(text: str, note: str) -> str:
    return text + note


@node(writes="log")
async def keep(draft: str) -> str:
    return draft


def inner(name: str = "inner") -> Graph[Inner]:
    graph = Graph(Inner, name=name)
    graph.start(write)
    graph.edge(write, keep)
    return graph


def outer(**wired: Any) -> Graph[Outer]:
    """One node, and a graph behind it."""
    graph = Graph(Outer, name="outer")
    graph.start(step("begin"))
    graph.edge("begin", graph.add(inner(), **wired))
    graph.edge("inner", END)
    return graph


def names(plan: Plan) -> list[str]:
    return [node.name for node in plan.nodes]
