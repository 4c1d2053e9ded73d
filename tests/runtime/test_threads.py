"""The threads of sync nodes: bounded, reused, and never waited for at the end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from orchestra_graph.runtime import threads as module
from orchestra_graph.runtime.threads import Threads

from .common import until

Late = list[str]


def ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "orchestra-node"]


@pytest.fixture
def threads() -> Any:
    """A pool, and none of its threads left over afterwards."""
    before = set(ours())
    pool = Threads(3)
    yield pool
    pool.close()
    for thread in set(ours()) - before:
        thread.join(20)
        assert not thread.is_alive()


def busy(threads: Threads) -> int:
    """How many threads are at work on a job."""
    return 0 if threads._waiting else threads._count - threads._free


async def call(threads: Threads, fn: Any, late: Late | None = None, **kwargs: Any) -> Any:
    return await threads.run(fn, kwargs, (late if late is not None else []).append)


@pytest.mark.asyncio
async def test_a_function_runs_in_another_thread_with_the_context_of_its_caller(threads: Threads) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("mine")

    def work(x: int) -> tuple[int, str, bool]:
        found = variable.get()
        variable.set("changed")
        return x, found, threading.current_thread() is threading.main_thread()

    assert await call(threads, work, x=3) == (3, "mine", False)
    assert variable.get() == "mine"


@pytest.mark.asyncio
async def test_what_it_raises_comes_to_the_caller(threads: Threads) -> None:
    def work() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        await call(threads, work)

    def stop() -> None:
        raise StopIteration(3)  # a future would not take it

    with pytest.raises(RuntimeError, match="StopIteration: 3"):
        await call(threads, stop)


@pytest.mark.asyncio
async def test_no_more_run_at_once_than_allowed_and_threads_are_used_again(threads: Threads) -> None:
    lock = threading.Lock()
    now = most = 0
    gate = threading.Barrier(3)

    def work(n: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        gate.wait(20)  # all three are really needed at once
        with lock:
            now -= 1
        return n

    assert await asyncio.gather(*(call(threads, work, n=n) for n in range(30))) == list(range(30))
    assert most == 3
    assert threads._count <= 3


@pytest.mark.asyncio
async def test_a_function_that_is_left_alone_keeps_its_place_until_it_ends_and_tells_how(threads: Threads) -> None:
    go, late = threading.Event(), Late()
    waiting = [asyncio.create_task(call(threads, lambda: go.wait(20), late)) for _ in range(3)]
    await until(lambda: busy(threads) == 3)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    next_one = asyncio.create_task(call(threads, lambda: "next"))
    await asyncio.wait([next_one], timeout=0.02)
    assert not next_one.done()  # there is no place
    assert late == []
    go.set()
    assert await next_one == "next"
    await until(lambda: len(late) == 3)
    assert late == ["returned"] * 3


@pytest.mark.asyncio
async def test_a_late_failure_is_told_as_such(threads: Threads) -> None:
    go, late = threading.Event(), Late()

    def work() -> None:
        go.wait(20)
        raise ValueError("too late")

    task = asyncio.create_task(call(threads, work, late))
    await until(lambda: busy(threads) == 1)
    task.cancel()
    await asyncio.wait([task])
    go.set()
    await until(lambda: late)
    assert late == ["raised ValueError: too late"]


@pytest.mark.asyncio
async def test_what_has_not_begun_when_it_is_cancelled_never_begins(threads: Threads) -> None:
    go, ran = threading.Event(), list[str]()
    held = [asyncio.create_task(call(threads, lambda: go.wait(20))) for _ in range(3)]
    queued = asyncio.create_task(call(threads, lambda: ran.append("queued")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    queued.cancel()
    await asyncio.wait([queued])
    go.set()
    await asyncio.gather(*held)
    assert await call(threads, lambda: "after") == "after"
    assert ran == []


@pytest.mark.asyncio
async def test_a_thread_without_work_ends_after_a_while_and_another_one_comes(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.001)
    for n in range(5):
        assert await call(threads, lambda n=n: n) == n
        await until(lambda: not threads._count)


class _Impatient(threading.Condition):
    """Lets the patience of a thread be over in the very moment in which a job comes."""

    def __init__(self, threads: Threads):
        super().__init__()
        self.threads = threads
        self.job: Any = None

    def wait(self, timeout: float | None = None) -> bool:
        if self.job is not None:
            job, self.job = self.job, None
            self.threads._waiting.append(job)
            return False
        return super().wait(timeout)


@pytest.mark.asyncio
async def test_a_job_that_comes_when_the_patience_of_a_thread_is_over_is_done_all_the_same(threads: Threads) -> None:
    condition = _Impatient(threads)
    threads._condition = condition
    done = asyncio.get_running_loop().create_future()
    condition.job = module._Job(lambda: "done", done, lambda _: None)
    assert await call(threads, lambda: "first") == "first"
    assert await asyncio.wait_for(done, 20) == "done"


def test_a_thread_that_is_at_work_does_not_keep_a_closed_loop_waiting() -> None:
    go, ended = threading.Event(), threading.Event()
    pool = Threads(1)

    def work() -> None:
        go.wait(20)
        ended.set()

    async def main() -> None:
        task = asyncio.create_task(call(pool, work))
        await until(lambda: busy(pool) == 1)
        task.cancel()

    asyncio.run(main())  # ends at once
    pool.close()
    go.set()
    assert ended.wait(20)
