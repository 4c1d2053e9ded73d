"""Shapes and records for tests, in few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestra_graph.core.record import ActivationRecord, ActivationStatus, RunRecord, RunStatus
from orchestra_graph.graph.plan import Shape
from orchestra_graph.render.picture import Frame, Picture, PictureEdge, PictureNode

NOON = 1_772_366_400.0
"""2026-03-01 12:00 UTC."""

_GROUP_OF = {"when": "edges", "otherwise": "edges", "always": "edges", "case": "switch", "default": "switch"}
_GROUP_OF |= {"each": "each", "empty": "each", "drop": "drop", "error": "error", "limit": "limit"}

Way = tuple[str, str] | tuple[str, str, str, str]


def enter(name: str, **more: Any) -> dict[str, Any]:
    return work(name, kind="enter", **more)


def leave(name: str, **more: Any) -> dict[str, Any]:
    return work(f"{name}/END", kind="leave", **more)


def work(name: str, **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "kind": "work",
        "reads": [],
        "writes": [],
        "effect": "external",
        "turns": None,
        "optional": False,
    }
    return {**plain, "name": name, **more}


def ask(name: str, **more: Any) -> dict[str, Any]:
    return work(name, kind="ask", **more)


def shape(
    nodes: Sequence[Mapping[str, Any]],
    ways: Sequence[Way],
    *,
    choices: Mapping[str, str] | None = None,
    limit: int | None = None,
    regions: Sequence[tuple[str, str | None, Sequence[str], int | None]] = (),
    calls: Sequence[tuple[str, Sequence[str]]] = (),
    rules: Mapping[str, Mapping[str, Any]] | None = None,
    races: Sequence[Sequence[str]] = (),
) -> Shape:
    """A shape of nodes and of ways ``(from, to[, kind, label])``; every node's ways of one sort form one group.

    Calls are named with their members, without the last vertex.
    """
    everyone = [work("START", kind="start"), *nodes, work("END", kind="end")]
    index = {node["name"]: i for i, node in enumerate(everyone)}
    groups: list[dict[str, dict[str, Any]]] = [{} for _ in everyone]
    edges = []
    for number, way in enumerate(ways):
        source, target, kind, label = (*way, "always", "")[:4]
        sort = _GROUP_OF[kind]
        empty: dict[str, Any] = {"kind": sort, "edges": [], "choice": (choices or {}).get(source, ""), "limit": limit}
        groups[index[source]].setdefault(sort, empty)["edges"].append(number)
        edges.append({"from": index[source], "to": index[target], "kind": kind, "label": label})
    return {
        "fields": {},
        "nodes": everyone,
        "edges": edges,
        "groups": [list(found.values()) for found in groups],
        "regions": [
            {"kind": k, "head": None if h is None else index[h], "members": [index[m] for m in ms], "parent": p}
            for k, h, ms, p in regions
        ],
        "calls": [
            {
                "name": name,
                "enter": index[name],
                "leave": index[f"{name}/END"],
                "members": [index[member] for member in (*members, f"{name}/END")],
            }
            for name, members in calls
        ],
        "rules": {str(index[name]): rule for name, rule in (rules or {}).items()},
        "races": [[index[name] for name in race] for race in races],
    }


SUPPORT = shape(
    [
        work("classify", writes=["kind"]),
        work("find_order", writes=["order"]),
        work("draft", writes=["reply"]),
        work("check_policy", writes=["facts"]),
        work("check_stock", writes=["facts"]),
        ask("approve", writes=["approval"]),
        work("refund", effect="irreversible"),
    ],
    [
        ("START", "classify"),
        ("find_order", "check_policy"),
        ("find_order", "check_stock"),
        ("check_policy", "approve"),
        ("check_stock", "approve"),
        ("refund", "draft"),
        ("classify", "find_order", "case", "billing"),
        ("classify", "draft", "case", "bug, other"),
        ("approve", "refund", "case", "True"),
        ("approve", "draft", "case", "False"),
        ("draft", "END", "drop", ""),
    ],
    choices={"classify": "kind", "approve": "approval.granted"},
)

LICENCES = shape(
    [
        work("scan", writes=["packages"], turns=5),
        work("sort", writes=["found"]),
        work("collect", writes=["open"]),
        ask("ask_about", optional=True),
        work("report"),
    ],
    [
        ("START", "scan"),
        ("scan", "sort", "each", "for each package"),
        ("scan", "collect", "empty", "empty"),
        ("sort", "collect"),
        ("collect", "ask_about", "when", "open"),
        ("collect", "report", "otherwise", "otherwise"),
        ("ask_about", "scan"),
        ("report", "END", "drop", ""),
    ],
    limit=8,
    regions=[("loop", "scan", ["scan", "sort", "collect", "ask_about"], None), ("scope", None, ["sort"], 0)],
)


CALLED = shape(
    [
        work("draft", writes=["text"], turns=4),
        enter("review"),
        work("review/read", writes=["review/note"]),
        work("review/judge", writes=["review/good"], turns=3),
        work("review/mend", writes=["review/note"]),
        leave("review"),
        work("apologise"),
        work("publish"),
    ],
    [
        ("START", "draft"),
        ("draft", "review"),
        ("draft", "apologise", "error", "ValueError or KeyError"),
        ("draft", "apologise", "limit", "after 4 turns"),
        ("review", "review/read"),
        ("review/read", "review/judge"),
        ("review/judge", "review/END", "case", "True"),
        ("review/judge", "review/mend", "case", "False"),
        ("review/judge", "review/END", "limit", "after 3 turns"),
        ("review/mend", "review/judge"),
        ("review/END", "publish", "when", "good enough"),
        ("review/END", "draft", "otherwise", "otherwise"),
        ("review", "apologise", "limit", "after 60 seconds"),
        ("publish", "END", "drop", ""),
        ("apologise", "END", "drop", ""),
    ],
    choices={"review/judge": "review/good"},
    regions=[
        ("loop", "draft", ["draft", "review", "review/read", "review/judge", "review/mend", "review/END"], None),
        ("scope", None, ["review/read", "review/judge", "review/mend", "review/END"], 0),
        ("loop", "review/judge", ["review/judge", "review/mend"], 1),
    ],
    calls=[("review", ["review/read", "review/judge", "review/mend"])],
)
"""A graph in a loop, with a loop in it, an error edge, and a limit on every part."""

RACE = shape(
    [work("ask_both"), ask("approve"), work("wait"), work("merge"), work("stop", terminates="failed")],
    [
        ("START", "ask_both"),
        ("ask_both", "approve"),
        ("ask_both", "wait"),
        ("approve", "merge"),
        ("wait", "merge"),
        ("wait", "stop", "when", "late"),
        ("merge", "END", "drop", ""),
        ("stop", "END", "drop", ""),
    ],
    rules={"merge": {"kind": "first", "count": 2, "cancel_rest": True, "short": "error", "predicate": ""}},
    races=[["approve", "wait"]],
)
"""Two nodes of which the first to end withdraws the other, before a join with a rule of its own."""


def activation(
    node: str, status: ActivationStatus = "done", start: float = 0, end: float | None = 1, **more: Any
) -> ActivationRecord:
    """An activation; its times count from noon."""
    ended = None if end is None or status in ("running", "waiting", "retrying", "ready") else NOON + end
    return ActivationRecord(id=node, node=node, status=status, started=NOON + start, ended=ended, **more)


def run(status: RunStatus, *activations: ActivationRecord, taken: Mapping[int, int] | None = None) -> RunRecord:
    """A run that began at noon, and ended ten seconds later if it has ended."""
    return RunRecord(
        key="ticket-42",
        graph="support",
        version="1",
        status=status,
        started=NOON,
        ended=None if status in ("running", "waiting") else NOON + 10,
        activations=activations,
        taken=taken or {},
        steps=len(activations),
    )


def node_named(picture: Picture, name: str) -> PictureNode:
    return next(node for node in picture.nodes if node.name == name)


def edge_between(picture: Picture, source: str, target: str) -> PictureEdge:
    names = [node.name for node in picture.nodes]
    return next(e for e in picture.edges if (names[e.source], names[e.target]) == (source, target))


def all_frames(frames: Sequence[Frame]) -> list[Frame]:
    return [found for frame in frames for found in (frame, *all_frames(frame.frames))]
