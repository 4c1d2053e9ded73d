"""The support desk: what its nodes read in every ticket, what the shop says, and whole runs."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
import support_desk
from support_desk import Approval, Order, Ticket, classify, draft, find_order, order_numbers, payments, support

from orchestra_graph import Done, Engine, Waiting

EXAMPLE = Path(support_desk.__file__)
TICKETS = support_desk.read_tickets(EXAMPLE.parent / "data" / "tickets.txt")
EXPECTED = {
    "ticket-101": ("billing", "A-1042"),
    "ticket-102": ("billing", "A-1043"),  # a crash, but money first; and 489,00 is no order
    "ticket-103": ("bug", None),
    "ticket-104": ("billing", "A-1044"),
    "ticket-105": ("billing", "A-1045"),  # in German
    "ticket-106": ("billing", "A-1047"),  # not the newest of this customer; blankets are no blank page
    "ticket-107": ("other", None),
    "ticket-108": ("billing", "A-1048"),  # no number: by the sender; 2024 is a calendar
    "ticket-109": ("other", None),  # an order that the shop does not know
    "ticket-110": ("bug", None),
    "ticket-111": ("billing", "A-1046"),
    "ticket-112": ("other", None),  # neither a number nor a sender
    "ticket-113": ("other", "A-1043"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own: the shop and the runs are in the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refunds() -> list[tuple[str, str]]:
    """What the shop has paid back."""
    with closing(sqlite3.connect("shop.db")) as db:
        return db.execute("SELECT order_id, amount FROM refunds ORDER BY order_id").fetchall()


# -- reading ------------------------------------------------------------------------------------------


def test_every_ticket_is_expected_here() -> None:
    assert TICKETS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.asyncio
async def test_a_ticket_is_sorted_and_its_order_found(name: str) -> None:
    kind, number = EXPECTED[name]
    found = support_desk.shop.find(TICKETS[name])
    assert (await classify(text=TICKETS[name]), found and found.id) == (kind, number)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("order #A-1042", ["A-1042"]),
        ("Order no. 1043,", ["A-1043"]),
        ("ORDER-1043's", ["A-1043"]),
        ("ORDER NUMBER: A 1044", ["A-1044"]),
        ("zu Bestellung Nr. 1045:", ["A-1045"]),
        ("found it: A1047", ["A-1047"]),
        ("a 2024 calendar for 1042 euros", []),
        ("Order me 3 of these", []),
        ("phone 020 7946 0958, error 0x1043, VISA1234", []),
        ("order 10425", []),
        ("orders A-1042 and A-1043", ["A-1042", "A-1043"]),
    ],
)
def test_spellings_of_order_numbers(text: str, numbers: list[str]) -> None:
    assert order_numbers(text) == numbers


@pytest.mark.asyncio
async def test_an_order_that_is_gone_is_an_error() -> None:
    with pytest.raises(LookupError, match="is gone"):
        await find_order(text="order A-9999")


@pytest.mark.asyncio
async def test_a_shop_that_cannot_be_reached_is_worth_another_attempt(folder: Path) -> None:
    (folder / "shop.db").mkdir()
    with pytest.raises(ConnectionError):
        await find_order(text="order A-1042")


# -- the shop -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "policy", "stock"),
    [
        ("A-1042", "in time", "2 x desk lamp Aino: 14 in stock"),
        ("A-1044", "too late", "1 x floor lamp Ilta: none in stock"),
        ("A-1046", "never", "1 x gift card: 999 in stock"),
    ],
)
@pytest.mark.asyncio
async def test_facts_are_read_from_the_shop(order: str, policy: str, stock: str) -> None:
    bought = Order(id=order, total=Decimal(1))
    [fact] = await support_desk.check_policy(order=bought)
    assert fact.startswith(f"return {policy}: bought ")
    assert support_desk.check_stock(order=bought) == [stock]


@pytest.mark.asyncio
async def test_a_refund_with_the_same_key_happens_once() -> None:
    for key in ("ticket-1/refund", "ticket-1/refund", "ticket-2/refund"):
        await payments.refund("A-1042", key=key)
    assert refunds() == [("A-1042", "79.80"), ("A-1042", "79.80")]
    assert "it was refunded before" in await support_desk.check_policy(order=Order(id="A-1042", total=Decimal("79.80")))


@pytest.mark.asyncio
async def test_an_unknown_order_is_named_in_the_reply() -> None:
    assert "A-9317" in await draft(text=TICKETS["ticket-109"], facts=[])


# -- whole runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("granted", [True, False])
@pytest.mark.asyncio
async def test_every_ticket_comes_to_its_end(granted: bool) -> None:
    async with Engine("sqlite:///support.db", graphs=[support], resources=support_desk.resources) as engine:
        for name, (kind, order) in EXPECTED.items():
            run = await engine.start(support, Ticket(text=TICKETS[name]), key=name)
            outcome = await run.wait()
            if kind == "billing":
                assert isinstance(outcome, Waiting)
                [question] = outcome.questions
                assert question.details["facts"] == outcome.state.facts, "what the person sees is what was found"
                await run.answer(question.id, Approval(granted=granted))
                outcome = await run.wait()
                assert len(outcome.state.facts) == 2
                assert outcome.state.order.id == order
            assert isinstance(outcome, Done)
            assert outcome.state.kind == kind
            assert ("We have refunded" in outcome.state.reply) == (kind == "billing" and granted)
    paid = [order for order, _ in refunds()]
    assert paid == (
        sorted(order for kind, order in EXPECTED.values() if kind == "billing" and order) if granted else []
    )


def say(*line: str, **environment: str) -> str:
    """What a process says, which ends well."""
    child = subprocess.run([sys.executable, *line], env={**os.environ, **environment}, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""
    return child.stdout


@pytest.mark.kill
def test_as_a_program_it_says_what_to_type_next() -> None:
    said = say(str(EXAMPLE))
    table = dict(re.findall(r"^(ticket-\d+)  \w+ +(\w+)", said, re.MULTILINE))
    assert table == {name: "waiting" if kind == "billing" else "done" for name, (kind, _) in EXPECTED.items()}
    export, first, *others = said.split("next:\n\n")[1].splitlines()
    assert len(others) == 6
    environment = dict(word.split("=", 1) for word in shlex.split(export)[1:])
    command, *words = shlex.split(first)
    assert command == "orchestra"
    say("-m", "orchestra_graph", *words, **environment)
    assert refunds() == [("A-1042", "79.80")], "what it says to type does what it says"
    assert say(str(EXAMPLE), "--answer-all", "no").count("  done  ") == len(EXPECTED)
    assert refunds() == [("A-1042", "79.80")]
