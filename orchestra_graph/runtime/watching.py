"""`Watcher`: looks for answers and messages, for all the runs that one engine drives.

Rule 1. However many runs are driven, one task waits for what people and programs say to them; one query finds the
answers, and one the messages.
Rule 2. While no run is driven, nothing is looked for.
Rule 3. A run listens before its question is stored, and before it looks itself at what was sent to it. So whatever is
said later is said after the watcher knows of the run, and wakes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from contextvars import Context
from typing import Protocol, TypeVar

from orchestra_graph.store.base import MessageRow, QuestionRow, Store

__all__ = ["Listener", "Watcher"]

_LOG = logging.getLogger("orchestra_graph.run")
_PATIENCE = 3600.0  # the store itself looks often enough
_FIRST_PAUSE = 0.1  # after a failure; each one that follows doubles it
_LONGEST_PAUSE = 1.0

Row = TypeVar("Row", QuestionRow, MessageRow)


class Listener(Protocol):
    """One run that is driven."""

    @property
    def waiting(self) -> Collection[str]:
        """The ids of the questions that it waits for now."""
        ...

    def hear(self, news: Iterable[QuestionRow]) -> None:
        """These are not waited for any more; maybe it knows that already."""
        ...

    def hear_messages(self, messages: Sequence[MessageRow]) -> None:
        """All that was sent to it and that nobody has taken; most of it may be known to it already."""
        ...

    def lose(self, error: Exception) -> None:
        """Nobody looks for its answers any more, because of this."""
        ...


class Watcher:
    """Tells each run which of its questions have news, and what was sent to it, whoever did it, in whatever process."""

    def __init__(self, store: Store):
        self._store = store
        self._listeners: dict[int, Listener] = {}
        self._unheard: dict[int, list[MessageRow]] = {}  # was sent to runs of ours that did not listen yet
        self._somebody = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def listen(self, run: int, listener: Listener) -> None:
        """From now on, tell *listener* what is said. It looks itself at what was said before, now or next."""
        self._listeners[run] = listener
        self._somebody.set()
        if self._task is None:
            # A context of its own: it belongs to no run.
            self._task = asyncio.create_task(self._watch(), name="answers", context=Context())
        messages = self._unheard.pop(run, None)
        if messages:
            listener.hear_messages(messages)

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
        loop, pause = asyncio.get_running_loop(), 0.0
        while True:
            await self._somebody.wait()
            try:
                if pause or await self._store.answers(_PATIENCE):
                    began = loop.time()
                    await self._look()
                    await asyncio.sleep(loop.time() - began)  # so much may come that looking would be all that is done
                pause = 0.0
            except Exception as error:
                self._give_up(error)
                if not pause:
                    _LOG.warning("answers and messages cannot be looked for: %s", error)
                pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
                await asyncio.sleep(pause)

    def _give_up(self, error: Exception) -> None:
        """Tell those that would wait in vain; the others go on, and hear what was sent at the next look."""
        for run, listener in list(self._listeners.items()):
            if listener.waiting:
                self.leave(run)
                listener.lose(error)

    async def _look(self) -> None:
        asked = {run: waiting for run, listener in self._listeners.items() if (waiting := listener.waiting)}
        if asked:
            for run, news in _by_run(await self._store.news(asked)).items():
                if (listener := self._listeners.get(run)) is not None:  # it may have left meanwhile
                    listener.hear(news)
        self._unheard = _by_run(await self._store.inbox())
        for run in self._unheard.keys() & self._listeners.keys():
            self._listeners[run].hear_messages(self._unheard.pop(run))


def _by_run(rows: Iterable[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.run, []).append(row)
    return found
