"""Types that a state may have, with values to draw; and what of a value could be changed by whoever holds it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Required, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    JsonValue,
    RootModel,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    StringConstraints,
    computed_field,
    conlist,
)
from pydantic.dataclasses import dataclass as checked_dataclass
from typing_extensions import TypeAliasType, TypedDict

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


class Strong(enum.StrEnum):
    YES = "yes"
    NO = "no"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Page(BaseModel, Generic[T]):
    items: list[T]
    following: str | None = None


class Basket(RootModel[list[Line]]):
    """A model that is a list in JSON."""


class Sides(BaseModel):
    """What is computed is no field, and comes in the way of a model that takes nothing else."""

    model_config = ConfigDict(extra="forbid")
    width: int
    height: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.width * self.height


class Camel(BaseModel):
    """As most web APIs have it: other names in JSON."""

    model_config = ConfigDict(alias_generator=lambda name: name.upper(), extra="forbid", serialize_by_alias=True)
    order_id: int
    lines: list[Line] = []


class Renamed(BaseModel):
    read: int = Field(validation_alias=AliasChoices("r", "rd"))
    written: int = Field(default=0, serialization_alias="w")


class Blob(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes


class Wide(BaseModel):
    line: SerializeAsAny[Line]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: date
    sizes: tuple[int, ...]
    state: Strong


@checked_dataclass
class Checked:
    name: Annotated[str, StringConstraints(max_length=9)]
    lines: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class Link:
    name: str
    following: Link | None = None


class Place(TypedDict):
    street: str
    number: NotRequired[int]


class Part(TypedDict, total=False):
    name: Required[str]
    made_of: list[Part]


class Money(NamedTuple):
    amount: Decimal
    currency: str = "EUR"


OrderId = NewType("OrderId", str)
Nested = TypeAliasType("Nested", "dict[str, Nested] | list[Nested] | int | None")
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

camels = st.builds(lambda n, some: Camel.model_validate({"ORDER_ID": n, "LINES": some}), st.integers(), st.lists(lines))
renamed = st.integers().map(lambda n: Renamed.model_validate({"r": n, "written": n}))
nested = st.recursive(st.none() | st.integers(), lambda inner: st.dictionaries(text, inner, max_size=2), max_leaves=4)

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
    "aware model": (Stamp | None, st.none() | st.builds(Stamp, at=aware)),
    "str enum": (Strong, st.sampled_from(Strong)),
    "flag": (Rights, st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE])),
    "literal of an enum": (Literal[Strong.YES], st.just(Strong.YES)),
    "literal of several": (Literal["a", 1, True, None], st.sampled_from(["a", None])),
    "constrained number": (Annotated[int, Field(ge=0, multiple_of=2)], st.integers(0, 9).map(lambda n: n * 2)),
    "constrained list": (conlist(int, min_length=1), st.lists(st.integers(), min_size=1, max_size=2)),
    "constrained texts": (list[Annotated[str, StringConstraints(to_upper=True)]], st.builds(lambda: ["A", "B"])),
    "new type": (dict[OrderId, int], st.dictionaries(text.map(OrderId), st.integers(), max_size=2)),
    "address": (HttpUrl, st.just(HttpUrl("https://example.org/a"))),
    "list of pages": (list[Page[Line]], st.lists(st.builds(Page[Line], items=st.lists(lines, max_size=2)), max_size=2)),
    "page of pages": (
        Page[Page[int]],
        st.integers().map(lambda n: Page[Page[int]](items=[Page[int](items=[n])])),
    ),
    "page of unions": (Page[Shape], st.builds(Page[Shape], items=st.lists(shapes, max_size=2))),
    "dict of unions": (dict[str, Shape], st.dictionaries(text, shapes, max_size=2)),
    "root model": (Basket, st.lists(lines, max_size=2).map(Basket)),
    "computed field": (Sides, st.builds(Sides, width=st.integers(), height=st.integers())),
    "aliases": (
        Camel,
        camels,
    ),
    "list of aliases": (
        list[Renamed],
        st.lists(renamed, max_size=2),
    ),
    "model with bytes": (Blob, st.builds(Blob, data=st.binary(max_size=5))),
    "model with any line": (Wide, st.builds(Wide, line=lines)),
    "strict model": (
        Strict,
        st.builds(Strict, day=st.dates(), sizes=st.tuples(st.integers()), state=st.sampled_from(Strong)),
    ),
    "checked dataclass": (Checked, st.builds(Checked, name=text, lines=st.lists(lines, max_size=1))),
    "recursive dataclass": (Link, st.builds(Link, name=text, following=st.none() | st.builds(Link, name=text))),
    "typed dict, all of it": (Place, st.fixed_dictionaries({"street": text}, optional={"number": st.integers()})),
    "recursive typed dict": (Part, text.map(lambda name: {"name": name, "made_of": [{"name": "b"}]})),
    "lists of two kinds": (list[int] | list[str], st.lists(st.integers(), max_size=2) | st.lists(text, max_size=2)),
    "named tuple with a default": (list[Money], st.lists(st.builds(Money, numbers), max_size=2)),
    "nested optional": (
        list[list[int | None] | None] | None,
        st.none() | st.lists(st.none() | st.lists(st.none() | st.integers(), max_size=2), max_size=2),
    ),
    "recursive alias": (
        Nested,
        st.recursive(st.none() | st.integers(), lambda i: st.dictionaries(text, i, max_size=2)),
    ),
    "any JSON": (JsonValue, plain_json),
    "tuple of tuples": (tuple[tuple[int, str], ...], st.lists(st.tuples(st.integers(), text), max_size=2).map(tuple)),
    "frozenset of tuples": (frozenset[tuple[int, int]], st.frozensets(st.tuples(st.integers(), st.integers()))),
    "annotated": (Annotated[list[Line], Field(max_length=9)], st.lists(lines, max_size=2)),
}


class Tall(enum.Enum):
    PAIR = (1, 2)


class Raw(BaseModel):
    data: bytes


class RawTyped(TypedDict):
    data: list[bytes]


@dataclass
class Login:
    password: SecretStr


class Odd:
    """Equal to nothing, not even to itself."""


REFUSED: dict[str, tuple[Any, str]] = {
    "secret": (SecretStr, "SecretStr is a secret"),
    "secrets in a list": (list[SecretBytes], "SecretBytes is a secret"),
    "secret in a dataclass": (dict[str, Login], "SecretStr is a secret"),
    "complex number": (complex, "complex has no form in JSON"),
    "class": (type[int], "no form in JSON"),
    "function": (Callable[[], int], "no form in JSON"),
    "iterator": (Iterator[int], "no form in JSON"),
    "bytearray": (bytearray, "bytearray has no form in JSON"),
    "class of somebody": (Odd, "Odd has no form in JSON. Use a pydantic model or a dataclass"),
    "text or decimal": (str | Decimal, "Decimal and str look alike"),
    "text or date, inside": (dict[str, list[date | str]], "date and str look alike"),
    "float or decimal": (float | Decimal, "Decimal and float look alike"),
    "text or enum": (str | Strong, "Strong and str look alike"),
    "list or set": (list[int] | set[int] | None, "list[int] and set[int] look alike"),
    "list or tuple": (list[int] | tuple[int, ...], "look alike"),
    "tuple as key": (dict[tuple[int, int], str], "a key of JSON is text, not a tuple"),
    "None as key": (dict[str | None, str], "a key of JSON is text, never None"),
    "keys of two kinds": (dict[int | str, str], "a key of JSON is text, so int | str look alike"),
    "numbers as literal keys": (dict[Literal[1, 2], str], "the values of Literal[1, 2] are not"),
    "enum of tuples": (Tall, "Tall: the value (1, 2) does not come back from JSON"),
    "literal of bytes": (Literal[b"a"], "does not come back from JSON"),
    "bytes in a model": (list[Raw], "the bytes in Raw.data would be written as text"),
    "bytes in a typed dict": (RawTyped, '__pydantic_config__ = ConfigDict(ser_json_bytes="base64"'),
}
"""What is refused when a graph is compiled, and why."""


def _parts(value: object) -> tuple[bool, list[object]]:
    """Whether *value* itself can be changed, and what is in it."""
    if isinstance(value, BaseModel):
        return not value.model_config.get("frozen"), [*value.__dict__.values(), *(value.model_extra or {}).values()]
    if is_dataclass(value) and not isinstance(value, type):
        return not value.__dataclass_params__.frozen, [getattr(value, f.name) for f in fields(value)]  # type: ignore[attr-defined]
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
