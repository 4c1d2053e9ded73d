"""Removing runs that nobody needs any more, a few at a time, so that nobody who works meanwhile is held up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import BadInput
from orchestra_graph.store.base import RunRow, Store

__all__ = ["USUALLY", "Pruned", "prunable", "prune"]

USUALLY: tuple[RunStatus, ...] = ("done", "cancelled")
"""What is removed where nothing is said: runs that will never go on."""

_BATCH = 20  # runs in one transaction
_TIDY = 500  # rows in one transaction
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed.

    Attributes:
        runs: How many runs.
        rows: How many rows that nobody needed any more: large values, forms of graphs, cached results.
    """

    runs: int
    rows: int


async def prune(
    store: Store, *, before: float, now: float, status: Collection[RunStatus] = USUALLY, graph: str | None = None
) -> Pruned:
    """Remove old runs, and what only they needed.

    A run that is ``running``, or that somebody drives, is never removed. What is removed stays removed where this is
    interrupted, and the next call goes on.

    Args:
        store: Where they are.
        before: Only runs whose status last changed before this time, in seconds since the epoch.
        now: Seconds since the epoch: cached results whose time is over go, too.
        status: Only runs with one of these.
        graph: Only runs of this graph.

    Raises:
        BadInput: Runs that are running were asked for.
    """
    _check(status)
    runs = rows = 0
    while True:
        async with _at_half_speed():
            gone = len(await store.prune(before=before, status=status, graph=graph, limit=_BATCH))
        runs += gone
        if gone < _BATCH:
            break
    while True:
        async with _at_half_speed():
            gone = await store.tidy(now=now, limit=_TIDY)
        rows += gone
        if gone < _TIDY:
            return Pruned(runs, rows)


async def prunable(
    store: Store, *, before: float, status: Collection[RunStatus] = USUALLY, graph: str | None = None
) -> AsyncIterator[RunRow]:
    """The runs that `prune` would remove now, the newest first."""
    _check(status)
    after: int | None = None
    while status:
        page = await store.runs(status=tuple(status), graph=graph, after=after, limit=_PAGE)
        for row in page:
            if row.updated_at < before and row.owner is None:
                yield row
        if len(page) < _PAGE:
            return
        after = page[-1].number


def _check(status: Collection[RunStatus]) -> None:
    if "running" in status:
        raise BadInput(f"runs that are running cannot be removed; leave 'running' out:   status={list(USUALLY)}")


@contextlib.asynccontextmanager
async def _at_half_speed() -> AsyncIterator[None]:
    """Rest as long as the block took: others who wait to write get their turn."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    yield
    await asyncio.sleep(loop.time() - began)
