"""Support desk: sort a ticket, look things up in parallel, ask a person before money moves.

    python examples/support_desk.py                   # every ticket of data/tickets.txt, until done or waiting for you
    python examples/support_desk.py --answer-all yes  # ... and let every refund happen

No model and no network: the nodes read the tickets with patterns, and the orders are in a SQLite database, `shop.db`,
which is made here on first use, beside `support.db`, where the runs are kept.
"""

import argparse
import asyncio
import os
import re
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel

from orchestra_graph import (
    Context,
    Done,
    Engine,
    Graph,
    Outcome,
    Question,
    Resource,
    Retry,
    Run,
    State,
    Waiting,
    ask,
    extend,
    later,
    node,
)


class Order(BaseModel):
    """What was bought, as far as a refund needs it."""

    id: str
    total: Decimal


class Approval(BaseModel):
    """What the person says."""

    granted: bool
    note: str = ""


class Payments(Protocol):
    """Moves money."""

    async def refund(self, order_id: str, *, key: str) -> None:
        """Pay an order back; the same *key* again does nothing."""
        ...


class Ticket(State):
    """The shared, typed state."""

    text: str  # no default: must be given at the start
    kind: Literal["billing", "bug", "other"] = later()  # some node writes it before any node reads it: checked
    order: Order = later()
    facts: Annotated[list[str], extend] = []  # a reducer: parallel branches may both write it
    approval: Approval = later()
    reply: str = ""


# -- the nodes: parameters are the fields they read, the return value is what they write ----------------


@node(writes="kind")
async def classify(text: str) -> Literal["billing", "bug", "other"]:
    kind = kind_of(text)
    if kind == "billing" and await asyncio.to_thread(shop.find, text) is None:
        return "other"  # nothing to refund: the reply asks for the order
    return kind


@node(writes="order", retry=Retry(attempts=4), timeout=10)
async def find_order(text: str) -> Order:
    order = await asyncio.to_thread(shop.find, text)
    if order is None:
        raise LookupError("the order was there when the ticket was sorted, and is gone")
    return order


@node(writes="facts")
async def check_policy(order: Order) -> list[str]:
    return await asyncio.to_thread(shop.policy_facts, order.id)


@node(writes="facts")
def check_stock(order: Order) -> list[str]:  # a plain function: runs in a worker thread
    return shop.stock_facts(order.id)


@ask(writes="approval")  # a person: the run is parked here, in SQL, for as long as it takes
def approve(order: Order, facts: list[str]) -> Question[Approval]:
    return Question(f"Refund {order.total}?", details={"facts": facts}, expires_in=timedelta(days=2))


@node(effect="irreversible")  # refused at compile time unless a person stands before it on every path
async def refund(order: Order, ctx: Context, payments: Annotated[Payments, Resource]) -> None:
    await payments.refund(order.id, key=ctx.idempotency_key)


@node(writes="reply")
async def draft(text: str, facts: list[str]) -> str:
    return await asyncio.to_thread(reply_to, text, facts)


support = Graph(Ticket, name="support", version="1")
support.start(classify)
support.switch(classify, "kind", {"billing": find_order, "bug": draft, "other": draft})
support.edge(find_order, [check_policy, check_stock])  # in parallel
support.edge([check_policy, check_stock], approve)  # a join: waits for what is still on its way, fires once
support.switch(approve, "approval.granted", {True: refund, False: draft})
support.edge(refund, draft)


# -- reading a ticket, and answering it -------------------------------------------------------------------

