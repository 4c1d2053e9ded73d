"""Looking at one run without its code: what the database has of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from orchestra_graph.cli.database import find_run, read_store
from orchestra_graph.cli.settings import Settings
from orchestra_graph.core.record import RunRecord
from orchestra_graph.render.picture import Picture, picture_of_run
from orchestra_graph.runtime.explain import Explanation, explain
from orchestra_graph.runtime.outcomes import OpenQuestion
from orchestra_graph.runtime.records import record_of, shape_of
from orchestra_graph.runtime.wellformed import reading
from orchestra_graph.store.base import RunRow, Store

__all__ = ["Seen", "look_at_run", "open_questions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What can be seen of a run.

    Attributes:
        row: As it is listed.
        record: What happened.
        picture: The same, drawn.
        questions: What it asks.
        explanation: Why it does not go on.
    """

    row: RunRow
    record: RunRecord
    picture: Picture
    questions: list[OpenQuestion]
    explanation: Explanation


async def look_at_run(settings: Settings, key: str) -> Seen:
    """Read all of it; see `find_run`."""
    async with read_store(settings) as store:
        row = await find_run(store, key)
        record, shape = await record_of(store, row), await shape_of(store, row)
        with reading(store.url, "the picture of its graph", row.key):
            picture = picture_of_run(shape, record, now=time.time())
        return Seen(
            row=row,
            record=record,
            picture=picture,
            questions=await open_questions(store, row.number),
            explanation=await explain(store, row, time.time()),
        )


async def open_questions(store: Store, run: int | None = None) -> list[OpenQuestion]:
    """The questions that still take an answer, of one run or of all; the oldest first."""
    now = time.time()
    rows = await store.questions(run)
    return [OpenQuestion.of(row, store.url) for row in rows if row.expires_at is None or row.expires_at > now]
