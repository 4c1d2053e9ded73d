"""Views of the state, and types that are compared member by member."""

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, NotRequired, Protocol, TypeVar

from pydantic import BaseModel
from typing_extensions import TypedDict

from orchestra_graph import Graph, State, node
from orchestra_graph.state.schema import later
from tests.graph.correct.corpus import program

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T] = []


@dataclass
class Span:
    start: int = 0
    end: int = 0


class Info(TypedDict):
    level: int
    text: NotRequired[str]


class Level(TypedDict):
    level: int


class Point(NamedTuple):
    x: int
    y: str


class Doc(State):
    text: str
    title: str = later()
    pages: Page[int] = later()
    span: Span = Span()
    info: Info = {"level": 1}
    point: Point = Point(1, "a")
    out: str = ""


class Titled(Protocol):
    @property
    def text(self) -> str: ...

    @property
    def title(self) -> str: ...


class HasText(Protocol):
    text: str


class Spanned(Protocol):
    @property
    def start(self) -> int: ...


class Base(State):
    text: str


class Letter(Base):
    title: str = ""
    out: str = ""


@node(writes="title")
def name_it(given: HasText) -> str:
    return given.text


@node(writes="out")
def show(doc: Titled) -> str:
    return doc.title + doc.text


@program
def a_view_by_properties() -> Graph[Any]:
    graph = Graph(Doc, name="doc")
    graph.start(name_it)
    graph.edge(name_it, show)
    return graph


@program
def the_whole_state_and_a_base_of_it() -> Graph[Any]:
    @node(writes="title")
    def first(letter: Base) -> str:
        return letter.text

    @node(writes="out")
    def second(letter: Letter) -> str:
        return letter.title

    graph = Graph(Letter, name="letter")
    graph.start(first)
    graph.edge(first, second)
    return graph


@program
def a_generic_model() -> Graph[Any]:
    @node(writes="pages")
    def load(text: str) -> Page[int]:
        return Page[int](items=[1])

    @node(writes="out")
    def read(pages: Page[int]) -> str:
        return str(len(pages.items))

    graph = Graph(Doc, name="doc")
    graph.start(load)
    graph.edge(load, read)
    return graph


@program
def a_field_that_is_taken_by_its_members() -> Graph[Any]:
    @node(writes="out")
    def read(span: Spanned, info: Level, point: tuple[int, str]) -> str:
        return f"{span.start} {info['level']} {point[1]}"

    graph = Graph(Doc, name="doc")
    graph.start(read)
    return graph


@program
def a_view_in_a_graph_in_a_graph() -> Graph[Any]:
    class Inner(State):
        text: str
        title: str = later()
        out: str = ""

    inner = Graph(Inner, name="inner")
    inner.start(name_it)
    inner.edge(name_it, show)
    graph = Graph(Doc, name="doc")
    graph.start(inner)
    return graph