SIGNS = [
    ("billing", 2, r"refund|money back|charged|invoice|payment|erstatte|geld|rechnung"),
    ("billing", 1, r"\bpa(?:id|ying)\b|cancel|send .{0,20} back|return (?:it|them)"),
    ("bug", 2, r"crash|error|fehler|freez|\bblank\b|broken|stuck|does(?:n't| not) (?:work|load|open)"),
]
ORDER_NUMBER = re.compile(
    r"""(?: \b(?:order|bestellung)\b [\s:.\#-]*                    # Order: 1046
            (?:(?:no|nr|number)\b [\s:.\#]*)? (?:A[\s-]?)?        # order no. 1043, ORDER NUMBER A-1043
          | \b(?-i:A)[\s-]?                                       # A 1044, A1047
        ) (\d{4})\b""",
    re.VERBOSE | re.IGNORECASE,
)
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")


def kind_of(text: str) -> Literal["billing", "bug", "other"]:
    """What a ticket is about: the side with more signs; a doubt goes to billing, where a person looks at it."""
    scores = {"billing": 0, "bug": 0}
    for kind, weight, pattern in SIGNS:
        scores[kind] += weight * len(re.findall(pattern, text, re.IGNORECASE))
    if not any(scores.values()):
        return "other"
    return "billing" if scores["billing"] >= scores["bug"] else "bug"


def order_numbers(text: str) -> list[str]:
    """The order numbers in a ticket, however they are spelled, in order."""
    return [f"A-{digits}" for digits in ORDER_NUMBER.findall(text)]


def reply_to(text: str, facts: list[str]) -> str:
    """A first reply, which says what was found and what was done."""
    kind, order = kind_of(text), shop.find(text)
    if kind == "bug":
        return "Thank you for the report. It is with our developers, and you will hear from us when it is mended."
    if kind == "other":
        return "Thank you for your message. A colleague will answer it within a day."
    if order is None:
        named = ", ".join(order_numbers(text))
        found = f"We do not know the order {named}." if named else "We could not find out which order you mean."
        return f"{found} Could you send us the number from your confirmation? It looks like A-1234."
    if shop.is_refunded(order.id):
        return f"We have refunded {order.total} for your order {order.id}. It is on its way to you."
    return f"We cannot refund your order {order.id}. What we found: {'; '.join(facts)}."


# -- the shop: orders, stock and payments in SQLite -------------------------------------------------------


class Shop:
    """The shop's own database, which knows nothing of runs."""

    def __init__(self, path: Path):
        self.path = path

    @contextmanager
    def connect(self) -> Generator[sqlite3.Connection]:
        """Open the database; the first who does fills it."""
        try:
            with closing(sqlite3.connect(self.path)) as db, db:
                if db.execute("PRAGMA user_version").fetchone() == (0,):
                    db.executescript((Path(__file__).parent / "data" / "shop.sql").read_text("utf-8"))
                yield db
        except sqlite3.OperationalError as error:  # locked for too long, say: worth another attempt, see `Retry`
            raise ConnectionError(f"{self.path}: {error}") from error

    def find(self, text: str) -> Order | None:
        """The order that a ticket is about: the one it names, else the newest of its sender."""
        numbers, sender = order_numbers(text), ADDRESS.search(text)
        with self.connect() as db:
            for number in numbers:
                for id, total in db.execute("SELECT id, total FROM orders WHERE id = ?", [number]):
                    return Order(id=id, total=total)
            if sender and not numbers:  # a wrong number is never made good by a guess
                newest = "SELECT id, total FROM orders WHERE customer = ? ORDER BY ordered_on DESC LIMIT 1"
                for id, total in db.execute(newest, [sender[0].lower()]):
                    return Order(id=id, total=total)
        return None

    def policy_facts(self, order: str) -> list[str]:
        """Whether an order may still be returned, and whether it was paid back before."""
        with self.connect() as db:
            ((age, category, days),) = db.execute(
                "SELECT CAST(julianday('now') - julianday(ordered_on) AS INTEGER), category, days FROM orders"
                " JOIN products ON products.name = product JOIN return_policies USING (category) WHERE id = ?",
                [order],
            )
        verdict = "never" if not days else "in time" if age <= days else "too late"
        facts = [f"return {verdict}: bought {age} days ago, {category} can be returned for {days} days"]
        return facts + (["it was refunded before"] if self.is_refunded(order) else [])

    def stock_facts(self, order: str) -> list[str]:
        """Whether the same could be sent instead."""
        with self.connect() as db:
            ((product, quantity, stock),) = db.execute(
                "SELECT name, quantity, stock FROM orders JOIN products ON name = product WHERE id = ?", [order]
            )
        return [f"{quantity} x {product}: {stock if stock else 'none'} in stock"]

    def is_refunded(self, order: str) -> bool:
        """Whether an order was paid back."""
        with self.connect() as db:
            return db.execute("SELECT 1 FROM refunds WHERE order_id = ?", [order]).fetchone() is not None

    def pay_back(self, order: str, key: str) -> None:
        """Pay an order back, once for each key."""
        with self.connect() as db:
            db.execute(
                "INSERT OR IGNORE INTO refunds (key, order_id, amount) SELECT ?, id, total FROM orders WHERE id = ?",
                [key, order],
            )


