"""What nodes say while they run (`Context.emit`, `Context.progress`), on its way to those who listen at that moment.

Rule 1. Nothing of it is stored, and nobody waits for it: a node is never held up by who listens.
Rule 2. Whoever listens and does not keep up loses the oldest of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TypeAlias

from orchestra_graph.clock import Clock
from orchestra_graph.events import LiveEvent

__all__ = ["SPEAK", "Ear", "Live", "Speak"]

Speak: TypeAlias = Callable[[LiveEvent], None]
_MOST = 10_000


def _to_nobody(event: LiveEvent) -> None:
    """Outside of a run, as in a test that calls a node, nobody listens."""


SPEAK: ContextVar[Speak] = ContextVar("SPEAK", default=_to_nobody)
"""Where the nodes of the run that is driven in this context are heard."""


class Ear:
    """One who listens to one run.

    Args:
        wake: Called when something was said.
    """

    def __init__(self, wake: Callable[[], object]):
        self._heard: deque[LiveEvent] = deque(maxlen=_MOST)
        self._wake = wake

    def hear(self, event: LiveEvent) -> None:
        """Something was said."""
        self._heard.append(event)
        self._wake()

    def take(self, identity: str | None = None) -> list[LiveEvent]:
        """Take out what was heard, the oldest first; with *identity* only what that activation said."""
        taken = [e for e in self._heard if identity in (None, e.id)]
        if taken:
            left = [] if identity is None else [e for e in self._heard if e.id != identity]
            self._heard = deque(left, maxlen=_MOST)
        return taken


class Live:
    """Brings what the nodes of one engine's runs say to those who listen."""

    def __init__(self) -> None:
        self._ears: dict[int, list[Ear]] = {}
        self._all: list[Callable[[int, LiveEvent], object]] = []

    def listen_to_all(self, hear: Callable[[int, LiveEvent], object]) -> None:
        """Tell *hear* of every run, by its number."""
        self._all.append(hear)

    @contextmanager
    def listening(self, run: int, wake: Callable[[], object]) -> Iterator[Ear]:
        """Listen to a run while the block runs."""
        ear = Ear(wake)
        ears = self._ears.setdefault(run, [])
        ears.append(ear)
        try:
            yield ear
        finally:
            ears.remove(ear)
            if not ears:
                self._ears.pop(run, None)

    def speaker(self, run: int, clock: Clock) -> Speak:
        """What the nodes of a run say it with, from whatever thread; to be made in the event loop."""
        loop, home = asyncio.get_running_loop(), threading.get_ident()

        def tell(event: LiveEvent) -> None:
            for ear in self._ears.get(run, ()):
                ear.hear(event)
            for hear in self._all:
                hear(run, event)

        def speak(event: LiveEvent) -> None:
            if run not in self._ears and not self._all:
                return
            event = replace(event, at=clock.now())
            if threading.get_ident() == home:
                tell(event)
                return
            try:
                loop.call_soon_threadsafe(tell, event)
            except RuntimeError:
                return  # the loop is closed: nobody is left to tell

        return speak
