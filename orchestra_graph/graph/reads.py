"""Everything a graph reads: the parameters of its nodes, and what is asked of the state behind a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from orchestra_graph.graph.attributes import members_of
from orchestra_graph.graph.edges import Choice, Group, Renamed, label_of
from orchestra_graph.graph.fits import fits, is_collection, members
from orchestra_graph.graph.paths import NoStep, type_at
from orchestra_graph.graph.plan import Plan, PlanNode
from orchestra_graph.graph.signature import choice_reads, hints_of
from orchestra_graph.state.schema import Schema

__all__ = [
    "UNWRITTEN",
    "Asked",
    "Given",
    "Path",
    "Read",
    "asked_of",
    "choice_hints",
    "choice_type",
    "conditions_of",
    "given_of",
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
_CONDITIONS = ("when", "until")


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
    """What is asked of the state: by a `when=`, a switch or an `each` when a node is done; by an `until` at a join.

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
        name = plan.nodes[self.vertex].name
        of = f"of the join '{name}'" if self.kind == "until" else f"of the {self.kind} after '{name}'"
        return f"the {_named(self.choice)} {of}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a node, or a graph that stands in this one, is given; or what such a graph gives at its end.

    Attributes:
        vertex: Where.
        name: The parameter, or the field that it is given to.
        choice: A path or a function.
        wanted: The type that it must have.
        who: Who takes it, for messages.
        where: File and line.
    """

    vertex: int
    name: str
    choice: Choice
    wanted: Any
    who: str
    where: str


def _named(choice: Choice) -> str:
    return f"path '{choice}'" if isinstance(choice, str) else f"function {label_of(choice)}"


def path_of(choice: str) -> Path:
    """The path that a condition, a switch or the items of an `each` name."""
    return tuple(choice.split("."))


def asked_of(plan: Plan) -> Iterator[Asked]:
    """What every node is asked when it is done; a join that waits until something holds, when something has come."""
    for node in plan.nodes:
        predicate = plan.topology.rule[node.index].predicate
        if predicate is not None:
            yield Asked(vertex=node.index, kind="until", choice=predicate, where=node.where)
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


def given_of(plan: Plan) -> Iterator[Given]:
    """Everything that is given to a parameter, or to a field of a graph that stands in this one."""
    for node in plan.nodes:
        given = partial(Given, vertex=node.index, where=node.where)
        for param in node.params:
            if param.kind == "field":
                who = f"'{node.name}'"
                yield given(name=param.name, choice=param.source, wanted=param.annotation, who=who)
            for name, field in param.view.items():
                who = f"'{node.name}' (by {param.annotation.__name__})"
                yield given(name=name, choice=field, wanted=members_of(param.annotation)[name], who=who)
        for transfer in node.transfers:
            if transfer.kind == "source" and node.kind == "enter":
                wanted, who = plan.schema.fields[transfer.field].annotation, f"graph '{node.name}'"
                yield given(name=transfer.field, choice=transfer.source, wanted=wanted, who=who)


def reads_of(plan: Plan) -> Iterator[Read]:
    """Everything that is read, in the order of the nodes."""
    for given in given_of(plan):
        yield from _given(given)
    for node in plan.nodes:
        if node.kind == "leave":
            yield from _handed_out(plan, node)
    for asked in asked_of(plan):
        yield from _asked(plan, asked)


def _on_the_way(read: Callable[..., Read], choice: Choice) -> Iterator[Read]:
    """The parameters of a function; of a path every value that it leads through, but not the one at its end."""
    if not isinstance(choice, str):
        hints = choice_hints(choice)
        yield from (read(path=(name,), wanted=hints.get(name, Any)) for name in choice_reads(choice))
        return
    path = path_of(choice)
    yield from (read(path=path[:length], through=True) for length in range(1, len(path)))


def _given(given: Given) -> Iterator[Read]:
    read = partial(Read, vertex=given.vertex, who=given.who, where=given.where)
    yield from _on_the_way(read, given.choice)
    if isinstance(given.choice, str):
        yield read(path=path_of(given.choice), wanted=given.wanted)


def _handed_out(plan: Plan, node: PlanNode) -> Iterator[Read]:
    """What a graph gives at its end must have been written by then; whether it fits is looked at as a write."""
    for transfer in node.transfers:
        if isinstance(transfer.source, str) and transfer.kind == "source":
            who = f"the end of graph '{node.name.removesuffix('/END')}'"
            yield Read(vertex=node.index, path=path_of(transfer.source), who=who, where=node.where)


def _asked(plan: Plan, asked: Asked) -> Iterator[Read]:
    """What is needed to answer: a condition may look at what is not there, for then it does not hold."""
    after = asked.kind != "until"
    read = partial(Read, vertex=asked.vertex, after=after, who=asked.who(plan), where=asked.where)
    yield from _on_the_way(read, asked.choice)
    if isinstance(asked.choice, str) and asked.kind not in _CONDITIONS:
        yield read(path=path_of(asked.choice), through=asked.kind == "each")


def conditions_of(plan: Plan) -> Iterator[Read]:
    """What a condition looks at by its name, and which need not be there."""
    for asked in asked_of(plan):
        if asked.kind in _CONDITIONS and isinstance(asked.choice, str):
            after, who = asked.kind != "until", asked.who(plan)
            yield Read(vertex=asked.vertex, path=path_of(asked.choice), after=after, who=who, where=asked.where)


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