class ShopPayments:
    """`Payments`, as the shop does them."""

    async def refund(self, order_id: str, *, key: str) -> None:
        """Pay an order back; the same *key* again does nothing."""
        await asyncio.to_thread(shop.pay_back, order_id, key)


shop = Shop(Path("shop.db"))
payments = ShopPayments()
resources = [payments]  # what the `orchestra` command gives to the engine
TARGET = f"{os.path.relpath(__file__)}:support"  # how that command finds this graph


# -- the tickets, from a file -----------------------------------------------------------------------------


def read_tickets(path: Path) -> dict[str, str]:
    """Tickets by name; each begins with a line ``--- name``."""
    parts = re.split(r"^--- (\S+)\n", path.read_text("utf-8"), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


async def main(tickets: Path, answer_all: str | None) -> None:
    """Start a run for each ticket, or go on with it: the same key again gives the same run."""
    async with Engine("sqlite:///support.db", graphs=[support], resources=resources) as engine:
        runs = [await engine.start(support, Ticket(text=text), key=key) for key, text in read_tickets(tickets).items()]
        outcomes = await asyncio.gather(*(settle(run, answer_all) for run in runs))
    for outcome in outcomes:
        status, line = told(outcome)
        print(f"{outcome.run}  {outcome.state.kind:<7}  {status:<7}  {shorten(line, 88, placeholder=' ...')}")
    waiting = [question for outcome in outcomes if isinstance(outcome, Waiting) for question in outcome.questions]
    if waiting:
        print(f"\n{len(waiting)} wait for you. What to type next:\n")
        print(f"export ORCHESTRA_DB=sqlite:///support.db ORCHESTRA_TARGET={TARGET}")
        print(*(question.command for question in waiting), sep="\n")


async def settle(run: Run[Ticket], answer_all: str | None) -> Outcome[Ticket]:
    """Take one ticket as far as it goes."""
    outcome = await run.wait()
    if isinstance(outcome, Waiting) and answer_all:
        for question in outcome.questions:
            await run.answer(question.id, Approval(granted=answer_all == "yes"))
        outcome = await run.wait()
    return outcome


def told(outcome: Outcome[Ticket]) -> tuple[str, str]:
    """How a ticket stands, and a line about it."""
    match outcome:
        case Done(state=ticket):
            return "done", ticket.reply
        case Waiting(state=ticket, questions=[question]):
            return "waiting", f"{question.prompt} {ticket.order.id}, {'; '.join(ticket.facts)}"
        case _:
            return "trouble", str(outcome)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sort, look up and answer support tickets.")
    parser.add_argument("tickets", nargs="?", type=Path, default=Path(__file__).parent / "data" / "tickets.txt")
    parser.add_argument("--answer-all", choices=["yes", "no"], help="answer every open question")
    given = parser.parse_args()
    asyncio.run(main(given.tickets, given.answer_all))
