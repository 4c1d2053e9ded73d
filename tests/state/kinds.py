"""Types that a state may have, with values to draw; and what of a value could be changed by whoever holds it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Line(BaseModel):
    sku: str
    price: Decimal = Decimal("0")
    tags: list[str] = []


class Point(BaseModel):
    """Frozen, and of nothing but immutable parts: it may be shared."""

    model_config = ConfigDict(frozen=True)
    x: int
    label: str | None = None


class Loose(BaseModel):
    """Frozen and flat to look at, but what it was not declared to have may be anything."""

    model_config = ConfigDict(frozen=True, extra="allow")
    x: int


class LooseAndOpen(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int


class Tree(BaseModel):
    name: str
    kids: list[Tree] = []


class Box(BaseModel, Generic[T]):
    inside: T
    spare: list[T] = []


class Circle(BaseModel):
    kind: Literal["circle"] = "circle"
    r: float


class Square(BaseModel):
    kind: Literal["square"] = "square"
    side: float
    notes: list[str] = []


@dataclass
class Job:
    name: str
    steps: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Stamp:
    at: datetime
    by: str = ""


class Pair(NamedTuple):
    left: int
    right: list[str]


class Options(TypedDict, total=False):
    depth: int
    names: list[str]


Shape = Annotated[Circle | Square, Field(discriminator="kind")]

text = st.text(max_size=5)
moments = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1))
aware = st.builds(lambda at, hours: at.replace(tzinfo=timezone(timedelta(hours=hours))), moments, st.integers(-11, 13))
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=2)
lines = st.builds(Line, sku=text, price=numbers, tags=st.lists(text, max_size=2))
points = st.builds(Point, x=st.integers(), label=st.none() | text)
trees: st.SearchStrategy[Tree] = st.recursive(
    st.builds(Tree, name=text), lambda inner: st.builds(Tree, name=text, kids=st.lists(inner, max_size=2)), max_leaves=4
)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
shapes = st.builds(Circle, r=st.floats(0, 9)) | st.builds(
    Square, side=st.floats(0, 9), notes=st.lists(text, max_size=2)
)

KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "str": (str, text),
    "int": (int, st.integers()),
    "float": (float, st.floats()),
    "bool": (bool, st.booleans()),
    "bytes": (bytes, st.binary(max_size=5)),
    "decimal": (Decimal, numbers),
    "date": (date, st.dates()),
    "naive datetime": (datetime, moments),
    "aware datetime": (datetime, aware),
    "time": (time, st.times()),
    "timedelta": (timedelta, st.timedeltas(timedelta(-9), timedelta(9))),
    "uuid": (UUID, st.uuids()),
    "path": (PurePosixPath, st.just(PurePosixPath("a/b"))),
    "enum": (Colour, st.sampled_from(Colour)),
    "int enum": (Level, st.sampled_from(Level)),
    "literal": (Literal["a", "b"], st.sampled_from(["a", "b"])),
    "optional": (Decimal | None, st.none() | numbers),
    "union of scalars": (int | str | None, st.none() | st.integers() | text),
    "union of models": (Line | Point, lines | points),
    "union of a date and a number": (date | int, st.dates() | st.integers()),
    "discriminated union": (Shape, shapes),
    "list of scalars": (list[int], st.lists(st.integers(), max_size=3)),
    "optional list": (list[int] | None, st.none() | st.lists(st.integers(), max_size=3)),
    "list of models": (list[Line], st.lists(lines, max_size=2)),
    "list of unions": (list[Shape], st.lists(shapes, max_size=3)),
    "list of lists": (list[list[int]], st.lists(st.lists(st.integers(), max_size=2), max_size=2)),
    "set": (set[str], st.sets(text, max_size=3)),
    "frozenset": (frozenset[Colour], st.frozensets(st.sampled_from(Colour))),
    "tuple": (tuple[int, str], st.tuples(st.integers(), text)),
    "long tuple of models": (tuple[Line, ...], st.lists(lines, max_size=2).map(tuple)),
    "dict": (dict[str, int], st.dictionaries(text, st.integers(), max_size=3)),
    "dict of lists": (dict[str, list[int]], st.dictionaries(text, st.lists(st.integers(), max_size=2), max_size=2)),
    "dict by number": (dict[int, Line], st.dictionaries(st.integers(), lines, max_size=2)),
    "dict by enum": (dict[Colour, date], st.dictionaries(st.sampled_from(Colour), st.dates())),
    "model": (Line, lines),
    "frozen model": (Point, points),
    "frozen model with extras": (Loose, st.builds(Loose, x=st.integers(), more=plain_json)),
    "model with extras": (LooseAndOpen, st.builds(LooseAndOpen, x=st.integers(), more=plain_json)),
    "recursive model": (Tree, trees),
    "generic model": (Box[Line], st.builds(Box[Line], inside=lines, spare=st.lists(lines, max_size=1))),
    "generic model of a scalar": (Box[int], st.builds(Box[int], inside=st.integers())),
    "dataclass": (Job, st.builds(Job, name=text, steps=st.lists(st.integers(), max_size=2))),
    "frozen dataclass": (Stamp, st.builds(Stamp, at=moments.map(lambda at: at.replace(tzinfo=UTC)), by=text)),
    "named tuple": (Pair, st.builds(Pair, left=st.integers(), right=st.lists(text, max_size=2))),
    "typed dict": (Options, st.fixed_dictionaries({}, optional={"depth": st.integers(), "names": st.lists(text)})),
    "anything": (Any, plain_json),
    "dict of anything": (dict[str, Any], st.dictionaries(text, plain_json, max_size=3)),
    "annotated": (Annotated[list[Line], Field(max_length=9)], st.lists(lines, max_size=2)),
}


def _parts(value: object) -> tuple[bool, list[object]]:
    """Whether *value* itself can be changed, and what is in it."""
    if isinstance(value, BaseModel):
        return not value.model_config.get("frozen"), [*value.__dict__.values(), *(value.model_extra or {}).values()]
    if is_dataclass(value) and not isinstance(value, type):
        return not value.__dataclass_params__.frozen, list(vars(value).values())  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return True, [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return isinstance(value, list | set), list(value)
    return False, []


def mutable_parts(value: object) -> Iterator[int]:
    """The ids of everything inside of *value* that somebody could change in place."""
    mutable, inside = _parts(value)
    if mutable:
        yield id(value)
    for part in inside:
        yield from mutable_parts(part)


def shared(one: object, other: object) -> set[int]:
    """What could be changed through both."""
    return set(mutable_parts(one)) & set(mutable_parts(other))
