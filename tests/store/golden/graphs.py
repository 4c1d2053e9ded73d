"""The graphs whose runs are in the golden databases. Every release since the first that kept them can run them."""

from __future__ import annotations

import os
from typing import Annotated

from orchestra_graph import END, Graph, Item, Patch, Question, Retry, State, add, append, ask, later, node

DIE: dict[str, int] = {}
"""A node that is named here ends the process, after so many more calls."""


def may_die(name: str) -> None:
    if name in DIE:
        DIE[name] -= 1
        if DIE[name] < 0:
            os._exit(9)


class Order(State):
    items: list[int]
    bad: int = 0  # what is refused the first times, or always
    prices: Annotated[list[int], append] = []
    tries: Annotated[int, add] = 0
    notes: Annotated[list[str], append] = []
    total: int = later()
    approved: bool = later()
    reply: str = later()


@node(writes="notes")
async def begin(items: list[int]) -> str:
    return f"{len(items)} items"


@node(writes="prices", retry=Retry(attempts=2, delay=0.0))
async def price(n: Item[int]) -> int:
    may_die("price")
    return n * 10


@node(writes="total")
async def sum_up(prices: list[int], bad: int) -> int:
    if bad:
        raise ValueError("these prices are not to be summed up")
    return sum(prices)


class Tried(Patch[Order]):
    tries: int
    notes: str


@node
async def improve(total: int, tries: int) -> Tried:
    may_die("improve")
    return Tried(tries=1, notes=f"try {tries} of {total}")


@ask(writes="approved")
def approve(total: int) -> Question[bool]:
    return Question(f"Pay {total}?", to="ana", details={"total": total})


@node(writes="reply")
async def answer(approved: bool, total: int) -> str:
    return f"{'paid' if approved else 'refused'} {total}"


def again(tries: int) -> bool:
    return tries < 3


orders = Graph(Order, name="orders", version="1")
orders.start(begin)
orders.each(begin, "items", price, collect=sum_up)
orders.edge(sum_up, improve)
orders.edge(improve, improve, when=again)
orders.edge(improve, approve, otherwise=True)
orders.edge(approve, answer)


class Count(State):
    n: Annotated[int, add] = 0
    seen: Annotated[list[int], append] = []


class Counted(Patch[Count]):
    n: int
    seen: int


@node
async def count(n: int) -> Counted:
    may_die("count")
    return Counted(n=1, seen=n)


def few(n: int) -> bool:
    return n < 700


counting = Graph(Count, name="counting", version="1")
counting.start(count)
counting.edge(count, count, when=few)
counting.edge(count, END, otherwise=True)
counting.limit(count, turns=1000)
