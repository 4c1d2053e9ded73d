"""Cancelling a run that nobody drives: needs no code of its graph."""

from __future__ import annotations

from contextlib import suppress

from orchestra_graph.core import events as ev
from orchestra_graph.errors import RunEnded, StoreError, UnknownRun
from orchestra_graph.runtime.journal import body_of
from orchestra_graph.store.base import Append, LogRow, RunRow, Store

__all__ = ["cancel_stored"]


async def cancel_stored(store: Store, row: RunRow, at: float) -> list[LogRow]:
    """End a run that rests.

    Returns:
        The rows that were written.

    Raises:
        RunEnded: It is done, or cancelled already.
        RunOwned: Another process drives it.
    """
    epoch = (await store.claim(row.number)).epoch
    try:
        return await _cancel(store, row, epoch, at)
    except BaseException:
        with suppress(StoreError):
            await store.append(Append(run=row.number, epoch=epoch, release=True))
        raise


async def _cancel(store: Store, row: RunRow, epoch: int, at: float) -> list[LogRow]:
    now = await store.find(row.key)
    if now is None:
        raise UnknownRun(row.key, store.url)
    if now.status in ("done", "cancelled"):
        raise RunEnded(row.key, now.status, "be cancelled")
    snapshot = await store.snapshot(row.number)
    behind = -1 if snapshot is None else snapshot.seq
    following = behind + 1 + len(await store.log(row.number, after=behind))
    happened: tuple[ev.Event, ...] = (ev.RunCancelled(at=at), ev.RunEnded(at=at, status="cancelled"))
    rows = [LogRow(following + i, type(e).__name__, at, body_of(e)) for i, e in enumerate(happened)]
    await store.append(
        Append(
            run=row.number,
            epoch=epoch,
            rows=rows,
            withdraw=True,
            status="cancelled",
            release=True,
        )
    )
    return rows
