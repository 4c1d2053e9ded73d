"""Work for every element of a list."""

from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, Item, ask, node
from orchestra_graph.graph.question import Question
from orchestra_graph.state.reducers import append, extend
from orchestra_graph.state.schema import State, later
from tests.graph.correct.corpus import program


class Package(BaseModel):
    name: str
    files: list[str] = []


class Sbom(BaseModel):
    packages: list[Package] = []


class Scan(State):
    root: str
    packages: list[Package] = later()
    sbom: Sbom = later()
    found: Annotated[list[str], append] = []
    text: Annotated[list[str], extend] = []
    licence: str = ""
    chosen: Annotated[list[str], Field(min_length=1)] = later()
    allowed: bool = later()
    calls: list[str] = []
    report: str = ""


@node(writes="packages")
def list_packages(root: str) -> list[Package]:
    return []


@node(writes="found")
def read(package: Item[Package]) -> str:
    return package.name


@node(writes="report")
def sum_up(found: list[str]) -> str:
    return ""


@program
def each_collected() -> Graph[Any]:
    graph = Graph(Scan, name="scan")
    graph.start(list_packages)
    graph.each(list_packages, "packages", read, collect=sum_up, limit=8)
    return graph


@program
def each_that_nobody_waits_for() -> Graph[Any]:
    graph = Graph(Scan, name="scan")
    graph.start(list_packages)
    graph.each(list_packages, "packages", read)
    return graph


@program
def each_with_a_way_for_the_empty_list() -> Graph[Any]:
    @node(writes="report")
    def nothing(root: str) -> str:
        return root

    graph = Graph(Scan, name="scan")
    graph.start(list_packages)
    graph.each(list_packages, "packages", read, collect=sum_up, empty=nothing)
    return graph


@program
def each_that_comes_back_to_its_source() -> Graph[Any]:
    @node(writes="calls")
    def think(found: list[str]) -> list[str]:
        return []

    @node(writes="found")
    def use_tool(call: Item[str]) -> str:
        return call

    graph = Graph(Scan, name="agent")
    graph.start(think)
    graph.each(think, "calls", use_tool, collect=think)
    return graph


@program
def each_over_a_path_with_several_nodes() -> Graph[Any]:
    class Mark(NamedTuple):
        licence: str

    @node(writes="sbom")
    def load(root: str) -> Sbom:
        return Sbom()

    @node
    def mark(package: Item[Package]) -> Mark:
        return Mark(package.name)

    @node(writes="found")
    def look(licence: str, package: Item[Package]) -> str:
        return licence

    @node(writes="text")
    def read_text(package: Item[Package]) -> tuple[str, ...]:
        return (package.name,)

    @node(writes="found")
    def both(text: list[str]) -> str:
        return text[0]

    @node(writes="report")
    def tell(found: list[str], text: list[str]) -> str:
        return ""

    @node(writes="licence")
    def forget(found: list[str]) -> str:
        return ""

    graph = Graph(Scan, name="scan")
    graph.start(load)
    graph.each(load, "sbom.packages", mark, collect=forget)
    graph.edge(mark, [look, read_text])
    graph.edge([look, read_text], both)
    graph.edge(both, forget)
    graph.edge(forget, tell)
    return graph


@program
def each_in_an_each() -> Graph[Any]:
    @node
    def open_package(package: Item[Package]) -> None: ...

    def files(packages: list[Package]) -> list[str]:
        return [f for p in packages for f in p.files]

    @node(writes="found")
    def read_file(file: Item[str]) -> str:
        return file

    @node(writes="text")
    def close(package: Item[Package]) -> list[str]:
        return [package.name]

    @node(writes="report")
    def tell(found: list[str], text: list[str]) -> str:
        return ""

    graph = Graph(Scan, name="scan")
    graph.start(list_packages)
    graph.each(list_packages, "packages", open_package, collect=tell)
    graph.each(open_package, files, read_file, collect=close)
    graph.edge(close, tell)
    return graph


@program
def a_person_in_the_body_of_an_each_that_is_never_empty() -> Graph[Any]:
    @node(writes="chosen")
    def choose(root: str) -> list[str]:
        return [root]

    @ask(writes="found")
    def confirm(name: Item[str]) -> Question[str]:
        return Question(name)

    @node(effect="irreversible")
    def delete(chosen: list[str]) -> None: ...

    graph = Graph(Scan, name="clean")
    graph.start(choose)
    graph.each(choose, "chosen", confirm, collect=delete)
    return graph


@program
def each_over_what_a_function_gives_in_a_loop() -> Graph[Any]:
    def names(packages: list[Package]) -> list[str]:
        return [p.name for p in packages]

    @node(writes="found")
    def check(name: Item[str]) -> str:
        return name

    @node(writes="report")
    def tell(found: list[str]) -> str:
        return ""

    graph = Graph(Scan, name="again")
    graph.start(list_packages)
    graph.each(list_packages, names, check, collect=tell)
    graph.edge(tell, list_packages, when="report")
    graph.edge(tell, END, otherwise=True)
    return graph
