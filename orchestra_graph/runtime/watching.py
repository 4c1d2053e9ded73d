"""`Watcher`: looks for answers, for all the runs that one engine drives.

Rule 1. However many runs wait for people, one task waits for answers, and one query finds them.
Rule 2. While no run waits for anybody, nothing is looked for.
Rule 3. A run listens before its question is stored. So an answer to it is always given after the watcher knows of the
question, and wakes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from contextvars import Context
from typing import Protocol

from orchestra_graph.store.base import QuestionRow, Store

__all__ = ["Listener", "Watcher"]

_PATIENCE = 1.0


class Listener(Protocol):
    """One run that waits for people."""

    @property
    def waiting(self) -> Collection[str]:
        """The ids of the questions that it waits for now."""
        ...

    def hear(self, news: Iterable[QuestionRow]) -> None:
        """These are not waited for any more; maybe it knows that already."""
        ...

    def lose(self, error: Exception) -> None:
        """Nobody looks for it any more, because of this."""
        ...


class Watcher:
    """Tells each run which of its questions have news, whoever answered, in whatever process."""

    def __init__(self, store: Store):
        self._store = store
        self._listeners: dict[int, Listener] = {}
        self._somebody = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def listen(self, run: int, listener: Listener) -> None:
        """From now on, tell *listener* of answers; it has looked itself at those that there are already."""
        self._listeners[run] = listener
        self._somebody.set()
        if self._task is None:
            # A context of its own: it belongs to no run.
            self._task = asyncio.create_task(self._watch(), name="answers", context=Context())

    def leave(self, run: int) -> None:
        """Tell it nothing any more."""
        self._listeners.pop(run, None)
        if not self._listeners:
            self._somebody.clear()

    async def close(self) -> None:
        """Look no more, for nobody."""
        task, self._task = self._task, None
        self._listeners.clear()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._somebody.wait()
            try:
                if await self._store.answers(_PATIENCE):
                    began = loop.time()
                    await self._look()
                    await asyncio.sleep(loop.time() - began)  # so many may wait that looking would be all that is done
            except Exception as error:
                for run, listener in list(self._listeners.items()):
                    self.leave(run)
                    listener.lose(error)

    async def _look(self) -> None:
        asked = {run: waiting for run, listener in self._listeners.items() if (waiting := listener.waiting)}
        if not asked:
            return
        news: dict[int, list[QuestionRow]] = {}
        for row in await self._store.news(asked):
            news.setdefault(row.run, []).append(row)
        for run, rows in news.items():
            listener = self._listeners.get(run)  # it may have left meanwhile
            if listener is not None:
                listener.hear(rows)
