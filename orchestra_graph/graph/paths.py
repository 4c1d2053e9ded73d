"""Dotted paths into a field: ``"approval.granted"``. What type stands at their end, as far as annotations tell."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Sequence, Sized
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestra_graph.graph.attributes import attributes_of, says_all
from orchestra_graph.graph.fits import is_typed_dict, members
from orchestra_graph.state.schema import LATER

__all__ = ["NoStep", "never_empty", "type_at"]


class NoStep(Exception):
    """A path leads through something that is not there.

    Attributes:
        step: Its number.
        holder: The type that has no such attribute.
        known: The attributes that it has.
    """

    def __init__(self, step: int, holder: Any, known: Sequence[str]):
        super().__init__(step, holder, known)
        self.step, self.holder, self.known = step, holder, known


def type_at(annotation: Any, steps: Sequence[str]) -> Any:
    """The type at the end of a path that begins at a value of type *annotation*.

    A None on the way is passed over: whether it can be there is another question. ``Any`` stands for what nobody can
    tell.

    Raises:
        NoStep: A type on the way has no such attribute.
    """
    for number, step in enumerate(steps):
        parts = [p for p in members(annotation) if p is not type(None)]
        if not parts:
            raise NoStep(number, None, ())
        annotation = Union[tuple(_attribute(part, step, number) for part in parts)]  # noqa: UP007
    return annotation


def never_empty(model: type[BaseModel], steps: Sequence[str]) -> bool:
    """Whether the sequence at the end of a path always has an element.

    Args:
        model: Where the path begins.
        steps: The path.
    """
    *before, last = steps
    try:
        holders = [m for m in members(type_at(model, before)) if m is not type(None)]
    except NoStep:
        return False
    fields = [h.model_fields.get(last) if isinstance(h, type) and issubclass(h, BaseModel) else None for h in holders]
    return bool(fields) and all(info is not None and _wants_an_element(info) for info in fields)


def _wants_an_element(info: FieldInfo) -> bool:
    if get_origin(info.annotation) is tuple and get_args(info.annotation)[1:] != (Ellipsis,):
        return bool(get_args(info.annotation))
    least = max((getattr(mark, "min_length", None) or 0 for mark in info.metadata), default=0)
    if info.is_required() or info.default is LATER:
        return least > 0
    # pydantic does not look at a default: it may be shorter than the field allows
    return least > 0 and isinstance(info.default, Sized) and len(info.default) > 0


def _attribute(part: Any, name: str, number: int) -> Any:
    """The type of one attribute; of a mapping, of the value under a key."""
    origin: Any = get_origin(part) or part
    if origin is typing.Literal:
        origin = type(get_args(part)[0])
    if not isinstance(origin, type):
        return Any
    if is_typed_dict(origin):
        return _key(origin, name, number)
    if issubclass(origin, collections.abc.Mapping):
        arguments = get_args(part)
        return Union[arguments[1], None] if len(arguments) == 2 else Any  # noqa: UP007
    holder: Any = origin
    known = attributes_of(holder)
    if name in known:
        return known[name]
    if hasattr(origin, name) or not says_all(origin):
        return Any
    raise NoStep(number, origin, list(known))


def _key(holder: type, name: str, number: int) -> Any:
    hints = typing.get_type_hints(holder)
    if name not in hints:
        raise NoStep(number, holder, list(hints))
    optional: frozenset[str] = getattr(holder, "__optional_keys__", frozenset())
    return Union[hints[name], None] if name in optional else hints[name]  # noqa: UP007
