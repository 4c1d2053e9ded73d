"""Whether a value of one declared type fits another: yes, no, or nobody can tell.

Three-valued on purpose. The checks speak only where the answer is no: what cannot be decided from two annotations
(protocols, type variables, `Any`) is said to nobody. Values are only read here, so containers are compared covariantly:
a ``list[Invoice]`` fits ``list[Document]``.
"""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

__all__ = [
    "element_of",
    "fits",
    "is_collection",
    "is_typed_dict",
    "iterated",
    "literal",
    "members",
    "same_value",
    "value_of",
]

_NUMBERS: dict[object, tuple[type, ...]] = {float: (int,), complex: (int, float)}
"""What stands for a wider number without being a subclass, as type checkers have it."""


def literal(value: object) -> Any:
    """The type of one value."""
    return type(None) if value is None else typing.cast("Any", Literal)[value]


def value_of(member: Any) -> tuple[object] | None:
    """The only value of a type, in a tuple; None for a type of more than one."""
    if member is type(None):
        return (None,)
    return (get_args(member)[0],) if get_origin(member) is Literal else None


def is_typed_dict(annotation: Any) -> bool:
    """Whether a type is a TypedDict, of `typing` or of `typing_extensions` (which pydantic asks for before 3.12)."""
    return isinstance(annotation, type) and dict in annotation.__mro__ and hasattr(annotation, "__required_keys__")


