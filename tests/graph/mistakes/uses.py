"""Writes that nothing reads, and reads that no write comes before."""

from typing import Annotated, Any

from orchestra_graph import Graph, Item, Patch, State, append, node
from orchestra_graph.state.schema import later
from tests.graph.mistakes.corpus import mistake


class Paper(State):
    text: str
    title: str = ""
    draft: str = later()
    summary: str | None = None
    log: Annotated[list[str], append] = []
    parts: list[str] = []
    done: bool = False


@node(writes="log")
def note(text: str) -> str:
    return text


@node(writes="draft")
def write(text: str) -> str:
    return text


@node(writes="draft")
def rewrite(draft: str) -> str:
    return draft


@mistake(
    "unseen-write",
    "nothing ever reads what 'guess' writes to draft: on every way 'write' overwrites it first",
    "Let 'write' read it:   draft: str",
    "warning",
)
def overwritten_at_once() -> Graph[Any]:
    @node(writes="draft")  # here
    def guess(text: str) -> str:
        return text

    graph = Graph(Paper, name="paper")
    graph.start(guess)
    graph.chain(guess, note, write)
    return graph


@mistake("unseen-write", "on every way 'long' and 'short' overwrite it first", "draft", "warning")
def overwritten_on_both_ways() -> Graph[Any]:
    class Begun(Patch[Paper]):
        draft: str
        done: bool

    @node  # here
    def begin(text: str) -> Begun:
        return Begun(draft=text, done=True)

    @node(writes="draft")
    def long(text: str) -> str:
        return text

    @node(writes="draft")
    def short(text: str) -> str:
        return text

    graph = Graph(Paper, name="paper")
    graph.start(begin)
    graph.switch(begin, "done", {True: long, False: short})
    return graph


@mistake("unseen-write", "what 'reset' writes to title", "title", "warning")
def overwritten_in_every_turn() -> Graph[Any]:
    @node(writes="title")  # here
    def reset(text: str) -> str:
        return ""

    @node(writes="title")
    def name_it(text: str) -> str:
        return text

    @node(writes="done")
    def look(title: str) -> bool:
        return True

    graph = Graph(Paper, name="paper")
    graph.start(reset)
    graph.chain(reset, name_it, look)
    graph.switch(look, "done", {True: note, False: reset})
    return graph


@mistake(
    "unwritten-read",
    "'show' reads summary, which always has its default there: 'sum_up' writes it, but never before",
    "graph.edge(sum_up, show)",
    "warning",
)
def read_before_it_is_written() -> Graph[Any]:
    @node(writes="log")  # here
    def show(summary: str | None) -> str:
        return summary or ""

    @node(writes="summary")
    def sum_up(text: str) -> str:
        return text

    graph = Graph(Paper, name="paper")
    graph.start(show)
    graph.edge(show, sum_up)
    return graph


@mistake(
    "unwritten-read", "'main' reads title, which always has its default there: 'side' writes it", "side", "warning"
)
def read_beside_where_it_is_written() -> Graph[Any]:
    @node(writes="title")
    def side(text: str) -> str:
        return text

    @node(writes="log")  # here
    def main(title: str) -> str:
        return title

    graph = Graph(Paper, name="paper")
    graph.start([side, main])
    return graph


@mistake(
    "unwritten-read",
    "the path 'done' of the when after 'write' reads done, which always has its default there",
    "done: bool",
    "warning",
)
def asked_before_it_is_written() -> Graph[Any]:
    @node(writes="done")
    def finish(draft: str) -> bool:
        return True

    graph = Graph(Paper, name="paper")
    graph.start(write)
    graph.edge(write, finish, when="done")  # here
    return graph


@mistake("unwritten-read", "the path 'parts' of the each after 'note' reads parts", "parts: list[str]", "warning")
def items_that_are_written_behind_the_each() -> Graph[Any]:
    @node(writes="log")
    def work(part: Item[str]) -> str:
        return part

    @node(writes="parts")
    def split(text: str) -> list[str]:
        return text.split()

    graph = Graph(Paper, name="paper")
    graph.start(note)
    graph.each(note, "parts", work, collect=split)  # here
    return graph
