"""Processes in one event loop: what dies goes no step further, what stands still goes on where it was."""

from __future__ import annotations

import asyncio

import pytest

from orchestra_graph.testing.clock import elapsed, in_virtual_time
from orchestra_graph.testing.process import Process, processes


async def count(told: list[float]) -> None:
    while True:
        await asyncio.sleep(1)
        told.append(elapsed())


@in_virtual_time
async def test_who_is_killed_goes_no_step_further_and_takes_its_children_along() -> None:
    told: list[float] = []

    async def parent() -> None:
        asyncio.create_task(count(told), name="child")  # noqa: RUF006
        await asyncio.sleep(1000)
        told.append(-1)

    other: list[float] = []
    with processes():
        process = Process()
        task = process.spawn(parent())
        beside = asyncio.create_task(count(other))
        await asyncio.sleep(2.5)
        process.kill()
        await process.death
        await asyncio.sleep(5)
        await process.end()
        assert task.cancelled()
    assert told == [1.0, 2.0]
    assert other == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]  # who is no part of it
    beside.cancel()


@in_virtual_time
async def test_who_is_stopped_goes_on_when_it_is_woken_and_learns_then_what_happened() -> None:
    told: list[str] = []

    async def work() -> None:
        await asyncio.sleep(1)
        told.append(f"slept until {elapsed()}")
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            told.append(f"cancelled at {elapsed()}")

    with processes():
        process = Process()
        task = process.spawn(work())
        await asyncio.sleep(0.5)
        process.stop()
        await asyncio.sleep(5)
        assert told == []
        process.wake()
        await asyncio.sleep(0.1)
        process.stop()
        task.cancel()
        await asyncio.sleep(5)
        assert told == ["slept until 5.5"]
        process.wake()
        await task
    assert told == ["slept until 5.5", "cancelled at 10.6"]


@in_virtual_time
async def test_each_wait_of_its_tasks_is_told() -> None:
    waits: list[str] = []

    async def work() -> int:
        await asyncio.sleep(1)
        await asyncio.sleep(1)
        return 7

    with processes():
        assert await Process("p", waits.append).spawn(work(), name="worker") == 7
    assert waits == ["worker", "worker"]


@in_virtual_time
async def test_a_task_that_cannot_be_cancelled_is_named() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                if give_up:
                    raise

    give_up: list[int] = []
    with processes():
        process = Process("p")
        task = process.spawn(stubborn(), name="stubborn")
        await asyncio.sleep(0)
        process.kill()
        with pytest.raises(RuntimeError, match=r"tasks of p go on though they are cancelled: \['stubborn'\]"):
            await process.end()
        give_up.append(1)
        await process.end()
        assert task.cancelled()