def same_value(one: object, other: object) -> bool:
    """Whether a case takes a value: equal, but True is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def is_collection(member: Any) -> bool:
    """Whether values of a type are lists, tuples or sets: a switch follows every case that is named in one."""
    origin = get_origin(member) or member
    return isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset)


def members(annotation: Any) -> tuple[Any, ...]:
    """A type taken apart: every value of a Literal, a bool or an Enum by itself, every other member of a union."""
    found: list[Any] = []
    for part in _parts(annotation):
        values = _values(part)
        found += [part] if values is None else [literal(v) for v in values]
    return tuple(dict.fromkeys(found))


def _parts(annotation: Any) -> Iterator[Any]:
    """The members of a union; marks and aliases taken off."""
    if hasattr(annotation, "__value__"):  # a `type X = ...` of Python 3.12
        annotation = annotation.__value__
    origin = get_origin(annotation)
    if annotation is None:
        yield type(None)
    elif origin in (typing.Union, types.UnionType):
        for part in get_args(annotation):
            yield from _parts(part)
    elif origin is Literal:
        yield from map(literal, get_args(annotation))
    elif origin in (Annotated, typing.Required, typing.NotRequired, typing.Final, typing.ClassVar):
        yield from _parts(get_args(annotation)[0])
    else:
        yield annotation if _hashable(annotation) else origin or Any


def _hashable(annotation: Any) -> bool:
    """False for ``list[Annotated[int, [1]]]``, which can stand in no union and no set."""
    try:
        hash(annotation)
    except TypeError:
        return False
    return True


def _values(part: Any) -> list[object] | None:
    """The values of a class that has only a few."""
    if part is bool:
        return [True, False]
    if isinstance(part, type) and issubclass(part, enum.Enum) and not issubclass(part, enum.Flag):
        return list(part)
    return None


def fits(given: Any, wanted: Any) -> bool | None:
    """Whether every value of type *given* is one of type *wanted*; None when that cannot be told."""
    wanted_parts = tuple(_parts(wanted))
    return _every(_fits_one_of(part, wanted_parts) for part in _parts(given))


def _every(answers: Iterable[bool | None]) -> bool | None:
    unsure = False
    for answer in answers:
        if answer is False:
            return False
        unsure |= answer is None
    return None if unsure else True


def _some(answers: Iterable[bool | None]) -> bool | None:
    unsure = False
    for answer in answers:
        if answer:
            return True
        unsure |= answer is None
    return None if unsure else False


def _fits_one_of(part: Any, wanted: tuple[Any, ...]) -> bool | None:
    direct = _some(_fits_part(part, w) for w in wanted)
    values = _values(part)
    if direct is False and values:  # bool fits Literal[True, False]
        return _every(_some(_fits_part(literal(v), w) for w in wanted) for v in values)
    return direct


def _fits_part(given: Any, wanted: Any) -> bool | None:
    """Two types that are no unions."""
    if wanted is Any or wanted is object or given == wanted:
        return True
    if given is Any or _opaque(given) or _opaque(wanted):
        return None
    if isinstance(given, typing.NewType):
        return fits(given.__supertype__, wanted)
    if isinstance(wanted, typing.NewType):
        return None if fits(given, wanted.__supertype__) else False
    if get_origin(wanted) is Literal:
        return False
    if get_origin(given) is Literal:
        return _fits_part(type(get_args(given)[0]), wanted)
    return _fits_class(given, wanted)


def _opaque(annotation: Any) -> bool:
    """Something that names no class."""
    return isinstance(annotation, str | typing.TypeVar | typing.ForwardRef | typing.ParamSpec)


def _fits_class(given: Any, wanted: Any) -> bool | None:
    mine, its = get_origin(given) or given, get_origin(wanted) or wanted
    if not isinstance(mine, type) or not isinstance(its, type):
        return None
    if getattr(its, "_is_protocol", False):
        return True if its in mine.__mro__ else None
    if is_typed_dict(mine) or is_typed_dict(its):
        return _fits_typeddict(mine, its)
    if issubclass(mine, _NUMBERS.get(its, ())):
        return True
    return _fits_arguments(given, wanted) if issubclass(mine, its) else False


def _fits_typeddict(mine: type, its: type) -> bool | None:
    """A TypedDict is a dict at run time, and structural."""
    if mine is its:
        return True
    mine, its = (dict if is_typed_dict(c) else c for c in (mine, its))
    return None if issubclass(mine, its) else False


def _fits_arguments(given: Any, wanted: Any) -> bool | None:
    """Two classes of which the first is the second or a subclass: what they are generic in."""
    arguments = get_args(wanted)
    if not arguments:
        return True
    origin = get_origin(wanted)
    if origin is tuple:
        return _fits_tuple(given, arguments)
    if issubclass(origin, collections.abc.Mapping):
        mine = get_args(given)
        return _every(map(fits, mine, arguments)) if len(mine) == 2 else None
    if issubclass(origin, collections.abc.Iterable) and len(arguments) == 1:
        return fits(iterated(given), arguments[0])
    return None  # how a class of somebody else varies with its arguments is not known


def _fits_tuple(given: Any, wanted: tuple[Any, ...]) -> bool | None:
    mine = get_args(given)
    if not mine or get_origin(given) is not tuple:
        return None
    if len(wanted) == 2 and wanted[1] is Ellipsis:
        return _every(fits(m, wanted[0]) for m in mine if m is not Ellipsis)
    if len(mine) == 2 and mine[1] is Ellipsis:
        return False
    return _every(map(fits, mine, wanted)) if len(mine) == len(wanted) else False


def iterated(annotation: Any) -> Any:
    """What going over a collection gives; Any when that is not known."""
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if isinstance(origin, type) and issubclass(origin, str | bytes):
        return str if issubclass(origin, str) else int
    if origin is tuple and arguments:
        return typing.Union[tuple(a for a in arguments if a is not Ellipsis)]  # noqa: UP007
    return arguments[0] if arguments and origin is not tuple else Any


def element_of(annotation: Any) -> Any:
    """The type of the elements of a sequence; Any when that is not known; None when it is not surely one.

    Text and bytes do not count: going over their characters is never what was meant.
    """
    found = []
    for part in _parts(annotation):
        origin = get_origin(part) or part
        if part is Any or _opaque(part) or not isinstance(origin, type):
            found.append(Any)
        elif issubclass(origin, collections.abc.Sequence) and not issubclass(origin, str | bytes | bytearray):
            found.append(iterated(part))
        else:
            return None
    return typing.Union[tuple(found)] if found else None  # noqa: UP007
