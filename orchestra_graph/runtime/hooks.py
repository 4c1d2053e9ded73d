"""Hooks: functions that are told what happens in the runs that an engine drives.

Rule 1. A hook is told after an event is durable, in the order of the log, by one task for all runs of the engine.
Rule 2. What a hook raises is logged, and is otherwise nobody's business: no run waits for a hook or fails by one.
Rule 3. Without hooks nothing is done.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from orchestra_graph.errors import OrchestraError
from orchestra_graph.events import LiveEvent, RunEvent
from orchestra_graph.runtime.blobs import read_body
from orchestra_graph.runtime.live import Live
from orchestra_graph.runtime.telling import Teller, teller_of
from orchestra_graph.store.base import LogRow, RunRow, Store

__all__ = ["Hook", "Hooks"]

Hook: TypeAlias = Callable[[RunEvent], Any]
"""Sync or async. A sync one is called in the event loop: it must not block."""

_LOG = logging.getLogger("orchestra_graph.hooks")
_Job: TypeAlias = Callable[[], Awaitable[None]]


class Hooks:
    """The hooks of one engine.

    Args:
        hooks: Are told in this order.
        store: Where the runs are.
        live: What nodes say while they run.
    """

    def __init__(self, hooks: Iterable[Hook], store: Store, live: Live):
        self._hooks = tuple(hooks)
        self._store = store
        self._tellers: dict[int, Teller] = {}
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        for hook in self._hooks:
            if not callable(hook):
                raise TypeError(f"a hook is a function of an event, not {hook!r:.80}:   Engine(url, hooks=[print])")
        if self._hooks:
            live.listen_to_all(self._heard)

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._hooks)

    def written(self, row: RunRow, rows: Sequence[LogRow]) -> None:
        """These rows of a run are durable now."""
        if self._hooks and rows:
            self._put(lambda: self._tell_rows(row, rows))

    def rests(self, run: int) -> None:
        """This engine does not drive a run any more: others may, and what they write is not told here."""
        if self._hooks:

            async def forget() -> None:
                self._tellers.pop(run, None)

            self._put(forget)

    async def close(self) -> None:
        """Let the hooks hear everything that has happened so far."""
        if self._task is not None:
            task, self._task = self._task, None
            self._jobs.put_nowait(None)
            await task

    # -- inside -------------------------------------------------------------------------------------

    def _heard(self, run: int, event: LiveEvent) -> None:
        async def tell() -> None:
            teller = self._tellers.get(run)
            await self._tell(event if teller is None else replace(event, cursor=str(teller.last)))

        self._put(tell)

    def _put(self, job: _Job) -> None:
        self._jobs.put_nowait(job)
        if self._task is None:
            self._task = asyncio.create_task(self._go(), name="hooks")

    async def _go(self) -> None:
        while (job := await self._jobs.get()) is not None:
            try:
                await job()
            except OrchestraError:
                _LOG.exception("what happened in a run could not be read, and its hooks were not told")

    async def _tell_rows(self, row: RunRow, rows: Sequence[LogRow]) -> None:
        teller = self._tellers.get(row.number)
        if teller is None:
            before = await self._store.log(row.number, upto=rows[0].seq - 1)
            teller = await teller_of(self._store, row, [*before, *rows])
            for logged in before:
                await teller.read_from(self._store, logged)  # told before, by whoever drove it then
            self._tellers[row.number] = teller
        for logged in rows:
            large = '"blobs":' in logged.body
            writes = (await read_body(self._store, logged)).get("writes", {}) if large else None
            for event in await teller.read_from(self._store, logged, writes):
                await self._tell(event)

    async def _tell(self, event: RunEvent) -> None:
        for hook in self._hooks:
            try:
                said = hook(event)
                if inspect.isawaitable(said):
                    await said
            except Exception:
                name = getattr(hook, "__qualname__", repr(hook))
                _LOG.exception("the hook %s failed on a %s of run %s", name, type(event).__name__, event.run)
