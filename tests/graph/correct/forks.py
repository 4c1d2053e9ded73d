"""Branches side by side, and joins."""

from decimal import Decimal
from typing import Annotated, Any

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, node
from orchestra_graph.state.reducers import add, append, extend, last
from orchestra_graph.state.schema import State, later
from tests.graph.correct.corpus import program


class Trip(State):
    city: str
    hotel: str = later()
    flight: str = later()
    price: Decimal = Decimal(0)
    notes: Annotated[list[str], append] = []
    facts: Annotated[list[str], extend] = []
    cost: Annotated[int, add] = 0
    newest: Annotated[str, last] = ""
    summary: str = ""


@node
def plan(city: str) -> None: ...


@node(writes="hotel")
def find_hotel(city: str) -> str:
    return city


@node(writes="flight")
async def find_flight(city: str) -> str:
    return city


@node(writes="summary")
def book(hotel: str, flight: str) -> str:
    return hotel + flight


@node(writes="notes")
def note(city: str) -> str:
    return city


@node(writes="notes")
def note_again(city: str) -> str:
    return city


@node(writes="facts")
def look(city: str) -> list[str]:
    return [city]


@node(writes="cost")
def count(city: str) -> int:
    return len(city)


@node(writes="newest")
def touch(city: str) -> str:
    return city


@node(writes="newest")
def touch_again(city: str) -> str:
    return city


@node(writes="summary")
def sum_up(notes: list[str], facts: list[str], cost: int, newest: str) -> str:
    return ""


@program
def fork_and_join_each_writing_its_own_field() -> Graph[Any]:
    graph = Graph(Trip, name="trip")
    graph.start(plan)
    graph.edge(plan, [find_hotel, find_flight])
    graph.edge([find_hotel, find_flight], book)
    return graph


@program
def several_starts_that_meet() -> Graph[Any]:
    graph = Graph(Trip, name="trip")
    graph.start([find_hotel, find_flight])
    graph.edge([find_hotel, find_flight], book)
    return graph


@program
def branches_that_share_fields_with_reducers() -> Graph[Any]:
    graph = Graph(Trip, name="trip")
    graph.start([note, note_again, look, count, touch, touch_again])
    graph.edge([note, note_again, look, count, touch, touch_again], sum_up)
    return graph


@program
def unequal_branches() -> Graph[Any]:
    graph = Graph(Trip, name="trip")
    graph.start(plan)
    graph.edge(plan, [find_hotel, note])
    graph.chain(note, look, count, find_flight)
    graph.edge([find_hotel, find_flight], book)
    return graph


@program
def a_fork_in_a_fork() -> Graph[Any]:
    graph = Graph(Trip, name="trip")
    graph.start(plan)
    graph.edge(plan, [find_hotel, note])
    graph.edge(note, [find_flight, look])
    graph.edge([find_flight, look], count)
    graph.edge([count, find_hotel], book)
    return graph


@program
def a_branch_that_ends_by_itself() -> Graph[Any]:
    graph = Graph(Trip, name="trip")
    graph.start(plan)
    graph.edge(plan, [find_hotel, count])
    graph.edge(count, END)
    graph.edge(find_hotel, find_flight)
    graph.edge(find_flight, book)
    return graph


@program
def a_join_that_overwrites_what_its_branches_wrote() -> Graph[Any]:
    @node(writes="summary")
    def short(city: str) -> str:
        return city

    @node(writes="summary")
    def long(city: str) -> str:
        return city

    @node(writes="notes")
    def tell(summary: str) -> str:
        return summary

    @node(writes="notes")
    def tell_more(summary: str) -> str:
        return summary

    @node(writes="summary")
    def final(city: str) -> str:
        return city

    graph = Graph(Trip, name="trip")
    graph.start([short, long])
    graph.edge(short, tell)
    graph.edge(long, tell_more)
    graph.edge([tell, tell_more], final)
    return graph


@program
def a_node_that_stands_twice() -> Graph[Any]:
    graph = Graph(Trip, name="trip")
    again = graph.add(note, name="note_later")
    graph.start(note)
    graph.edge(note, again)
    return graph
