"""A node of five steps, and one with a transaction, in a process that dies at a commit that was chosen before."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestra_graph import Context, Engine, Graph, State, node
from orchestra_graph.store import door, transaction, writer
from tests.kill.worker import Moment, _Countdown, _Counted

__all__ = ["LETTERS", "Paid", "in_steps", "pay_once", "ship_once"]

LETTERS = "abcde"

ended: Callable[[], None] = lambda: None  # noqa: E731
"""Called when the call of a step is over, and nobody has been told; a worker puts its own here."""

done: Callable[[], None] = lambda: None  # noqa: E731
"""Called when a transaction waits for its node to end; a worker puts its own here."""


class Paid(State):
    effects: Path
    text: str = ""
    more: str = ""
    total: int = 0


def say(effects: Path, what: str) -> None:
    """One line; written with one call, so that a kill never cuts it."""
    handle = os.open(effects, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(handle, f"{what}\n".encode())
    os.close(handle)


def call(effects: Path, what: str) -> str:
    say(effects, what)
    ended()
    return what * 3


@node(writes="text")
async def five(effects: Path, ctx: Context) -> str:
    found = ""
    for letter in LETTERS:
        found += await ctx.step(letter, call, effects, letter)
        say(effects, f"{letter} returned")  # what is known to the node is durable
    return found


@node(writes="more")
def last(effects: Path, text: str, ctx: Context) -> str:
    return ctx.step_sync("z", call, effects, "z") + text


STEPS = Graph(Paid, name="steps")
STEPS.start(five)
STEPS.chain(five, last)


@node(writes="total")
async def pay(total: int, ctx: Context) -> int:
    await ctx.step("ask the bank", str, ctx.key_of("ask the bank"))
    async with ctx.transaction() as tx:
        await tx.execute("INSERT INTO payments (id, n) VALUES (:id, :n)", {"id": ctx.idempotency_key, "n": total})
    done()
    return total + 1


@node
async def rest() -> None: ...


def more(total: int) -> bool:
    return total < 3


PAYMENTS = Graph(Paid, name="payments")
PAYMENTS.start(pay)
PAYMENTS.edge(pay, pay, when=more)
PAYMENTS.edge(pay, rest, otherwise=True)


@node(effect="irreversible", unattended=True, writes="text")
async def ship(effects: Path, ctx: Context) -> str:
    return await ctx.step("a", call, effects, "a") + await ctx.step("b", call, effects, "b")


SHIPMENT = Graph(Paid, name="shipment")
SHIPMENT.start(ship)


def _die(moment: Moment, at: int) -> _Countdown:
    before, after, inside = (_Countdown(at if m == moment else 0) for m in ("before", "after", "inside"))

    def counted(connection: Any) -> Any:
        return _Counted(door.sqlite_connection(connection), before, after)

    vars(writer)["sqlite_connection"] = counted
    vars(transaction)["sqlite_connection"] = _once(counted)
    return inside


def _once(counted: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The transactions ask for their connection each time, and it has to remember what it has counted."""
    found: dict[int, Any] = {}
    return lambda connection: found.setdefault(id(connection), counted(connection))


def _drive(folder: str, graph: Graph[Paid]) -> None:
    home = Path(folder)

    async def main() -> None:
        async with Engine(f"sqlite:///{home / 'run.db'}", graphs=[graph]) as engine:
            run = await engine.start(graph, Paid(effects=home / "effects"), key="killed")
            outcome = await run.wait(timeout=30)
            asked = [question.details.get("steps done", []) for question in await run.questions()]
        state = outcome.state
        found = f"asks: {asked}" if asked else f"{state.text} {state.more} {state.total}"
        (home / "ended").write_text(found)

    asyncio.run(main())


def in_steps(folder: str, at: int, moment: Moment) -> None:
    """Run the node of five steps; die at the commit, or the call, number *at* (0: never)."""
    globals()["ended"] = _die(moment, at)
    _drive(folder, STEPS)


def pay_once(folder: str, at: int, moment: Moment) -> None:
    """Run the node with a transaction, in a loop of three turns; die at the commit, or in the node, number *at*."""
    globals()["done"] = _die(moment, at)
    _drive(folder, PAYMENTS)


def ship_once(folder: str, at: int, moment: Moment) -> None:
    """Run the irreversible node of two steps; die at the commit, or the call, number *at* (0: never)."""
    globals()["ended"] = _die(moment, at)
    _drive(folder, SHIPMENT)
