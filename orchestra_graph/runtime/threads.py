"""Worker threads for sync nodes.

A thread cannot be stopped. A node that takes longer than its timeout is left alone: nobody waits for it any more, but
its thread is counted until it ends, so that a node that hangs again and again cannot eat the machine. The threads are
daemons: an abandoned one does not keep the process from ending, which the pools of the standard library and of anyio
would.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Threads"]

_PATIENCE = 10.0
"""Seconds after which a thread that has nothing to do ends."""


class _Job:
    __slots__ = ("abandoned", "call", "future", "late")

    def __init__(self, call: Callable[[], Any], future: asyncio.Future[Any], late: Callable[[str], None]):
        self.call, self.future, self.late = call, future, late
        self.abandoned = False


class Threads:
    """A bounded pool of threads, started when they are needed.

    Args:
        most: How many at the same time; 0: there are none, and everything is called in the event loop.
    """

    def __init__(self, most: int = 40):
        self.most = most
        self._waiting: deque[_Job] = deque()
        self._free = 0
        self._count = 0
        self._closed = False
        self._condition = threading.Condition()

    async def run(self, fn: Callable[..., Any], kwargs: dict[str, Any], late: Callable[[str], None]) -> Any:
        """Call *fn* in a thread.

        Args:
            fn: The function.
            kwargs: Its arguments.
            late: Called in the event loop with the outcome, if the function ends after whoever awaited this was
                cancelled.
        """
        loop = asyncio.get_running_loop()
        if self.most < 1 or not getattr(loop, "runs_threads", True):  # a virtual loop would not wait for a thread
            await asyncio.sleep(0)
            return contextvars.copy_context().run(fn, **kwargs)
        context = contextvars.copy_context()
        job = _Job(lambda: context.run(fn, **kwargs), loop.create_future(), late)
        with self._condition:
            self._waiting.append(job)
            if self._free >= len(self._waiting):
                self._condition.notify()
            elif self._count < self.most:
                self._count += 1
                threading.Thread(target=self._work, name="orchestra-node", daemon=True).start()
        try:
            return await job.future
        finally:
            if not job.future.done() or job.future.cancelled():
                self._abandon(job)

    def close(self) -> None:
        """Let the threads go that have nothing to do; the others end with what they do."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _abandon(self, job: _Job) -> None:
        with self._condition:
            job.abandoned = True
            if job in self._waiting:
                self._waiting.remove(job)

    def _work(self) -> None:
        while True:
            with self._condition:
                self._free += 1
                while not self._waiting:
                    # A job may come in the very moment in which the patience is over.
                    if self._closed or not (self._condition.wait(timeout=_PATIENCE) or self._waiting or self._closed):
                        self._free -= 1
                        self._count -= 1
                        return
                self._free -= 1
                job = self._waiting.popleft()
            self._perform(job)

    @staticmethod
    def _perform(job: _Job) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = job.call()
        except BaseException as raised:
            error = raised
        loop = job.future.get_loop()
        try:
            loop.call_soon_threadsafe(_deliver, job, result, error)
        except RuntimeError:
            return  # the loop is closed: nobody is left to tell


def _deliver(job: _Job, result: Any, error: BaseException | None) -> None:
    if job.abandoned or job.future.done():
        job.late("returned" if error is None else f"raised {type(error).__name__}: {error}")
    elif error is None:
        job.future.set_result(result)
    elif isinstance(error, StopIteration):
        job.future.set_exception(RuntimeError(f"the node raised StopIteration: {error}"))
    else:
        job.future.set_exception(error)
