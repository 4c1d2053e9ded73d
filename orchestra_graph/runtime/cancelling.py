"""Cancelling a run that this engine does not drive: needs no code of its graph.

One that nobody drives is ended here. Whoever drives it is sent a message, and ends it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from orchestra_graph.core import events as ev
from orchestra_graph.errors import RunEnded, StoreError, UnknownRun
from orchestra_graph.ids import new_message_id
from orchestra_graph.runtime.journal import body_of
from orchestra_graph.runtime.mail import CANCEL
from orchestra_graph.store.base import Append, Fenced, LogRow, MessageRow, RunRow, Store

__all__ = ["ask_to_cancel", "cancel_stored", "until_moved"]

_PATIENCE = 1.0  # then it is time to see whether the owner lives


async def ask_to_cancel(store: Store, row: RunRow, at: float) -> None:
    """Tell whoever drives a run, now or next, that it is to be cancelled; nothing where it has ended meanwhile."""
    wish = MessageRow(run=row.number, id=f"{CANCEL}/{new_message_id()}", channel=CANCEL, body="{}", sent_at=at)
    with suppress(RunEnded):
        await store.send(wish)


async def until_moved(store: Store, row: RunRow) -> None:
    """Wait until a run has another status or owner than it has now; not for long, for its owner may die."""
    loop = asyncio.get_running_loop()
    end, before = loop.time() + _PATIENCE, await store.find(row.key)
    while before is not None and (left := end - loop.time()) > 0 and await store.changes(left):
        now = await store.find(row.key)
        if now is None or (now.status, now.owner, now.epoch) != (before.status, before.owner, before.epoch):
            return


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
        with suppress(StoreError, Fenced):
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
    wishes = [message.id for message in await store.inbox(row.number) if message.channel == CANCEL]
    happened: tuple[ev.Event, ...] = (ev.RunCancelled(at=at), ev.RunEnded(at=at, status="cancelled"))
    rows = [LogRow(following + i, type(e).__name__, at, body_of(e)) for i, e in enumerate(happened)]
    await store.append(
        Append(
            run=row.number,
            epoch=epoch,
            rows=rows,
            taken=[(wish, following) for wish in wishes],
            withdraw=True,
            status="cancelled",
            release=True,
        )
    )
    return rows
