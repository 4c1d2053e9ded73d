"""Which types can be stored: what is written as JSON must come back as the same value, of the same type.

What can be told from the type alone is refused when the graph is compiled, with a reason (`unstorable`). What depends
on the value (a subclass in a field of its base, say) is refused when it is written (`codec`).
"""

from __future__ import annotations

import enum
import types
import typing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Annotated, Any, Literal, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EncodedBytes, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError

__all__ = ["adapter_of", "secret_in", "secret_type_in", "unstorable"]

_CONFIG = ConfigDict(
    ser_json_inf_nan="strings", ser_json_bytes="base64", val_json_bytes="base64", arbitrary_types_allowed=True
)


def adapter_of(annotation: Any) -> TypeAdapter[Any]:
    """What validates, writes and reads values of a type."""
    try:
        return TypeAdapter(annotation, config=_CONFIG)
    except PydanticUserError:  # a model brings its own config
        return TypeAdapter(annotation)


def unstorable(annotation: Any) -> str | None:
    """Say why values of this type cannot be stored, or None when they can."""
    for part in _parts(annotation, []):
        for reason in _REASONS:
            if (found := reason(part)) is not None:
                return found
    try:
        adapter_of(annotation).json_schema(mode="serialization")
    except PydanticUserError as error:
        (said, *_) = str(error).splitlines()
        unknown = said.partition("IsInstanceSchema (<class '")[2].partition("'")[0]
        return f"{unknown} has no form in JSON. Use a pydantic model or a dataclass" if unknown else said
    return None


_SECRET = "is a secret, and a run's state is stored. Give it to the Engine as a resource"


def secret_in(value: Any) -> str | None:
    """Say why a value cannot be stored that is a secret or has one in it; None where there is none."""
    todo, seen = [value], set[int]()
    while todo:
        part = todo.pop()
        if isinstance(part, SecretStr | SecretBytes):
            return f"a {type(part).__name__} {_SECRET}"
        if isinstance(part, str | bytes | int | float | None) or id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Mapping):
            todo += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset | deque):
            todo += part
        elif isinstance(part, BaseModel) or (is_dataclass(part) and not isinstance(part, type)):
            todo += getattr(part, "__dict__", {}).values() or [getattr(part, name) for name in _slots(part)]
    return None


def _slots(part: Any) -> list[str]:
    return list(getattr(type(part), "__dataclass_fields__", ()))


def secret_type_in(annotation: Any) -> str | None:
    """Say why values of this type are secrets, or have some in them; None where they have none."""
    return next((found for part in _parts(annotation, []) if (found := _is_secret(part)) is not None), None)


def _label(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _parts(annotation: Any, seen: list[Any]) -> Iterator[Any]:
    """A type, and all that its values are made of."""
    if isinstance(annotation, typing.NewType):
        annotation = annotation.__supertype__
    if hasattr(annotation, "__value__"):  # a `type X = ...` of Python 3.12
        annotation = annotation.__value__
    if any(annotation is s for s in seen):
        return
    seen.append(annotation)
    yield annotation
    if get_origin(annotation) in (Literal, Callable):
        return
    for inner in get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation):
        if inner is not Ellipsis:
            yield from _parts(inner, seen)
    for inner in _members(annotation).values():
        yield from _parts(inner, seen)


def _members(annotation: Any) -> Mapping[str, Any]:
    """The fields of a model, dataclass, TypedDict or NamedTuple, with their types."""
    if not isinstance(annotation, type):
        return {}
    if issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return {n: Annotated[(f.annotation, *f.metadata)] if f.metadata else f.annotation for n, f in fields}
    if is_dataclass(annotation) or hasattr(annotation, "_fields") or hasattr(annotation, "__required_keys__"):
        try:
            return typing.get_type_hints(annotation, include_extras=True)
        except (NameError, TypeError):  # pydantic says which name
            return {}
    return {}


# -- reasons ---------------------------------------------------------------------------------------------


def _is_secret(part: Any) -> str | None:
    if isinstance(part, type) and issubclass(part, SecretStr | SecretBytes):
        return f"{part.__name__} {_SECRET}"
    return None


def _is_no_data(part: Any) -> str | None:
    origin = get_origin(part) or part
    no_data = (complex, type, Callable, Iterator, Iterable, typing.Generator, types.FunctionType)
    return f"{_label(part)} has no form in JSON" if origin in no_data else None


_AS_TEXT = (Decimal, date, time, timedelta, bytes, UUID, PurePath)
_AS_LIST = (list, tuple, set, frozenset, deque)


