"""Dotted paths into a field: ``"approval.granted"``. What type stands at their end, as far as annotations tell."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin, is_typeddict

from pydantic import BaseModel

from orchestra_graph.graph.fits import Annotation, members

__all__ = ["NoStep", "type_at"]


class NoStep(Exception):
    """A path leads through something that is not there.

    Attributes:
        step: Its number.
        holder: The type that has no such attribute.
        known: The attributes that it has.
    """

    def __init__(self, step: int, holder: Annotation, known: Sequence[str]):
        super().__init__(step, holder, known)
        self.step, self.holder, self.known = step, holder, known


def type_at(annotation: Annotation, steps: Sequence[str]) -> Annotation:
    """The type at the end of a path that begins at a value of type *annotation*.

    A None on the way is passed over: whether it can be there is another question. ``Any`` stands for what nobody can tell.

    Raises:
        NoStep: A type on the way has no such attribute.
    """
    for number, step in enumerate(steps):
        parts = [p for p in members(annotation) if p is not type(None)]
        if not parts:
            raise NoStep(number, None, ())
        annotation = Union[tuple(_attribute(part, step, number) for part in parts)]  # noqa: UP007
    return annotation


def _attribute(part: Annotation, name: str, number: int) -> Annotation:
    """The type of one attribute; of a mapping, of the value under a key."""
    origin = get_origin(part) or part
    if origin is typing.Literal:
        origin = type(get_args(part)[0])
    if not isinstance(origin, type):
        return Any
    if is_typeddict(origin):
        return _key(origin, name, number)
    if issubclass(origin, collections.abc.Mapping):
        arguments = get_args(part)
        return Union[arguments[1], None] if len(arguments) == 2 else Any  # noqa: UP007
    known = _attributes(origin)
    if name in known:
        return known[name]
    if hasattr(origin, name) or not _is_closed(origin):
        return Any
    raise NoStep(number, part, list(known))


def _key(holder: type, name: str, number: int) -> Annotation:
    hints = typing.get_type_hints(holder)
    if name not in hints:
        raise NoStep(number, holder, list(hints))
    optional: frozenset[str] = getattr(holder, "__optional_keys__", frozenset())
    return Union[hints[name], None] if name in optional else hints[name]  # noqa: UP007


@functools.lru_cache(maxsize=256)
def _attributes(holder: type) -> Mapping[str, Annotation]:
    """The attributes of a class with the types that are known: annotated ones, and properties."""
    found: dict[str, Annotation] = {}
    for base in reversed(holder.__mro__):
        for name, value in vars(base).items():
            getter = value.fget if isinstance(value, property) else getattr(value, "func", None)
            if isinstance(value, property | functools.cached_property) and not name.startswith("_"):
                found[name] = _hints(getter).get("return", Any)
    if issubclass(holder, BaseModel):
        return {**{n: t for n, t in found.items() if not hasattr(BaseModel, n)}, **_model_fields(holder)}
    return found if issubclass(holder, enum.Enum) else {**found, **_hints(holder)}


def _model_fields(holder: type[BaseModel]) -> dict[str, Annotation]:
    return {name: info.annotation for name, info in holder.model_fields.items()}


def _hints(holder: Any) -> dict[str, Annotation]:
    try:
        return typing.get_type_hints(holder)
    except (NameError, TypeError):
        return {}


def _is_closed(holder: type) -> bool:
    """Whether a class says all its attributes in its annotations."""
    if hasattr(holder, "__getattr__"):
        return issubclass(holder, BaseModel) and holder.__dict__.get("__pydantic_extra__") is None and not _open(holder)
    named_tuple = issubclass(holder, tuple) and hasattr(holder, "_fields")
    builtin = holder.__module__ == "builtins" or issubclass(holder, enum.Enum)
    return dataclasses.is_dataclass(holder) or named_tuple or builtin or _slotted(holder)


def _open(model: type[BaseModel]) -> bool:
    return model.model_config.get("extra") == "allow"


def _slotted(holder: type) -> bool:
    return inspect.isclass(holder) and holder.__module__ in ("decimal", "datetime", "uuid", "pathlib")
