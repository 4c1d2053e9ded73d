"""What was said to a `Graph`, before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from orchestra_graph.errors import Problem
from orchestra_graph.graph.edges import Choice, Condition
from orchestra_graph.graph.node import Node, Place
from orchestra_graph.graph.policies import Limits
from orchestra_graph.state.schema import State

__all__ = ["Declaration", "Declared", "DeclaredEach", "DeclaredEdge", "DeclaredSwitch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredEdge:
    """One call of `edge`."""

    sources: tuple[Place, ...]
    targets: tuple[Place, ...]
    when: Condition | None
    otherwise: bool
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSwitch:
    """One call of `switch`."""

    source: Place
    choice: Choice
    cases: tuple[tuple[Any, tuple[Place, ...]], ...]
    default: tuple[Place, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredEach:
    """One call of `each`."""

    source: Place
    items: Choice
    work: Place
    collect: Place | None
    empty: Place | None
    limit: int | None
    where: str


Declared: TypeAlias = "DeclaredEdge | DeclaredSwitch | DeclaredEach"


@dataclass(slots=True, kw_only=True)
class Declaration:
    """A graph as it was declared.

    Attributes:
        state: The state class.
        name: The graph's name.
        version: Its version.
        limits: How far a run may go.
        where: The line of ``Graph(...)``.
        starts: Where a run begins, each with its line.
        declared: Edges, switches and eaches, in order.
        turns: Nodes with a limit of their own, each with its line.
        steps: The nodes by name, in the order in which they were first named.
        problems: What was seen to be wrong at once.
    """

    state: type[State]
    name: str
    version: str
    limits: Limits
    where: str
    starts: list[tuple[Place, str]] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)
    turns: list[tuple[Place, int, str]] = field(default_factory=list)
    steps: dict[str, Node[Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
