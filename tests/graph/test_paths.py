"""Dotted paths into values."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NamedTuple, NotRequired, Union

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field
from typing_extensions import TypedDict

from orchestra_graph.graph.paths import NoStep, never_empty, type_at
from orchestra_graph.state.schema import State, later


class Colour(Enum):
    RED = 1


class Owner(BaseModel):
    name: str
    friend: "Later | None" = None

    @property
    def initial(self) -> str:
        return self.name[0]

    @functools.cached_property
    def size(self) -> int:
        return 1

    @computed_field  # type: ignore[prop-decorator]
    @property
    def loud(self) -> Literal["A", "B"]:
        return "A"

    def greet(self) -> str:
        return self.name


class Later(BaseModel):
    age: int


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


@dataclass
class Point:
    x: int
    owner: Owner | None = None


class Pair(NamedTuple):
    left: Decimal


class Info(TypedDict):
    level: int
    note: NotRequired[str]


class Plain:
    known: int

    def __init__(self) -> None:
        self.unknown = 1


@pytest.mark.parametrize(
    ("annotation", "path", "found"),
    [
        (Owner, "", Owner),
        (Owner, "name", str),
        (Owner, "initial", str),
        (Owner, "size", int),
        (Owner, "loud", Literal["A", "B"]),
        (Owner, "friend.age", int),
        (Owner | None, "name", str),
        (Point, "owner.name", str),
        (Pair, "left", Decimal),
        (Info, "level", int),
        (Info, "note", str | None),
        (dict[str, Owner], "anybody.name", str),
        (Mapping[str, int], "anything", int | None),
        (Owner | Pair, "name", Any),
        (Plain, "known", int),
        (Plain, "unknown", Any),
        (Open, "anything", Any),
        (Any, "anything", Any),
        (Owner, "greet", Any),
        (Colour, "value", Any),
        (Literal["a"], "upper", Any),
    ],
    ids=str,
)
def test_a_path_has_a_type_at_its_end(annotation: Any, path: str, found: Any) -> None:
    if annotation == Owner | Pair:
        annotation = Union[Owner, Plain]  # noqa: UP007 -- one of the two says nothing
        found = Union[str, Any]  # noqa: UP007
    assert type_at(annotation, path.split(".") if path else []) == found


@pytest.mark.parametrize(
    ("annotation", "path", "step", "holder"),
    [
        (Owner, "nme", 0, Owner),
        (Point, "owner.nme", 1, Owner),
        (Point, "z", 0, Point),
        (Pair, "right", 0, Pair),
        (Info, "lvl", 0, Info),
        (str, "size", 0, str),
        (Literal["a"], "size", 0, str),
        (Owner | Pair, "left", 0, Owner),
        (None, "name", 0, None),
    ],
    ids=str,
)
def test_a_step_that_leads_nowhere_is_named(annotation: Any, path: str, step: int, holder: Any) -> None:
    with pytest.raises(NoStep) as caught:
        type_at(annotation, path.split("."))

    assert caught.value.step == step
    assert caught.value.holder is holder


def test_what_is_known_instead_is_said() -> None:
    with pytest.raises(NoStep) as caught:
        type_at(Point, ["z"])

    assert list(caught.value.known) == ["x", "owner"]


class Lists(BaseModel):
    any: list[int]
    some: list[int] = Field(min_length=1)
    some_by_default: list[int] = Field(default=[1], min_length=1)
    none_by_default: list[int] = Field(default=[], min_length=1)
    made: list[int] = Field(default_factory=list, min_length=1)
    two: tuple[int, int]
    more: tuple[int, ...]
    later: list[int] = Field(default=later(), min_length=1)


class Holder(State):
    lists: Lists
    maybe: Lists | None = None


@pytest.mark.parametrize(
    ("path", "filled"),
    [
        ("lists.any", False),
        ("lists.some", True),
        ("lists.some_by_default", True),
        ("lists.none_by_default", False),
        ("lists.made", False),
        ("lists.two", True),
        ("lists.more", False),
        ("lists.later", True),
        ("maybe.some", True),
        ("lists.unknown", False),
        ("lists.some.x", False),
    ],
)
def test_a_list_is_never_empty_if_its_model_says_so(path: str, filled: bool) -> None:
    assert never_empty(Holder, path.split(".")) is filled
