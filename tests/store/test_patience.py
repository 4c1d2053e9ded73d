from __future__ import annotations

import asyncio

import anyio
import pytest

from orchestra_graph.store.patience import to_the_end


@pytest.mark.asyncio
async def test_work_goes_on_when_the_caller_is_cancelled_again_and_again() -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def work() -> int:
        await go.wait()
        done.set()
        return 7

    task = asyncio.create_task(to_the_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


@pytest.mark.asyncio
async def test_a_cancelled_scope_waits_for_the_work() -> None:
    done = False

    async def work() -> None:
        nonlocal done
        for _ in range(10):
            await asyncio.sleep(0)
        done = True

    with anyio.CancelScope() as scope:
        scope.cancel()
        await to_the_end(work())
    assert done


@pytest.mark.asyncio
async def test_the_result_and_the_error_come_through() -> None:
    async def good() -> int:
        return 7

    async def bad() -> int:
        raise ValueError("no")

    assert await to_the_end(good()) == 7
    with pytest.raises(ValueError, match="no"):
        await to_the_end(bad())