def _looks_alike(part: Any) -> str | None:
    """Two members of a union whose JSON looks the same come back as the wrong one."""
    if get_origin(part) not in (typing.Union, types.UnionType):
        return None
    members = [a for a in get_args(part) if isinstance(get_origin(a) or a, type)]
    texts = [a for a in members if _is_of(a, _AS_TEXT)]
    enums = [a for a in members if _is_of(a, (enum.Enum,)) and any(isinstance(m.value, str) for m in a)]
    lists = list({get_origin(a) or a: a for a in members if _is_of(a, _AS_LIST)}.values())
    numbers = [a for a in members if a in (int, float) and any(t is Decimal for t in texts)]
    strings = [a for a in members if a is str]
    alike: list[Any] = lists if len(lists) > 1 else []
    if texts and (strings or numbers):
        alike = [texts[0], (strings + numbers)[0]]
    elif enums and strings:
        alike = [enums[0], str]
    if not alike:
        return None
    pair = f"{_label(alike[0])} and {_label(alike[1])}"
    return f"{_label(part)}: in JSON {pair} look alike. Use one of them, or wrap them in models"


def _is_of(annotation: Any, kinds: tuple[type, ...]) -> bool:
    return issubclass(get_origin(annotation) or annotation, kinds)


def _has_bad_keys(part: Any) -> str | None:
    """The keys of a JSON object are text: another key must be told from its text alone."""
    origin = get_origin(part)
    if not (isinstance(origin, type) and issubclass(origin, Mapping)) or not get_args(part):
        return None
    (key, *_) = get_args(part)
    for member in _choices(key):
        kind = get_origin(member) or member
        if member is None or member is type(None):
            return f"{_label(part)}: a key of JSON is text, never None. Leave such an entry out, or use a list of pairs"
        if isinstance(kind, type) and (issubclass(kind, (*_AS_LIST, dict, BaseModel)) or is_dataclass(kind)):
            return f"{_label(part)}: a key of JSON is text, not a {_label(kind)}. Use a list of pairs, or a text as key"
    kinds = {type(m) if get_origin(key) is Literal else m for m in _choices(key)}
    if str in kinds and len(kinds) > 1:
        return f"{_label(part)}: a key of JSON is text, so {_label(key)} look alike. Use one type for all keys"
    if get_origin(key) is Literal and kinds != {str} and not all(issubclass(k, enum.Enum) for k in kinds):
        return f"{_label(part)}: a key of JSON is text, and the values of {_label(key)} are not. Use texts, or an Enum"
    return None


def _choices(annotation: Any) -> tuple[Any, ...]:
    """The members of a union or a Literal."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _choices(get_args(annotation)[0])
    return get_args(annotation) if origin in (typing.Union, types.UnionType, Literal) else (annotation,)


def _has_bad_values(part: Any) -> str | None:
    """The values that an Enum or a Literal names must come back one by one."""
    if isinstance(part, type) and issubclass(part, enum.Enum):
        values = list(part)
    elif get_origin(part) is Literal:
        values = list(get_args(part))
    else:
        return None
    adapter = adapter_of(part)
    for value in values:
        try:
            back = adapter.validate_json(adapter.dump_json(value))
        except (ValidationError, PydanticSerializationError, ValueError):
            back = None
        if back is not value and back != value:
            inside = getattr(value, "value", value)
            return f"{_label(part)}: the value {inside!r} does not come back from JSON. Use texts or whole numbers"
    return None


def _writes_bytes_as_text(part: Any) -> str | None:
    """What is no text would be refused only when it is written, and it is bytes because it is no text."""
    if not isinstance(part, type) or hasattr(part, "_fields"):
        return None
    config = getattr(part, "model_config", None) or getattr(part, "__pydantic_config__", None) or {}
    modes = {config.get("ser_json_bytes", "utf8"), config.get("val_json_bytes", "utf8")}
    if modes in ({"base64"}, {"hex"}):
        return None
    for name, annotation in _members(part).items():
        if _has_bytes(annotation):
            place = "model_config" if issubclass(part, BaseModel) else "__pydantic_config__"
            return (
                f"the bytes in {part.__name__}.{name} would be written as text. Declare them as pydantic.Base64Bytes, "
                f'or add:   {place} = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")'
            )
    return None


def _has_bytes(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return _has_bytes(inner) and not any(isinstance(m, EncodedBytes) for m in marks)
    return annotation is bytes or (get_origin(annotation) is not Literal and any(map(_has_bytes, get_args(annotation))))


_REASONS: tuple[Callable[[Any], str | None], ...] = (
    _is_secret,
    _is_no_data,
    _looks_alike,
    _has_bad_keys,
    _has_bad_values,
    _writes_bytes_as_text,
)
