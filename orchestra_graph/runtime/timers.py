"""`Timers`: what a run does at a certain time: the next attempts of its nodes, and its limit on seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from orchestra_graph.clock import Clock
from orchestra_graph.core import decide
from orchestra_graph.core import events as ev
from orchestra_graph.core.run import RunState

__all__ = ["Timed", "Timers"]

_AT_ONCE = 1e-6  # seconds: clocks that count from 1970 tell no less apart, and a timer would be set again for ever


class Timed(Protocol):
    """Whose timers these are: a `Drive`."""

    run: RunState
    clock: Clock

    def put(self, event: ev.Event) -> None:
        """Let something happen to the run."""
        ...

    def wake(self) -> None:
        """Look at what may start now."""
        ...


class Timers:
    """The timers of one run, while it is driven."""

    def __init__(self, drive: Timed):
        self._drive = drive
        self._set: set[asyncio.TimerHandle] = set()
        self._limit: asyncio.TimerHandle | None = None

    def set_attempts(self) -> None:
        """Have the nodes that wait for their next attempt make it when it is due."""
        for activation in self._drive.run.live.values():
            if activation.status == "retrying" and activation.retry_at is not None:
                self.set_attempt(activation.id, activation.retry_at)

    def set_attempt(self, identity: str, moment: float) -> None:
        """Have one make its next attempt at *moment*."""
        self._at(moment, self._due, identity)

    def set_limit(self) -> None:
        """Look at the limit on seconds when it may be reached; time in which only people are waited for is not used."""
        if self._limit is not None:
            self._limit.cancel()
            self._set.discard(self._limit)
            self._limit = None
        limit = decide.next_limit(self._drive.run)
        if limit is not None:
            self._limit = self._at(self._drive.clock.now() + limit.at - self._used(), self._look)

    def stop(self) -> None:
        """Nothing rings any more."""
        for timer in self._set:
            timer.cancel()
        self._set.clear()

    def _at(self, moment: float, call: Callable[..., None], *args: Any) -> asyncio.TimerHandle:
        def ring() -> None:
            self._set.discard(timer)
            call(*args)

        timer = asyncio.get_running_loop().call_later(max(0.0, moment - self._drive.clock.now()), ring)
        self._set.add(timer)
        return timer

    def _due(self, identity: str) -> None:
        decide.due(self._drive.run, identity)
        self._drive.wake()

    def _used(self) -> float:
        """Seconds in which the run had something to do: until its last event, and since."""
        run = self._drive.run
        return run.active + self._drive.clock.now() - run.last_at

    def _look(self) -> None:
        limit = decide.next_limit(self._drive.run)
        if limit is None:
            return
        if limit.at - self._used() > _AT_ONCE:
            self.set_limit()
        else:
            now = self._drive.clock.now()
            self._drive.put(ev.LimitPassed(at=now, limit="seconds", allowed=limit.allowed, cap=limit.cap))
