"""Dotted paths into a field: ``"approval.granted"``. What type stands at their end, as far as annotations tell."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import typing
from collections.abc import Mapping, Sequence, Sized
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

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
    known = _attributes(holder)
    if name in known:
        return known[name]
    if hasattr(origin, name) or not _says_all(origin):
        return Any
    raise NoStep(number, origin, list(known))


def _key(holder: type, name: str, number: int) -> Any:
    hints = typing.get_type_hints(holder)
    if name not in hints:
        raise NoStep(number, holder, list(hints))
    optional: frozenset[str] = getattr(holder, "__optional_keys__", frozenset())
    return Union[hints[name], None] if name in optional else hints[name]  # noqa: UP007


@functools.lru_cache(maxsize=256)
def _attributes(holder: Any) -> Mapping[str, Any]:
    """The attributes of a class with the types that are known: annotated ones, and properties."""
    found: dict[str, Any] = {}
    for base in reversed([b for b in holder.__mro__ if b not in BaseModel.__mro__]):
        for name, value in vars(base).items():
            if isinstance(value, property | functools.cached_property):
                getter = value.fget if isinstance(value, property) else value.func
                found[name] = _hints(getter).get("return", Any)
    if issubclass(holder, BaseModel):
        holder.model_rebuild(raise_errors=False)  # it may name a class that was defined after it
        return {**found, **{name: info.annotation for name, info in holder.model_fields.items()}}
    return {**found, **_hints(holder)}


def _hints(holder: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(holder)
    except (NameError, TypeError):
        return {}


def _says_all(holder: type) -> bool:
    """Whether a class names all its attributes in its annotations."""
    if any("__getattr__" in vars(base) for base in holder.__mro__ if base not in BaseModel.__mro__):
        return False
    if issubclass(holder, BaseModel):
        return holder.model_config.get("extra") != "allow"
    named_tuple = issubclass(holder, tuple) and hasattr(holder, "_fields")
    return dataclasses.is_dataclass(holder) or named_tuple or holder.__module__ == "builtins"
