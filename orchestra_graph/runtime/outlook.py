"""What becomes of the runs of a database when the code is deployed; reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import GraphChanged, StoreBroken
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.moving import plan_move
from orchestra_graph.runtime.notes import note_of
from orchestra_graph.store.base import RunRow, Store

__all__ = ["GoesOn", "Outlook", "outlook_of", "outlooks"]

GoesOn: TypeAlias = Literal["as it is", "by a move", "by a migration", "pinned", "cannot"]
"""``by a move``: its graph has changed, and it goes on by itself. ``by a migration``: as the graph says of its version.
``pinned``: only code of its own version takes it. ``cannot``: no code like this can go on with it."""

_OPEN: Sequence[RunStatus] = ("running", "waiting", "failed", "stopped", "dead")
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What becomes of one run.

    Attributes:
        key: The run.
        graph: The name of its graph.
        version: The version that it has.
        status: How it stands.
        how: How it goes on.
        changes: What is not the same, one line each.
        why: Why it cannot go on, one line each.
        mends: What helps, one line to type each.
    """

    key: str
    graph: str
    version: str
    status: RunStatus
    how: GoesOn
    changes: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()


async def outlooks(store: Store, plan: Plan) -> AsyncIterator[Outlook]:
    """What becomes of every run of a graph that has not ended, the newest first.

    A run that has failed or was stopped counts as long as somebody may retry it.
    """
    after: int | None = None
    while page := await store.runs(status=_OPEN, graph=plan.name, after=after, limit=_PAGE):
        for row in page:
            if row.status not in ("failed", "stopped") or not _is_final(store, row):
                yield await outlook_of(store, plan, row)
        after = page[-1].number


def _is_final(store: Store, row: RunRow) -> bool:
    return bool(note_of(row, store.url).get("final"))


async def outlook_of(store: Store, plan: Plan, row: RunRow) -> Outlook:
    """What becomes of one run."""
    facts: dict[str, Any] = {"key": row.key, "graph": row.graph, "version": row.version, "status": row.status}
    if row.pinned and row.version != plan.version:
        return Outlook(how="pinned", **facts)
    if row.fingerprint == plan.fingerprint:
        return Outlook(how="as it is", **facts)
    try:
        moving = await plan_move(store, plan, row, at=row.updated_at)
    except GraphChanged as error:
        return Outlook(how="cannot", changes=error.changes, why=error.why, mends=error.mends, **facts)
    except StoreBroken as error:
        return Outlook(how="cannot", why=(str(error),), **facts)
    how: GoesOn = "by a migration" if moving.migrated else "by a move"
    return Outlook(how=how, changes=tuple(moving.changes), **facts)
