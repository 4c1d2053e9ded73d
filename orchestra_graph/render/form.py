"""The form of a graph, read from its shape: what a picture needs to know, without any code of the graph.

A shape may come from a database that another release wrote. So it is read here, once, into typed values; a key that
only adds to the picture may be missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from orchestra_graph.graph.plan import Shape

__all__ = ["Form", "Link", "Region", "Vertex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """A node of the form.

    Attributes:
        name: Its name.
        kind: ``start``, ``work``, ``ask`` or ``end``; ``enter`` and ``leave``, the two ends of a call.
        writes: The fields it may write.
        irreversible: It is never repeated by itself.
        optional: A question that may ask nobody.
        turns: How often it may run, or None.
        rule: How branches join there, where that was said.
        rivals: The nodes that it races with.
        ends: It ends its graph: ``done`` or ``failed``; or None.
    """

    name: str
    kind: str
    writes: tuple[str, ...]
    irreversible: bool
    optional: bool
    turns: int | None
    rule: str = ""
    rivals: tuple[str, ...] = ()
    ends: str | None = None


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
    """A loop, the body of an `each`, or a graph that stands in this one.

    Attributes:
        kind: Which of the three.
        head: Where a loop's next turn begins.
        members: The vertices in it and in no region inside it.
        parent: The region around it, by index.
        each: Of a body: the label of the edge that leads into it.
        limit: Of a body: how many instances may run at once.
        repeats: A loop of one node that follows itself.
        call: Of a graph: what it is called.
        enter: Of a graph: the vertex before it.
        leave: Of a graph: the last vertex in it.
    """

    kind: Literal["loop", "scope", "call"]
    head: int | None
    members: tuple[int, ...]
    parent: int | None
    each: str = ""
    limit: int | None = None
    repeats: bool = False
    call: str = ""
    enter: int = -1
    leave: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A graph as pictures know it. Vertices, links and regions are named by their index.

    Attributes:
        vertices: START first, END last.
        links: As in `RunRecord.taken`.
        regions: Loops, bodies and calls.
        full: What the vertices are called in a run: a name with those of the graphs around it.
    """

    vertices: tuple[Vertex, ...]
    links: tuple[Link, ...]
    regions: tuple[Region, ...]
    full: tuple[str, ...] = ()

    @classmethod
    def of(cls, shape: Shape) -> Form:
        """Read a shape."""
        return cls(
            vertices=tuple(_vertex(shape, index) for index in range(len(shape["nodes"]))),
            links=_links(shape),
            regions=tuple(_region(shape, index) for index in range(len(shape["regions"]))),
            full=tuple(node["name"] for node in shape["nodes"]),
        )

    def around(self, vertex: int) -> tuple[str, ...]:
        """The kinds of the regions around *vertex*, innermost first."""
        index = next((i for i, region in enumerate(self.regions) if vertex in region.members), None)
        kinds = []
        while index is not None:
            kinds.append(self.regions[index].kind)
            index = self.regions[index].parent
        return tuple(kinds)


def _vertex(shape: Shape, index: int) -> Vertex:
    node = shape["nodes"][index]
    inside = _calls_around(shape, index)
    return Vertex(
        name=_within(node["name"], inside),
        kind=node["kind"],
        writes=tuple(_within(field, inside) for field in node.get("writes", ())),
        irreversible=node.get("effect") == "irreversible",
        optional=bool(node.get("optional")),
        turns=node.get("turns"),
        rule=_rule_text(shape.get("rules", {}).get(str(index))),
        rivals=tuple(
            shape["nodes"][rival]["name"]
            for race in shape.get("races", ())
            if index in race
            for rival in race
            if rival != index
        ),
        ends=node.get("terminates"),
    )


def _calls_around(shape: Shape, index: int) -> list[str]:
    """The names of the graphs in which a vertex stands, the innermost first."""
    around = [call for call in shape.get("calls", ()) if index in call["members"]]
    return [call["name"] for call in sorted(around, key=lambda call: len(call["members"]))]


def _within(name: str, inside: list[str]) -> str:
    """A name as it is called in the graph in which it stands: ``read``, not ``review/read``."""
    for call in inside:
        if name == f"{call}/END":
            return f"{call.rpartition('/')[2]}/END"
        if name.startswith(f"{call}/"):
            return name.removeprefix(f"{call}/")
    return name


def _rule_text(rule: Mapping[str, Any] | None) -> str:
    """A join rule as it is written in code; empty where it is the usual one."""
    if rule is None or rule["kind"] not in _RULES:
        return ""
    said = _RULES[rule["kind"]].format(count=rule.get("count") or 1, predicate=_named(rule.get("predicate")) or "...")
    return f"{said}, cancels the rest" if rule.get("cancel_rest") else said


_RULES: Final[Mapping[str, str]] = {
    "all_of": "all_of",
    "each_one": "each_one",
    "first": "first({count})",
    "until": "until {predicate}",
    "zipped": "zipped",
    "batches": "batches({count})",
}


def _links(shape: Shape) -> tuple[Link, ...]:
    choices = {edge: group.get("choice") for groups in shape["groups"] for group in groups for edge in group["edges"]}
    leaving = Counter(edge["from"] for edge in shape["edges"])
    return tuple(
        Link(
            source=edge["from"],
            target=edge["to"],
            kind=edge["kind"],
            label=_within(edge.get("label", ""), _calls_around(shape, edge["from"])),
            choice=_within(_named(choices.get(index)), _calls_around(shape, edge["from"])),
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
    call = _call_of(shape, region)
    inner = {v for other in shape["regions"] if other["parent"] == index for v in other["members"]}
    body = region["kind"] == "scope" and call is None
    label, limit = _entry(shape, set(region["members"])) if body else ("", None)
    return Region(
        kind=region["kind"] if call is None else "call",
        head=region["head"],
        members=tuple(v for v in region["members"] if v not in inner),
        parent=region["parent"],
        each=label,
        limit=limit,
        repeats=region["kind"] == "loop" and len(region["members"]) == 1,
        call="" if call is None else _within(call["name"], _calls_around(shape, call["enter"])),
        enter=-1 if call is None else call["enter"],
        leave=-1 if call is None else call["leave"],
    )


def _call_of(shape: Shape, region: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The call whose inside a region is."""
    if region["kind"] != "scope":
        return None
    return next((c for c in shape.get("calls", ()) if sorted(c["members"]) == sorted(region["members"])), None)


def _entry(shape: Shape, members: set[int]) -> tuple[str, int | None]:
    """The `each` whose body *members* is: the one edge of that kind that comes from outside."""
    for groups in shape["groups"]:
        for group in groups:
            for index in group["edges"]:
                edge = shape["edges"][index]
                if edge["kind"] == "each" and edge["to"] in members and edge["from"] not in members:
                    return edge.get("label", ""), group.get("limit")
    return "", None
