"""Virtual time: nobody waits, and a thread is refused where it would be forgotten."""

from __future__ import annotations

import asyncio
import time

import pytest

from orchestra_graph import Engine, Graph, Retry, State, node
from orchestra_graph.testing.clock import EPOCH, VirtualClock, elapsed, in_virtual_time, run_virtually


class Sheet(State):
    text: str = ""


@in_virtual_time
async def test_a_day_passes_in_no_time_and_the_clock_says_so() -> None:
    clock, ahead, began = VirtualClock(), VirtualClock(skew=60.0), time.monotonic()
    await asyncio.sleep(86_400)
    assert (clock.now(), ahead.now()) == (EPOCH + 86_400, EPOCH + 86_460)
    assert elapsed() == 86_400
    assert time.monotonic() - began < 5


def test_each_call_begins_at_the_same_moment_and_gives_what_it_returns() -> None:
    async def wait(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return VirtualClock().now()

    assert run_virtually(wait(3)) == run_virtually(wait(3)) == EPOCH + 3


def test_who_waits_for_nothing_is_told_instead_of_waiting_for_ever() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(AssertionError, match="everybody waits, and nothing will ever happen"):
        run_virtually(wait())


@in_virtual_time
async def test_a_thread_of_which_virtual_time_knows_nothing_is_refused() -> None:
    with pytest.raises(RuntimeError, match="of which virtual time knows nothing"):
        await asyncio.to_thread(time.sleep, 0)


@in_virtual_time
async def test_sync_nodes_run_in_the_loop_and_retries_need_no_time() -> None:
    attempts: list[float] = []

    @node(writes="text", retry=Retry(attempts=3, delay=30.0, jitter=0.0))
    def flaky() -> str:
        attempts.append(elapsed())
        if len(attempts) < 3:
            raise ConnectionError("not yet")
        return "at last"

    graph = Graph(Sheet, name="flaky")
    graph.start(flaky)
    async with Engine(graphs=[graph], clock=VirtualClock()) as engine:
        run = await engine.start(graph, Sheet())
        assert (await run.result()).text == "at last"
    assert attempts[0] == 0.0
    assert attempts[1] >= 30.0
