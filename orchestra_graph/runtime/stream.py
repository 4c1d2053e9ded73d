"""`Run.events`: the events of a run, from any place on, as they come.

Rule 1. Durable events come from the log, page by page, and from nowhere else: whoever follows a run that this process
drives reads them as a reader in another process does.
Rule 2. While there is nothing new, the reader waits for the store to say that something changed.
Rule 3. What a node said live comes after its start and before its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from orchestra_graph import events
from orchestra_graph.errors import WrongCursor
from orchestra_graph.runtime.blobs import read_body
from orchestra_graph.runtime.live import Ear, Live
from orchestra_graph.runtime.telling import Cursor, Teller, teller_of
from orchestra_graph.store.base import LogRow, RunRow, Store

__all__ = ["events_of"]

_PAGE = 1_000
_PATIENCE = 60.0  # the store tells of every change; this only bounds what a lost word can do
_ENDS = (events.NodeFinished, events.NodeFailed, events.NodeWithdrawn)


async def events_of(
    store: Store, row: RunRow, live: Live, *, after: Cursor | None, follow: bool
) -> AsyncGenerator[events.RunEvent, None]:
    """The events of a run; see `Run.events`."""
    news = asyncio.Event()
    with live.listening(row.number, news.set) as ear:
        reader = _Reader(store, await teller_of(store, row), ear, after)
        watch: asyncio.Task[None] | None = None
        try:
            while True:
                news.clear()
                for event in await reader.page():
                    yield event
                if reader.more:
                    continue
                if reader.ended or not follow:
                    return
                if watch is None or watch.done():
                    watch = asyncio.create_task(_watch(store, news), name=f"events of {row.key}")
                await news.wait()
        finally:
            if watch is not None:
                watch.cancel()


async def _watch(store: Store, news: asyncio.Event) -> None:
    """Say that there may be news; one task for as long as somebody follows, since the store counts for each task."""
    try:
        while True:
            await store.changes(_PATIENCE)
            news.set()
    finally:
        news.set()  # the store is closed, or broken: the reader shall meet it


class _Reader:
    """Reads what is new, again and again.

    Attributes:
        more: There is more to be read at once.
        ended: The last row that was read says that the run has ended.
    """

    def __init__(self, store: Store, teller: Teller, ear: Ear, after: Cursor | None):
        self.more = self.ended = False
        self._store, self._teller, self._ear, self._after = store, teller, ear, after
        self._next = 0
        self._heard: list[events.LiveEvent] = []

    async def page(self) -> list[events.RunEvent]:
        """What is there and was not read yet, as far as one page goes."""
        self._heard += self._ear.take()  # before the log is read: the starts of those who spoke are surely in it
        rows = await self._store.log(self._teller.row.number, after=self._next - 1, upto=self._next + _PAGE - 1)
        self.more = len(rows) == _PAGE
        found: list[events.RunEvent] = []
        for row in rows:
            for event in await self._told(row):
                if isinstance(event, _ENDS):
                    found += self._said_by(event.id)
                found.append(event)
            self.ended = row.kind == "RunEnded"
        if not self.more:
            if self._after is not None:
                raise WrongCursor(self._teller.row.key, str(self._after), "it points behind the last event")
            found += self._placed(self._heard)
            self._heard = []
        return found

    def _said_by(self, identity: str) -> list[events.RunEvent]:
        """What an activation said that has ended."""
        said = [e for e in self._heard if e.id == identity]
        if said:
            self._heard = [e for e in self._heard if e.id != identity]
        return self._placed(said + self._ear.take(identity))

    def _placed(self, said: Sequence[events.LiveEvent]) -> list[events.RunEvent]:
        return [replace(event, cursor=str(self._teller.last)) for event in said]

    async def _told(self, row: LogRow) -> Sequence[events.DurableEvent]:
        """The events of a row, without those that the reader had before."""
        self._next = row.seq + 1
        had = self._after is not None and row.seq <= self._after.seq
        large = not had and '"blobs":' in row.body  # it may stand in user data, too: then this is only slower
        writes = (await read_body(self._store, row)).get("writes", {}) if large else None
        told = await self._teller.read_from(self._store, row, writes)
        if self._after is None or not had:
            return told
        if row.seq < self._after.seq:
            return ()
        cursor, self._after = self._after, None
        if cursor.place >= len(told):
            raise WrongCursor(self._teller.row.key, str(cursor), "that log row has no such event")
        return told[cursor.place + 1 :]
