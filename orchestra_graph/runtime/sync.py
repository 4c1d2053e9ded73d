"""The one bridge from code without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["run_blocking"]

T = TypeVar("T")


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run_blocking(make: Callable[[], Awaitable[T]]) -> T:
    """Run async code to its end and return what it returns.

    Where this thread has a running loop already (a notebook), the code runs on a loop in another thread, and this one
    waits.

    Args:
        make: Makes the awaitable; called in the loop that runs it.
    """

    async def main() -> T:
        return await make()

    if not _in_a_loop():
        return asyncio.run(main())
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(asyncio.run(main()))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="orchestra-run-sync")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
