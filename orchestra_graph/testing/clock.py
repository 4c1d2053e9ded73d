"""Time that stands still while anything runs, and jumps when everybody waits.

A test of delays, timeouts and limits neither sleeps nor guesses: it runs on a virtual event loop, and its engine has a
`VirtualClock`. A day passes in no time, and always in the same way.

    @in_virtual_time
    async def test_the_reminder_comes_after_a_day() -> None:
        async with Engine(graphs=[graph], clock=VirtualClock()) as engine:
            ...

Rule 1. The loop must know of everybody who is at work. It knows of no threads: on it, sync nodes run in the loop
itself, one at a time, and `asyncio.to_thread` is refused. Stores that use threads or the network (SQLite, PostgreSQL)
cannot be used; runs in memory can.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

__all__ = ["EPOCH", "VirtualClock", "VirtualLoop", "elapsed", "in_virtual_time", "run_virtually"]

P = ParamSpec("P")
T = TypeVar("T")

EPOCH = 1_800_000_000.0
"""The moment at which every virtual loop begins, in seconds since the epoch."""


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
    """An event loop in which waiting takes no time.

    Attributes:
        runs_threads: False; an engine runs its sync nodes in the loop then.
    """

    runs_threads = False

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Seconds since the loop was made, as the clock was turned."""
        return self._jump.elapsed

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Refuse: the clock would be turned while the thread is at work."""
        raise RuntimeError(
            f"{getattr(func, '__name__', func)} is to run in a thread, of which virtual time knows nothing. Call it"
            " directly, or run this test on a real event loop"
        )


class VirtualClock:
    """Tells the time of the event loop: a `Clock` for an engine on a virtual one.

    Args:
        skew: How many seconds it is ahead of the others.
    """

    def __init__(self, skew: float = 0.0):
        self.skew = skew

    def now(self) -> float:
        """Seconds since the epoch."""
        return EPOCH + asyncio.get_running_loop().time() + self.skew


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* to its end on a virtual event loop of its own, and give what it returns.

    Raises:
        AssertionError: Everybody waits, and there is nothing that anybody could be waiting for.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an ordinary function of an async one: each call runs on a virtual event loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtually(test(*args, **kwargs))

    return run


def elapsed() -> float:
    """Seconds that have passed on the running loop since it was made, if it is a virtual one."""
    return asyncio.get_running_loop().time()
