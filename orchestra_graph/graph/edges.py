"""Edges, and the groups they form.

The edges, switches and eaches of one node are independent groups: each that applies is followed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["Choice", "Condition", "Edge", "EdgeKind", "Group", "GroupKind", "Renamed", "label_of"]

Choice: TypeAlias = "str | Callable[..., object]"
"""A field, a dotted path into one (``"approval.granted"``), or a function of fields."""
Condition: TypeAlias = "str | Callable[..., bool]"
"""A function of fields, or a field's name: it is set (neither unwritten nor None nor False nor empty)."""

EdgeKind = Literal["always", "when", "otherwise", "case", "default", "each", "empty", "drop", "error", "limit"]
GroupKind = Literal["edges", "switch", "each", "drop", "error", "limit"]


class Renamed:
    """A function of the fields of a subgraph, which is asked by the names that these have in the whole plan.

    Attributes:
        names: Parameter to field.
    """

    def __init__(self, fn: Callable[..., Any], names: Mapping[str, str]):
        self.__wrapped__ = fn
        self.__name__ = getattr(fn, "__name__", type(fn).__name__)
        self.names = dict(names)

    def __call__(self, **fields: Any) -> Any:
        """Ask the function; *fields* are named as in the plan."""
        return self.__wrapped__(**{name: fields[field] for name, field in self.names.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One edge of a plan.

    Attributes:
        source: Vertex.
        target: Vertex.
        kind: ``always``; ``when`` its condition holds; ``otherwise``, when no condition of its group does; ``case`` and
            ``default`` of a switch; ``each``, once for every element; ``empty``, where an empty list goes; ``drop``, to
            the end, when nothing else is taken; ``error``, when the node has failed for good; ``limit``, when a limit
            is reached.
        condition: For ``when``.
        values: For ``case``: the values that lead here.
        reads: The fields that its condition needs.
        label: What pictures write on it.
        errors: For ``error``: the exception types that it takes.
        where: The line that declared it.
    """

    source: int
    target: int
    kind: EdgeKind
    condition: Condition | None = None
    values: tuple[Any, ...] = ()
    errors: tuple[type[BaseException], ...] = ()
    reads: tuple[str, ...] = ()
    label: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Edges of one node that are decided together.

    Attributes:
        kind: ``edges`` (every one whose condition holds, else the ``otherwise``), ``switch`` (exactly one), ``each``
            (the body for every element, or the ``empty`` edge), ``drop`` (only when no other group took anything),
            ``error`` (instead of all others, when the node has failed: the first such group whose types fit),
            ``limit`` (instead of all others, when a limit is reached).
        edges: Indices of edges, in declared order.
        choice: Of a switch, and the items of an each: a path or function.
        reads: The fields that *choice* needs.
        limit: Of an each: how many instances may run at once.
        where: The line that declared it.
    """

    kind: GroupKind
    edges: tuple[int, ...]
    choice: Choice | None = None
    reads: tuple[str, ...] = ()
    limit: int | None = None
    where: str = ""


def label_of(choice: Choice | None) -> str:
    """What a picture writes for a condition."""
    if choice is None or isinstance(choice, str):
        return choice or ""
    name = getattr(choice, "__name__", type(choice).__name__)
    return "..." if name == "<lambda>" else name
