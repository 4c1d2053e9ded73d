"""The form of a graph, read from its shape: what a picture needs to know, without any code of the graph.

A shape may come from a database that another release wrote. So it is read here, once, into typed values; a key that
only adds to the picture may be missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orchestra_graph.graph.plan import Shape

__all__ = ["Form", "Link", "Region", "Vertex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """A node of the form.

    Attributes:
        name: Its name.
        kind: ``start``, ``work``, ``ask`` or ``end``.
        writes: The fields it may write.
        irreversible: It is never repeated by itself.
        optional: A question that may ask nobody.
        turns: How often it may run, or None.
    """

    name: str
    kind: str
    writes: tuple[str, ...]
    irreversible: bool
    optional: bool
    turns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An edge of the form.

    Attributes:
        source: Vertex.
        target: Vertex.
        kind: As in `graph.edges.Edge`.
        label: What the graph calls it.
        choice: For a case: what is looked at; empty for a function without a name.
        alone: It is the only edge of its source.
        back: It leads to the next turn of a loop.
    """

    source: int
    target: int
    kind: str
    label: str
    choice: str
    alone: bool
    back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A loop, or the body of an `each`.

    Attributes:
        kind: Which of the two.
        head: Where a loop's next turn begins.
        members: The vertices in it and in no region inside it.
        parent: The region around it, by index.
        each: Of a body: the label of the edge that leads into it.
        limit: Of a body: how many instances may run at once.
        repeats: A loop of one node that follows itself.
    """

    kind: Literal["loop", "scope"]
    head: int | None
    members: tuple[int, ...]
    parent: int | None
    each: str = ""
    limit: int | None = None
    repeats: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A graph as pictures know it. Vertices, links and regions are named by their index.

    Attributes:
        vertices: START first, END last.
        links: As in `RunRecord.taken`.
        regions: Loops and bodies.
    """

    vertices: tuple[Vertex, ...]
    links: tuple[Link, ...]
    regions: tuple[Region, ...]

    @classmethod
    def of(cls, shape: Shape) -> Form:
        """Read a shape."""
        return cls(
            vertices=tuple(_vertex(node) for node in shape["nodes"]),
            links=_links(shape),
            regions=tuple(_region(shape, index) for index in range(len(shape["regions"]))),
        )

    def around(self, vertex: int) -> tuple[str, ...]:
        """The kinds of the regions around *vertex*, innermost first."""
        index = next((i for i, region in enumerate(self.regions) if vertex in region.members), None)
        kinds = []
        while index is not None:
            kinds.append(self.regions[index].kind)
            index = self.regions[index].parent
        return tuple(kinds)


def _vertex(node: Mapping[str, Any]) -> Vertex:
    return Vertex(
        name=node["name"],
        kind=node["kind"],
        writes=tuple(node.get("writes", ())),
        irreversible=node.get("effect") == "irreversible",
        optional=bool(node.get("optional")),
        turns=node.get("turns"),
    )


def _links(shape: Shape) -> tuple[Link, ...]:
    choices = {edge: group.get("choice") for groups in shape["groups"] for group in groups for edge in group["edges"]}
    leaving = Counter(edge["from"] for edge in shape["edges"])
    return tuple(
        Link(
            source=edge["from"],
            target=edge["to"],
            kind=edge["kind"],
            label=edge.get("label", ""),
            choice=_named(choices.get(index)),
            alone=leaving[edge["from"]] == 1,
            back=_is_back(shape, edge["from"], edge["to"]),
        )
        for index, edge in enumerate(shape["edges"])
    )


def _named(choice: str | None) -> str:
    return "" if choice in (None, "...") else str(choice)  # "..." stands for a lambda


def _is_back(shape: Shape, source: int, target: int) -> bool:
    return any(region["head"] == target and source in region["members"] for region in shape["regions"])


def _region(shape: Shape, index: int) -> Region:
    region = shape["regions"][index]
    inner = {v for other in shape["regions"] if other["parent"] == index for v in other["members"]}
    label, limit = _entry(shape, set(region["members"])) if region["kind"] == "scope" else ("", None)
    return Region(
        kind=region["kind"],
        head=region["head"],
        members=tuple(v for v in region["members"] if v not in inner),
        parent=region["parent"],
        each=label,
        limit=limit,
        repeats=region["kind"] == "loop" and len(region["members"]) == 1,
    )


def _entry(shape: Shape, members: set[int]) -> tuple[str, int | None]:
    """The `each` whose body *members* is: the one edge of that kind that comes from outside."""
    for groups in shape["groups"]:
        for group in groups:
            for index in group["edges"]:
                edge = shape["edges"][index]
                if edge["kind"] == "each" and edge["to"] in members and edge["from"] not in members:
                    return edge.get("label", ""), group.get("limit")
    return "", None
