"""Whether one declared type fits another."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from re import Pattern
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Generic,
    Literal,
    LiteralString,
    NamedTuple,
    Never,
    NewType,
    NoReturn,
    NotRequired,
    Protocol,
    Self,
    SupportsInt,
    TypeVar,
)

import pytest
from pydantic import BaseModel
from typing_extensions import TypeAliasType, TypedDict

from orchestra_graph.graph.fits import element_of, fits, is_collection, is_typed_dict, members, same_value, value_of

T = TypeVar("T")
UserId = NewType("UserId", str)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Text(enum.StrEnum):
    A = "a"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Document(BaseModel):
    title: str


class Invoice(Document):
    total: int = 0


class Box(Generic[T]):
    value: T


class Pair(NamedTuple):
    a: int
    b: str


class Info(TypedDict):
    level: int


class Other(TypedDict):
    level: int


class Sized_(Protocol):
    def size(self) -> int: ...


class Titled(Protocol):
    @property
    def title(self) -> str: ...


class Levelled(Protocol):
    level: int


class Ranked(TypedDict):
    level: int
    rank: NotRequired[int]


class Named(TypedDict):
    level: str


class Page(BaseModel, Generic[T]):
    items: list[T]


class Names(Page[str]): ...


@dataclass
class Cell(Generic[T]):
    value: T


class Whole(BaseModel):
    title: int


class Open(BaseModel, extra="allow"):
    size_: int = 0


Bound = TypeVar("Bound", bound=int)
Chosen = TypeVar("Chosen", int, str)
Pairs = TypeAliasType("Pairs", list[tuple[T, T]], type_params=(T,))


class Known(Sized_):
    def size(self) -> int:
        return 1


YES: list[tuple[Any, Any]] = [
    (int, int),
    (int, float),
    (bool, int),
    (bool, float),
    (int, Any),
    (int, object),
    (None, None),
    (type(None), None),
    (int, int | None),
    (int | None, int | str | None),
    (Literal["a"], Literal["a", "b"]),
    (Literal["a"], str),
    (Literal[1], float),
    (Literal["a", 1], str | int),
    (bool, Literal[True, False]),
    (Colour, Literal[Colour.RED, Colour.BLUE]),
    (Literal[Colour.RED], Colour),
    (Text, str),
    (Invoice, Document),
    (list[Invoice], list[Document]),
    (list[Invoice], Sequence[Document]),
    (list[int], list),
    (tuple[int, str], tuple[int | str, ...]),
    (tuple[int, str], tuple[float, str]),
    (tuple[int, ...], Sequence[int]),
    (str, Sequence[str]),
    (bytes, Iterable[int]),
    (dict[str, int], Mapping[str, float]),
    (dict[str, int], dict),
    (UserId, str),
    (UserId, UserId),
    (list[UserId], list[str]),
    (Annotated[int, "mark"], int),
    (int, Annotated[int | None, "mark"]),
    (Info, Info),
    (Box[int], Box[int]),
    (Known, Sized_),
    (Pair, tuple),
    (Pair, tuple[int, str]),
    (Pair, tuple[int | str, ...]),
    (Pair, Sequence[Any]),
    (Document, Titled),
    (list[Invoice], list[Titled]),
    (Info, Other),
    (Ranked, Info),
    (Info, dict[str, int]),
    (Info, Mapping[str, object]),
    (Page[int], Page[int]),
    (Page[int], Page),
    (Names, Page[str] | None),
    (Bound, int),
    (Pairs[int], list[tuple[int, int]]),
    (Never, int),
]
NO: list[tuple[Any, Any]] = [
    (float, int),
    (int, str),
    (int, Decimal),
    (int | None, int),
    (None, int),
    (object, str),
    (str, Literal["a"]),
    (Literal["c"], Literal["a", "b"]),
    (Literal[True], Literal[1]),
    (Literal[1], bool),
    (bool, Literal[True]),
    (Colour, Literal[Colour.RED]),
    (str, Text),
    (Document, Invoice),
    (list[str], list[int]),
    (list[int | None], list[int]),
    (list[int], tuple[int, ...]),
    (tuple[int, ...], tuple[int, int]),
    (tuple[int, str], tuple[int]),
    (dict[str, int], dict[str, str]),
    (int, UserId),
    (Info, list),
    (int, Info),
    (str, Sequence[int]),
    (int, Sized_),
    (int, Titled),
    (Whole, Titled),
    (Info, Named),
    (Info, dict[str, str]),
    (Info, Pair),
    (Pair, tuple[str, str]),
    (Pair, tuple[int, ...]),
    (Page[int], Page[str]),
    (Names, Page[int]),
    (Box[int], Box[str]),
    (Cell[int], Cell[str]),
    (str, Bound),
    (Pairs[int], list[tuple[int, str]]),
]
UNKNOWN: list[tuple[Any, Any]] = [
    (Any, int),
    (int, T),
    (T, int),
    (int, ForwardRef("Later")),
    ("Later", int),
    (str, UserId),
    (Open, Sized_),
    (Known, Levelled),
    (list, list[int]),
    (tuple, tuple[int, ...]),
    (dict, dict[str, int]),
    (Box[int], Box[bool]),
    (Box, Box[int]),
    (Page[int], Page[Any]),
    (Page[bool], Page[int]),
    (Page, Page[int]),
    (int, Bound),
    (Chosen, int),
    (Chosen, int | str),
    (dict[str, int], Info),
    (list[Any], list[int]),
]


@pytest.mark.parametrize(("given", "wanted"), YES, ids=str)
def test_a_type_fits_a_wider_one(given: Any, wanted: Any) -> None:
    assert fits(given, wanted) is True


@pytest.mark.parametrize(("given", "wanted"), NO, ids=str)
def test_a_type_does_not_fit_a_narrower_or_another_one(given: Any, wanted: Any) -> None:
    assert fits(given, wanted) is False


@pytest.mark.parametrize(("given", "wanted"), UNKNOWN, ids=str)
def test_what_cannot_be_told_is_not_guessed(given: Any, wanted: Any) -> None:
    assert fits(given, wanted) is None


def test_a_type_is_taken_apart_into_values_and_classes() -> None:
    assert members(Literal["a", "b"] | None) == (Literal["a"], Literal["b"], type(None))
    assert members(bool | int) == (Literal[True], Literal[False], int)
    assert members(Annotated[Colour | None, "mark"]) == (Literal[Colour.RED], Literal[Colour.BLUE], type(None))
    assert members(Right) == (Right,)
    assert members(None) == (type(None),)


def test_a_member_of_one_value_gives_it() -> None:
    assert value_of(Literal["a"]) == ("a",)
    assert value_of(type(None)) == (None,)
    assert value_of(str) is None


def test_true_is_not_one() -> None:
    assert same_value("a", Text.A)
    assert not same_value(True, 1)


@pytest.mark.parametrize(
    ("annotation", "element"),
    [
        (list[int], int),
        (list, Any),
        (Sequence[str], str),
        (tuple[int, ...], int),
        (tuple[int, str], int | str),
        (list[int] | tuple[str, ...], int | str),
        (Any, Any),
        (str, None),
        (bytes, None),
        (int, None),
        (set[int], None),
        (dict[str, int], None),
        (list[int] | None, None),
    ],
    ids=str,
)
def test_a_sequence_has_elements_and_a_text_has_none(annotation: Any, element: Any) -> None:
    assert element_of(annotation) == element


def test_collections_and_typed_dicts_are_told_apart() -> None:
    assert is_collection(list[int])
    assert is_collection(frozenset)
    assert not is_collection(Sequence[int])
    assert is_typed_dict(Info)
    assert not is_typed_dict(dict[str, int])
    assert not is_typed_dict(Document)


STRANGE: list[Any] = [
    *(annotation for pair in (*YES, *NO, *UNKNOWN) for annotation in pair),
    Never,
    NoReturn,
    LiteralString,
    Self,
    type,
    type[int],
    Callable,
    Callable[[int], str],
    Callable[..., Any],
    tuple[()],
    Awaitable[int],
    Generator[int, None, None],
    deque[int],
    Pattern[str],
    SupportsInt,
    Box,
    Annotated[int | None, {"not": "hashable"}],
    list[Annotated[int, ["not hashable"]]],
    ...,
    3,
]


def test_no_annotation_is_too_strange() -> None:
    for given in STRANGE:
        assert all(fits(given, wanted) in (True, False, None) for wanted in STRANGE)
        assert members(given)
        element_of(given)
