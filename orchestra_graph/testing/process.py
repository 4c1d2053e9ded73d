"""Parts of one event loop that die and are stopped like processes.

Rule 1. A task belongs to the process whose task, or callback, made it.
Rule 2. Who is dead goes no step further: whatever wakes one of its tasks cancels it. (So `finally` blocks of nodes run,
which a real kill does not leave them.)
Rule 3. Who is stopped goes no step further until it is woken: what happens to its tasks meanwhile, they learn then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["Process", "processes"]

T = TypeVar("T")

_HERE: ContextVar[Process | None] = ContextVar("orchestra_testing_process", default=None)
_OWNERS: WeakKeyDictionary[asyncio.Task[Any], Process] = WeakKeyDictionary()
_ROUNDS = 1000


class Process:
    """Tasks that live and die together.

    Args:
        name: For people.
        on_step: Called with the name of a task each time that it begins to wait for something.

    Attributes:
        dead: It was killed.
        death: Done when it was killed.
    """

    def __init__(self, name: str = "process", on_step: Callable[[str], None] | None = None):
        self.name, self.on_step = name, on_step
        self.dead = False
        self.death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopped = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._asleep: list[asyncio.Future[None]] = []

    def spawn(self, work: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """Begin *work* as a task of this process; inside of `processes`."""
        token = _HERE.set(self)
        try:
            return asyncio.get_running_loop().create_task(work, name=name)
        finally:
            _HERE.reset(token)

    def kill(self) -> None:
        """Let it be dead from this moment on."""
        self.dead = True
        if not self.death.done():
            self.death.set_result(None)

    async def end(self) -> None:
        """Wait until nothing is left of a dead one.

        Raises:
            RuntimeError: A task cannot be cancelled.
        """
        self.wake()
        for _ in range(_ROUNDS):
            left = [task for task in self._tasks if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.sleep(0)
        raise RuntimeError(
            f"tasks of {self.name} go on though they are cancelled: {sorted(t.get_name() for t in left)}"
        )

    def stop(self) -> None:
        """Let it stand still, as ``SIGSTOP`` does."""
        self._stopped = True

    def wake(self) -> None:
        """Let it go on, as ``SIGCONT`` does."""
        self._stopped = False
        asleep, self._asleep = self._asleep, []
        for sleeper in asleep:
            if not sleeper.done():
                sleeper.set_result(None)

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still."""
        return self._stopped

    # -- for its tasks ------------------------------------------------------------------------------

    def _adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        _OWNERS[task] = self
        task.add_done_callback(self._tasks.discard)

    def _sleep(self) -> Any:
        """What a task of it waits for while it is stopped."""
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep.append(sleeper)
        return sleeper.__await__().send(None)


class _Stepped(Coroutine[Any, Any, Any]):
    """The coroutine of a task of a process: each of its steps asks whether the process lives."""

    def __init__(self, work: Coroutine[Any, Any, Any], process: Process):
        self._work, self._process = work, process
        self._held: BaseException | None = None
        self.task: asyncio.Task[Any] | None = None

    def send(self, value: Any, /) -> Any:
        process = self._process
        if process.dead:
            return self._cancelled()
        if process.is_stopped:
            return process._sleep()
        held, self._held = self._held, None
        if held is not None:
            return self._waits(self._work.throw(held))
        return self._waits(self._work.send(value))

    def throw(self, error: Any, /, *more: Any) -> Any:
        process = self._process
        if process.dead:
            return self._cancelled()
        if process.is_stopped:
            self._held = error
            return process._sleep()
        return self._waits(self._work.throw(error, *more))

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Any:  # a task is made of it; nobody awaits it itself
        return self

    def _cancelled(self) -> Any:
        if self.task is not None and not self.task.cancelling():
            self.task.cancel()  # so that it is no cancellation of the task's own
        return self._work.throw(asyncio.CancelledError())

    def _waits(self, found: Any) -> Any:
        if self._process.on_step is not None and self.task is not None:
            self._process.on_step(self.task.get_name())
        return found


@contextlib.contextmanager
def processes() -> Iterator[None]:
    """While this is open, tasks that a process makes belong to it; other tasks are as they are."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def make(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> Any:
        here = asyncio.current_task()
        process = _HERE.get() or (None if here is None else _OWNERS.get(here))
        if process is None:
            return asyncio.Task(work, loop=loop, **more) if before is None else before(loop, work, **more)
        stepped = _Stepped(work, process)
        task = asyncio.Task(stepped, loop=loop, **more)
        stepped.task = task
        process._adopt(task)
        return task

    loop.set_task_factory(make)
    try:
        yield
    finally:
        loop.set_task_factory(before)
