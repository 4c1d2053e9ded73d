"""Whether a value of one declared type fits another: yes, no, or nobody can tell.

Three-valued on purpose. The checks speak only where the answer is no: what cannot be decided from two annotations
(a class that says nothing of its attributes, the signature of a method, `Any`) is said to nobody. Values are only
read here, so containers are compared covariantly: a ``list[Invoice]`` fits ``list[Document]``. A TypedDict and a
Protocol are compared member by member.
"""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from orchestra_graph.graph.attributes import attributes_of, hints_in, is_protocol, members_of, methods_of, says_all

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
        arguments = get_args(annotation)
        annotation = annotation.__value__[arguments] if arguments else annotation.__value__
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
    if given in (typing.Never, typing.NoReturn):
        return True
    if given is Any or _opaque(given) or _opaque(wanted):
        return _fits_bound(given, wanted)
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


def _fits_bound(given: Any, wanted: Any) -> bool | None:
    """A type variable is at least what it is bound to."""
    mine, its = _bound(given), _bound(wanted)
    if its is not None and its is not wanted:
        return False if mine is not None and fits(mine, its) is False else None
    return fits(mine, wanted) or None if mine is not None and mine is not given and its is not None else None


def _bound(annotation: Any) -> Any:
    """What every value of a type variable is; None where nothing is known; any other type is itself."""
    if isinstance(annotation, typing.TypeVar):
        constraints = annotation.__constraints__
        return typing.Union[constraints] if constraints else annotation.__bound__  # noqa: UP007
    return None if annotation is Any or _opaque(annotation) else annotation


def _fits_class(given: Any, wanted: Any) -> bool | None:
    mine, its = _class_of(given), _class_of(wanted)
    if not isinstance(mine, type) or not isinstance(its, type):
        return None
    if is_protocol(its):
        return True if its in mine.__mro__ else _fits_protocol(mine, its)
    if is_typed_dict(its):
        return _fits_keys(mine, its) if is_typed_dict(mine) else None if issubclass(mine, dict) else False
    if is_typed_dict(mine):
        return _fits_dict(mine, wanted) if issubclass(dict, its) else False
    if issubclass(mine, _NUMBERS.get(its, ())):
        return True
    return _fits_arguments(given, wanted) if issubclass(mine, its) else False


def _class_of(annotation: Any) -> Any:
    """A class without its arguments; a model with arguments is a class of its own."""
    return get_origin(annotation) or _of_model(annotation)[0] or annotation


def _of_model(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The generic model that a model was made of, and with what."""
    made = getattr(annotation, "__pydantic_generic_metadata__", None) or {}
    return made.get("origin"), tuple(made.get("args") or ())


# -- by their members ------------------------------------------------------------------------------------


def _fits_protocol(mine: type, its: type) -> bool | None:
    known = attributes_of(mine)
    answers: list[bool | None] = []
    for name, kind in members_of(its).items():
        if name in known:
            answers.append(fits(known[name], kind))
        else:
            answers.append(None if hasattr(mine, name) or not says_all(mine) else False)
    for name in methods_of(its):  # what a method takes and gives is not compared
        answers.append(None if hasattr(mine, name) or not says_all(mine) else False)
    return _every(answers)


def _fits_keys(mine: Any, its: Any) -> bool | None:
    """Two TypedDicts."""
    known, required = hints_in(mine), its.__required_keys__
    if not known or not hints_in(its):
        return None
    if not required <= mine.__required_keys__:
        return False
    return _every(fits(known[name], kind) for name, kind in hints_in(its).items() if name in known)


def _fits_dict(mine: Any, wanted: Any) -> bool | None:
    """A TypedDict as a dict or a mapping."""
    arguments = get_args(wanted)
    if len(arguments) != 2:
        return True if not arguments else None
    return _every([fits(str, arguments[0]), *(fits(kind, arguments[1]) for kind in hints_in(mine).values())])


# -- by their arguments ----------------------------------------------------------------------------------


def _fits_arguments(given: Any, wanted: Any) -> bool | None:
    """Two classes of which the first is the second or a subclass: what they are generic in."""
    arguments = get_args(wanted)
    if not arguments:
        model, its = _of_model(wanted)
        return True if model is None else _fits_generic(_made_of(given, model), its)
    origin = get_origin(wanted)
    if origin is tuple:
        return _fits_tuple(given, arguments)
    if issubclass(origin, collections.abc.Mapping):
        mine = get_args(given)
        return _every(map(fits, mine, arguments)) if len(mine) == 2 else None
    if issubclass(origin, collections.abc.Iterable) and len(arguments) == 1:
        return fits(iterated(given), arguments[0])
    return _fits_generic(get_args(given) if get_origin(given) is origin else (), arguments)


def _made_of(given: Any, model: Any) -> tuple[Any, ...]:
    """With what a model, or one that it derives from, was made of a generic one."""
    made = (_of_model(base) for base in getattr(given, "__mro__", ()))
    return next((arguments for origin, arguments in made if origin is model), ())


def _fits_generic(mine: tuple[Any, ...], its: tuple[Any, ...]) -> bool | None:
    """How a class of somebody else varies with its arguments is not known; with what fits neither way, it does not."""
    if len(mine) != len(its) or mine == its:
        return True if mine == its else None
    apart = any(fits(a, b) is False and fits(b, a) is False for a, b in zip(mine, its, strict=True))
    return False if apart else None


def _fits_tuple(given: Any, wanted: tuple[Any, ...]) -> bool | None:
    mine = get_args(given) if get_origin(given) is tuple else tuple(_elements(given))
    if not mine:
        return None
    if len(wanted) == 2 and wanted[1] is Ellipsis:
        return _every(fits(m, wanted[0]) for m in mine if m is not Ellipsis)
    if len(mine) == 2 and mine[1] is Ellipsis:
        return False
    return _every(map(fits, mine, wanted)) if len(mine) == len(wanted) else False


def _elements(given: Any) -> Iterator[Any]:
    """The types of a NamedTuple, in their order."""
    hints = hints_in(given) if hasattr(given, "_fields") else {}
    if hints:
        yield from (hints.get(name, Any) for name in given._fields)


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
        own = value_of(part)
        origin = (get_origin(part) or part) if own is None else type(own[0])
        if part is Any or _opaque(part) or not isinstance(origin, type):
            found.append(Any)
        elif issubclass(origin, collections.abc.Sequence) and not issubclass(origin, str | bytes | bytearray):
            found.append(iterated(part))
        else:
            return None
    return typing.Union[tuple(found)] if found else None  # noqa: UP007
