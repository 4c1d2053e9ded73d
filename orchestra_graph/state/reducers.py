"""Reducers: how the writes of several nodes to one field become one value.

A field without a reducer holds the newest write. With one, every write is an *operand*, and the value of the field is
the fold of all operands over the default, in the logical order of the nodes that wrote them. That order is the same
whichever node finishes first, so a reducer need neither commute nor associate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

__all__ = ["Reducer", "add", "append", "extend", "last", "reducer"]

Value = TypeVar("Value")
Operand = TypeVar("Operand")

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
    """

    name: str
    fold: Callable[[Value, Operand], Value]
    shape: Shape = "value"

    @property
    def grows(self) -> bool:
        """Whether the field is a sequence that only gets longer."""
        return self.shape != "value"

    def __repr__(self) -> str:
        return self.name


def _extend(acc: Any, items: Any) -> Any:
    return type(acc)((*acc, *items))


append: Reducer[Any, Any] = Reducer("append", _extend, "element")
"""One element more at the end of a list or tuple; a node returns the element."""

extend: Reducer[Any, Any] = Reducer("extend", _extend, "items")
"""Several elements more at the end of a list or tuple; a node returns a list of them."""

add: Reducer[Any, Any] = Reducer("add", lambda acc, x: acc + x)
"""The sum; a node returns the number to add."""

last: Reducer[Any, Any] = Reducer("last", lambda acc, x: x)
"""The last write in logical order. Says: parallel branches may both write this, and the later one in the graph's
order stands."""


def reducer(fold: Callable[[Value, Operand], Value], /) -> Reducer[Value, Operand]:
    """Make a reducer of a function ``fold(accumulated, operand) -> accumulated``.

    The function must give the same result for the same arguments and must not change them in place.
    """
    return Reducer(fold.__name__, fold)
