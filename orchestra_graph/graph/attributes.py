"""The attributes of a class with their types, as far as its annotations tell."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

__all__ = ["attributes_of", "hints_in", "is_protocol", "members_of", "methods_of", "says_all"]

_NO_MEMBERS = ("__init__", "__new__", "__subclasshook__", "__class_getitem__")
"""What `typing` itself puts into the class of every protocol."""


@functools.lru_cache(maxsize=256)
def attributes_of(holder: Any) -> Mapping[str, Any]:
    """The attributes of a class with the types that are known: annotated ones, and properties."""
    found: dict[str, Any] = {}
    for base in reversed([b for b in holder.__mro__ if b not in BaseModel.__mro__]):
        for name, value in vars(base).items():
            if isinstance(value, property | functools.cached_property):
                getter = value.fget if isinstance(value, property) else value.func
                found[name] = hints_in(getter).get("return", Any)
    if issubclass(holder, BaseModel):
        holder.model_rebuild(raise_errors=False)  # it may name a class that was defined after it
        return {**found, **{name: info.annotation for name, info in holder.model_fields.items()}}
    return {**found, **hints_in(holder)}


def hints_in(holder: Any) -> dict[str, Any]:
    """The annotations of a class or a function; none where they name what is not there."""
    try:
        return typing.get_type_hints(holder)
    except (NameError, TypeError):
        return {}


def says_all(holder: type) -> bool:
    """Whether a class names all its attributes in its annotations."""
    if any("__getattr__" in vars(base) for base in holder.__mro__ if base not in BaseModel.__mro__):
        return False
    if issubclass(holder, BaseModel):
        return holder.model_config.get("extra") != "allow"
    named_tuple = issubclass(holder, tuple) and hasattr(holder, "_fields")
    return dataclasses.is_dataclass(holder) or named_tuple or holder.__module__ == "builtins"


# -- protocols -------------------------------------------------------------------------------------------


def is_protocol(annotation: Any) -> bool:
    """Whether a type is a protocol."""
    return isinstance(annotation, type) and bool(getattr(annotation, "_is_protocol", False))


def members_of(protocol: Any) -> Mapping[str, Any]:
    """What is read of an object that a protocol describes: its annotated members, and its properties."""
    return {name: kind for name, kind in attributes_of(protocol).items() if not name.startswith("__")}


def methods_of(protocol: type) -> tuple[str, ...]:
    """What is called on an object that a protocol describes."""
    found: dict[str, None] = {}
    for base in protocol.__mro__:
        if getattr(base, "_is_protocol", False):
            called = {n: None for n, v in vars(base).items() if inspect.isfunction(v) and n not in _NO_MEMBERS}
            found.update(called)
    return tuple(found)
