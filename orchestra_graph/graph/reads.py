"""Everything a graph reads: the parameters of its nodes, and what is asked of the state behind a node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from orchestra_graph.graph.edges import Choice, Group, Renamed, label_of
from orchestra_graph.graph.fits import fits, is_collection, members
from orchestra_graph.graph.paths import NoStep, type_at
from orchestra_graph.graph.plan import Plan, PlanNode
from orchestra_graph.graph.signature import choice_reads, hints_of
from orchestra_graph.state.schema import Schema

__all__ = [
    "UNWRITTEN",
    "Asked",
    "Path",
    "Read",
    "asked_of",
    "choice_hints",
    "choice_type",
    "path_of",
    "reads_of",
    "takes_several",
]

Path: TypeAlias = tuple[str, ...]
"""A field, and the steps into its value."""


class _Unwritten:
    """What is there of a `later()` field before anything was written."""

    def __repr__(self) -> str:
        return "UNWRITTEN"


UNWRITTEN = _Unwritten()


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One reading of a value.

    Attributes:
        vertex: Where.
        path: What.
        wanted: The type it is taken for; ``Any`` for every type.
        after: It is read when the vertex is done.
        through: A None will not do, whatever the type: a path goes on behind it, or an `each` goes over it.
        who: What reads it, for messages.
        where: File and line.
    """

    vertex: int
    path: Path
    wanted: Any = Any
    after: bool = False
    through: bool = False
    who: str
    where: str

    def refuses(self, member: Any) -> bool:
        """Whether a value of this type must not be there."""
        if member is UNWRITTEN or (self.through and member is type(None)):
            return True
        return fits(member, self.wanted) is False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of the state when a node is done: by a `when=`, a switch or an `each`.

    Attributes:
        vertex: The node.
        kind: Who asks.
        choice: A path or a function.
        where: File and line.
    """

    vertex: int
    kind: str
    choice: Choice
    where: str

    def who(self, plan: Plan) -> str:
        """What messages call it."""
        after = f"after '{plan.nodes[self.vertex].name}'"
        named = f"path '{self.choice}'" if isinstance(self.choice, str) else f"function {label_of(self.choice)}"
        return f"the {named} of the {self.kind} {after}"


def path_of(choice: str) -> Path:
    """The path that a condition, a switch or the items of an `each` name."""
    return tuple(choice.split("."))


def asked_of(plan: Plan) -> Iterator[Asked]:
    """What every node is asked when it is done."""
    for node in plan.nodes:
        for group in node.groups:
            if group.choice is not None:
                yield Asked(vertex=node.index, kind=group.kind, choice=group.choice, where=group.where)
            for edge in (plan.edges[e] for e in group.edges):
                if edge.condition is not None:
                    yield Asked(vertex=node.index, kind="when", choice=edge.condition, where=edge.where)


def choice_hints(choice: Choice) -> dict[str, Any]:
    """The annotations of a function of fields; none for a path, and for a function whose annotations cannot be read."""
    if isinstance(choice, str):
        return {}
    try:
        hints = hints_of(choice)
    except (NameError, TypeError):
        return {}
    return {choice.names.get(k, k): v for k, v in hints.items()} if isinstance(choice, Renamed) else hints


def reads_of(plan: Plan) -> Iterator[Read]:
    """Everything that is read, in the order of the nodes."""
    for node in plan.nodes:
        yield from _parameters(plan, node)
    for asked in asked_of(plan):
        yield from _asked(plan, asked)


def _parameters(plan: Plan, node: PlanNode) -> Iterator[Read]:
    """What a node is given; what goes into a graph that stands there, and what comes out of it."""
    given = [(param.source, param.annotation) for param in node.params if param.kind == "field"]
    given += [(t.source, plan.schema.fields[t.field].annotation) for t in node.transfers if t.kind == "source"]
    for choice, wanted in given:
        if node.kind == "leave":  # what it writes is checked like every write
            wanted = Any
        read = partial(Read, vertex=node.index, who=f"'{node.name}'", where=node.where)
        if not isinstance(choice, str):
            hints = choice_hints(choice)
            yield from (read(path=(name,), wanted=hints.get(name, Any)) for name in choice_reads(choice))
            continue
        path = path_of(choice)
        yield from (read(path=path[:length], through=True) for length in range(1, len(path)))
        yield read(path=path, wanted=wanted)


def _asked(plan: Plan, asked: Asked) -> Iterator[Read]:
    """What is needed to answer: the parameters of a function; of a path every value that it leads through."""
    read = partial(Read, vertex=asked.vertex, after=True, who=asked.who(plan), where=asked.where)
    if not isinstance(asked.choice, str):
        hints = choice_hints(asked.choice)
        for name in choice_reads(asked.choice):
            yield read(path=(name,), wanted=hints.get(name, Any))
        return
    path = path_of(asked.choice)
    for length in range(1, len(path)):
        yield read(path=path[:length], through=True)
    if asked.kind != "when":  # a condition may look at what is not there: it does not hold
        yield read(path=path, through=asked.kind == "each")


def choice_type(schema: Schema, choice: Choice) -> Any:
    """The type of what a path or a function of fields gives; ``Any`` where that is not known."""
    if not isinstance(choice, str):
        return choice_hints(choice).get("return", Any)
    root, *steps = path_of(choice)
    if root not in schema.fields:
        return Any  # said where the fields of choices are checked
    try:
        return type_at(schema.fields[root].annotation, steps)
    except NoStep:
        return Any


def takes_several(schema: Schema, group: Group) -> bool:
    """Whether a switch is over a list: it follows every case that is named in one, and nothing for an empty one."""
    if group.kind != "switch" or group.choice is None:
        return False
    return any(map(is_collection, members(choice_type(schema, group.choice))))
