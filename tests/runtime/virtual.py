"""Time that stands still while anything runs, and jumps when everybody waits.

A test of delays, timeouts and limits neither sleeps nor guesses: it runs on a `VirtualLoop`, and its engine has a
`LoopClock`. There are no threads in such a test, and no sync nodes: the loop would not know that somebody is at work.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

from orchestra_graph.clock import Clock

P = ParamSpec("P")

EPOCH = 1_800_000_000.0
"""The moment at which every such test begins."""


class _Jump(selectors.SelectSelector):
    """Instead of waiting, turns the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise AssertionError("everybody waits, and nothing will ever happen")
            self.elapsed += max(0.0, timeout)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time."""

    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.elapsed


class LoopClock(Clock):
    """Tells the time of the event loop."""

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of an async one."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def elapsed() -> float:
    """Seconds since the test began."""
    return asyncio.get_running_loop().time()
