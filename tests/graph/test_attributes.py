"""The attributes of classes, and what protocols ask for."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel

from orchestra_graph.graph.attributes import attributes_of, hints_in, is_protocol, members_of, methods_of, says_all


class Model(BaseModel):
    name: str

    @property
    def short(self) -> str:
        return self.name[:3]


class Plain:
    size: int

    def __init__(self) -> None:
        self.more = 1

    @cached_property
    def half(self) -> float:
        return self.size / 2


class Anything(BaseModel, extra="allow"):
    name: str


@dataclass
class Data:
    value: int


class Dynamic(Data):
    def __getattr__(self, name: str) -> int:
        return 1


class Point(NamedTuple):
    x: int


class View(Protocol):
    title: str

    @property
    def size(self) -> int: ...


class Wider(View, Protocol):
    def act(self) -> None: ...

    def __len__(self) -> int: ...


class Real(Wider):
    title = "a"

    @property
    def size(self) -> int:
        return 1


def test_annotated_attributes_and_properties_have_types() -> None:
    assert attributes_of(Model) == {"name": str, "short": str}
    assert attributes_of(Plain) == {"size": int, "half": float}


def test_some_classes_name_all_that_they_have() -> None:
    assert all(map(says_all, (Model, Data, Point, int, str)))
    assert not any(map(says_all, (Plain, Anything, Dynamic)))


def test_a_protocol_has_members_and_methods_and_those_of_its_bases() -> None:
    assert members_of(Wider) == {"title": str, "size": int}
    assert set(methods_of(Wider)) == {"act", "__len__"}
    assert methods_of(View) == ()


def test_a_class_that_follows_a_protocol_is_none() -> None:
    assert is_protocol(View)
    assert is_protocol(Wider)
    assert not is_protocol(Real)
    assert not is_protocol(Any)


def test_annotations_that_cannot_be_read_are_none() -> None:
    class Broken:
        name: "NotThere"  # type: ignore[name-defined]  # noqa: F821

    assert hints_in(Broken) == {}
