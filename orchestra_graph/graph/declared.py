"""What was said to a `Graph`, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from orchestra_graph.errors import Problem
from orchestra_graph.graph.edges import Choice, Condition
from orchestra_graph.graph.migration import Migration
from orchestra_graph.graph.node import Node, Place, Step
from orchestra_graph.graph.policies import JoinRule, Limits
from orchestra_graph.state.schema import State

__all__ = [
    "Declaration",
    "Declared",
    "DeclaredEach",
    "DeclaredEdge",
    "DeclaredGraph",
    "DeclaredJoin",
    "DeclaredLimit",
    "DeclaredRace",
    "DeclaredSwitch",
    "DeclaredTerminate",
    "Part",
]


class DeclaredGraph(Step):
    """A graph, as what can stand in another one."""

    declaration: Declaration


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What stands in a graph under one name.

    Attributes:
        what: A node, or a graph.
        inputs: Of a node, parameter to what it is given; of a graph, its field to what it begins with.
        outputs: Of a node, where what it writes goes: a field, or name to field; of a graph, its field to the field
            outside that takes its final value.
        where: The line that named it.
    """

    what: Node[Any] | DeclaredGraph
    inputs: Mapping[str, Choice] = field(default_factory=dict)
    outputs: str | Mapping[str, str] | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredEdge:
    """One call of `edge`."""

    sources: tuple[Place, ...]
    targets: tuple[Place, ...]
    when: Condition | None
    otherwise: bool
    errors: tuple[type[BaseException], ...]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredJoin:
    """One call of `join`."""

    place: Place
    rule: JoinRule
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredRace:
    """One call of `race`."""

    places: tuple[Place, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredLimit:
    """One of the numbers of a call of `limit`; *place* is None for the graph itself."""

    place: Place | None
    kind: Literal["turns", "steps", "seconds", "message"]
    allowed: float
    then: Place | None
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTerminate:
    """One call of `terminate`."""

    place: Place
    status: Literal["done", "failed"]
    where: str


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
        joins: The join rules that were set.
        races: The races.
        caps: The limits of the graph and of its loops.
        ends: The nodes that end it.
        migrations: What is said about runs of older versions.
        steps: What stands in it by name, in the order in which it was first named.
        problems: What was seen to be wrong at once.
    """

    state: type[State]
    name: str
    version: str
    limits: Limits
    where: str
    starts: list[tuple[Place, str]] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)
    joins: list[DeclaredJoin] = field(default_factory=list)
    races: list[DeclaredRace] = field(default_factory=list)
    caps: list[DeclaredLimit] = field(default_factory=list)
    ends: list[DeclaredTerminate] = field(default_factory=list)
    migrations: list[Migration] = field(default_factory=list)
    steps: dict[str, Part] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How much has been said, in the graphs that stand in it, too: what was compiled of less is out of date."""
        return self._size(frozenset())

    def _size(self, around: frozenset[int]) -> int:
        own: tuple[Sized, ...] = (
            self.starts,
            self.declared,
            self.joins,
            self.races,
            self.caps,
            self.ends,
            self.migrations,
            self.steps,
            self.problems,
        )
        inside = (part.what.declaration for part in self.steps.values() if isinstance(part.what, DeclaredGraph))
        here = around | {id(self)}
        return sum(map(len, own)) + sum(other._size(here) for other in inside if id(other) not in here)
