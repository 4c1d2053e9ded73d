"""Reducers: how the writes of several nodes to one field become one value.

A field without a reducer holds the newest write. With one, every write is an *operand*, and the value of the field is
the fold of all operands over the default, in the logical order of the nodes that wrote them. That order is the same
whichever node finishes first, so a reducer need neither commute nor associate.

A node that returns `Replace(value)` for such a field sets it anew: what was folded before it, in that order, is gone,
and what comes later in that order is folded onto the new value.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

__all__ = [
    "Reducer",
    "Replace",
    "add",
    "append",
    "extend",
    "last",
    "maximum",
    "merge",
    "minimum",
    "operand_and_whole",
    "reducer",
    "union",
]

Value = TypeVar("Value")
Operand = TypeVar("Operand")
Whole = TypeVar("Whole", covariant=True)

Shape = Literal["value", "items", "element"]


@dataclass(frozen=True, slots=True)
class Reducer(Generic[Value, Operand]):
    """A named fold, put into the annotation of a field: ``facts: Annotated[list[str], extend] = []``.

    Attributes:
        name: What pictures and messages call it, and part of the graph's fingerprint.
        fold: ``fold(accumulated, operand)`` gives the new value and must not change either.
        shape: What a node returns for the field: a value of the field's own type (``"value"``), several elements of its
            sequence (``"items"``) or one element (``"element"``). The last two make the field a *grown* one: only what
            is added is stored.
        containers: The classes of which a field must be one; empty: any.
    """

    name: str
    fold: Callable[[Value, Operand], Value]
    shape: Shape = "value"
    containers: tuple[type, ...] = ()

    @property
    def grows(self) -> bool:
        """Whether the field is a sequence that only gets longer."""
        return self.shape != "value"

    def __repr__(self) -> str:
        return self.name


def _extend(acc: Any, items: Any) -> Any:
    return type(acc)((*acc, *items))


append: Reducer[Any, Any] = Reducer("append", _extend, "element", containers=(list, tuple))
"""One element more at the end of a list or tuple; a node returns the element."""

extend: Reducer[Any, Any] = Reducer("extend", _extend, "items", containers=(list, tuple))
"""Several elements more at the end of a list or tuple; a node returns a list of them."""

add: Reducer[Any, Any] = Reducer("add", lambda acc, x: acc + x)
"""The sum; a node returns the number to add."""

last: Reducer[Any, Any] = Reducer("last", lambda acc, x: x)
"""The last write in logical order. Says: parallel branches may both write this, and the later one in the graph's
order stands."""


def _or_nothing(fold: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The same fold, for which None is *nothing yet*: on either side it changes nothing."""

    def folded(acc: Any, x: Any) -> Any:
        return x if acc is None else acc if x is None else fold(acc, x)

    return folded


union: Reducer[Any, Any] = Reducer("union", _or_nothing(lambda acc, items: acc | items), containers=(set, frozenset))
"""All elements of all writes, of a set or frozenset; a node returns a set or a list of elements."""

merge: Reducer[Any, Any] = Reducer("merge", _or_nothing(lambda acc, x: {**acc, **x}), containers=(dict,))
"""One dict of all writes; a node returns a dict. Where two wrote the same key, the later one in logical order stands.
Only the top level is merged: a dict inside is a value like any other."""

maximum: Reducer[Any, Any] = Reducer("maximum", _or_nothing(lambda acc, x: x if x > acc else acc))
"""The largest of all writes, and of equal ones the first; a node returns a value. Declare ``T | None = None``
where there is none yet, else the default counts, too."""

minimum: Reducer[Any, Any] = Reducer("minimum", _or_nothing(lambda acc, x: x if x < acc else acc))
"""The smallest of all writes; otherwise as `maximum`."""


def reducer(fold: Callable[[Value, Operand], Value], /) -> Reducer[Value, Operand]:
    """Make a reducer of a function ``fold(accumulated, operand) -> accumulated``.

    The function must give the same result for the same arguments and must not change them in place.
    """
    return Reducer(fold.__name__, fold)


@dataclass(frozen=True)
class Replace(Generic[Whole]):
    """What a node returns to set a field with a reducer anew, in place of an operand.

        @node(writes="facts")
        async def prune(facts: list[str]) -> Replace[list[str]]:
            return Replace(facts[-10:])

    A node that does so now and then says ``-> list[str] | Replace[list[str]]``. Of a field without a reducer it means
    what returning the value itself means.

    Attributes:
        value: The whole new value; of the field's type, whatever the reducer folds in.
    """

    value: Whole


def operand_and_whole(declared: Any) -> tuple[Any, Any]:
    """Take a declared type of what is written apart: what is folded in, and what replaces; each None where it is not.

    ``list[str] | Replace[list[str]]`` gives ``list[str]`` twice.
    """
    if declared is None:
        return type(None), None
    members = get_args(declared) if get_origin(declared) in (typing.Union, types.UnionType) else (declared,)
    wholes = [m for m in members if (get_origin(m) or m) is Replace]
    if not wholes:
        return declared, None
    operands = tuple(m for m in members if m not in wholes)
    inside = tuple((get_args(m) or (Any,))[0] for m in wholes)
    return (typing.Union[operands] if operands else None), typing.Union[inside]  # noqa: UP007
