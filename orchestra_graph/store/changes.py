"""Waking those who wait for a change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["Changes", "Watch"]


class Changes:
    """Counts what happened, and remembers for each task how much of it that task knows.

    For each task, because two that wait in turns would otherwise take the news from each other.
    """

    def __init__(self) -> None:
        self._count = 0
        self._known: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._waiting: set[asyncio.Future[None]] = set()

    def happened(self) -> None:
        """Something was written."""
        self._count += 1
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def news(self) -> bool:
        """Whether something happened since this task last asked."""
        task = asyncio.current_task()
        assert task is not None
        known = self._known.get(task, 0)
        self._known[task] = self._count
        return known != self._count

    async def wait(self, seconds: float) -> bool:
        """Wait for news, at most *seconds*; whether there are any."""
        if self.news():
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=seconds)
        finally:
            self._waiting.discard(waiter)
        return self.news()


class Watch:
    """Looks for what other processes wrote, again and again while somebody waits.

    Rule 1. However many wait, one looks.
    Rule 2. While nobody waits, nobody looks: the first who comes finds what happened meanwhile.
    """

    def __init__(
        self, version: Callable[[], asyncio.Future[int]], now: int, changes: Sequence[Changes], interval: float
    ):
        """Watch a number that changes when others write.

        Args:
            version: Asks for the number.
            now: What it is.
            changes: Are told when it changed.
            interval: Seconds between two looks.
        """
        self._version = version
        self._last = now
        self._changes = changes
        self._interval = interval
        self._waiting = 0
        self._look: asyncio.Future[int] | None = None
        self._next: asyncio.TimerHandle | None = None

    async def wait(self, changes: Changes, seconds: float) -> bool:
        """Wait for news of one kind, of others' making, too; see `Store.changes`."""
        self._waiting += 1
        try:
            if self._next is None and self._look is None:
                self._begin_look()
            return await changes.wait(seconds)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.stop()

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin_look(self) -> None:
        self._next = None
        self._look = self._version()
        self._look.add_done_callback(self._end_look)

    def _end_look(self, look: asyncio.Future[int]) -> None:
        self._look = None
        if look.cancelled():
            return
        # An error is news, once: those who wait shall meet it themselves, by reading.
        version = -1 if look.exception() else look.result()
        if version != self._last:
            self._last = version
            for changes in self._changes:
                changes.happened()
        if self._waiting:
            self._next = asyncio.get_running_loop().call_later(self._interval, self._begin_look)
