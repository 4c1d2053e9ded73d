"""The examples, killed everywhere, on each kind of store: the same end, the same report, and no money paid twice."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import licence_review
import pytest
import support_desk
from licence_review import Review, review
from support_desk import Approval, Ticket, payments, support

from orchestra_graph import OpenQuestion
from orchestra_graph.testing.crash import CrashReport, crash_everywhere
from orchestra_graph.testing.postgres import throwaway_postgres

MOST = None if os.environ.get("CRASH_ALL") else 12
TICKETS = support_desk.read_tickets(Path(support_desk.__file__).parent / "data" / "tickets.txt")

pytestmark = pytest.mark.timeout(3600 if MOST is None else 120)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str | None]:
    monkeypatch.chdir(tmp_path)
    if request.param == "postgres":
        with throwaway_postgres() as database:
            yield database.url
    else:
        yield None if request.param == "memory" else f"sqlite:///{tmp_path}/runs.db"


def told(report: CrashReport) -> None:
    print(report)
    assert report.outcome == "done"
    assert report.points + report.missed >= min(MOST or 1000, 2 * report.commits)


def refunds() -> list[Any]:
    """What the shop has paid back. Once for each key, which is another one in each run."""
    with closing(sqlite3.connect("shop.db")) as db:
        return db.execute("SELECT order_id, amount, count(*) FROM refunds GROUP BY order_id, amount").fetchall()


def shut_down() -> None:
    Path("shop.db").unlink(missing_ok=True)


@pytest.mark.parametrize(("name", "granted"), [("ticket-101", True), ("ticket-101", False), ("ticket-103", True)])
@pytest.mark.asyncio
async def test_the_support_desk(url: str | None, name: str, granted: bool) -> None:
    """Nobody knows whether a refund happened that was cut off; who looks into the shop does."""

    def answer(question: OpenQuestion) -> Any:
        if question.node == "approve":
            return Approval(granted=granted)
        return {"happened": bool(refunds())}

    report = await crash_everywhere(
        support,
        Ticket(text=TICKETS[name]),
        answers=answer,
        url=url,
        resources=[payments],
        setup=shut_down,
        effects=refunds if name == "ticket-101" and granted else None,
        most=MOST,
    )
    told(report)


@pytest.mark.asyncio
async def test_the_licence_review(url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    for name, licence in {"alpha": "MIT", "beta": "Acme-EULA", "gamma": "GPL-3.0-only"}.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: {licence}\n"
        )
        (info / "RECORD").write_text("")

    def found(name: str | None = None) -> list[metadata.Distribution]:
        return list(metadata.Distribution.discover(path=[str(site)], name=name))

    monkeypatch.setattr(metadata, "distributions", found)
    monkeypatch.setattr(metadata, "distribution", lambda name: found(name)[0])
    published = tmp_path / "published" / "licences.md"

    def answer(question: OpenQuestion) -> Any:
        if question.node == "publish":
            return {"happened": published.exists()}
        return {"beta": "copyleft"} if question.node == "rule" else True

    assert licence_review.review is review
    report = await crash_everywhere(
        review,
        Review(folder=tmp_path),
        answers=answer,
        url=url,
        setup=lambda: published.unlink(missing_ok=True),
        effects=published.read_text,
        most=MOST,
    )
    told(report)
