"""What was done though the store said that it failed: a worker sees to it all the same. Found by seed 60."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from orchestra_graph import Engine
from orchestra_graph.errors import StoreError
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.testing.clock import VirtualClock, run_virtually
from orchestra_graph.testing.faults import FaultKind, FaultyStore
from tests.simulation.graphs import GRAPHS, Sheet

LOOPED = GRAPHS["looped"]


async def work(engine: Engine, database: MemoryDatabase) -> str:
    """Let a worker work for a while; how the run stands then."""
    task = asyncio.create_task(engine.work())
    await asyncio.sleep(120)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return database.by_key["k"].row.status


def test_a_run_that_was_claimed_or_not_released_is_taken_up() -> None:
    async def main(method: str, kind: FaultKind) -> str:
        clock = VirtualClock()
        database = MemoryDatabase(clock=clock)
        first = MemoryStore(database, lease=3.0)
        async with Engine(first, graphs=[LOOPED], clock=clock) as engine:
            await engine.start(LOOPED, Sheet(), key="k")
        assert database.by_key["k"].row.status == "running"
        script: list[tuple[str, int, FaultKind]] = [(method, 1, kind)]
        if method == "append":  # the release, because the log cannot be read either
            script.append(("log", 1, "lost"))
        store = FaultyStore(MemoryStore(database), script=script)
        async with Engine(store, graphs=[LOOPED], clock=clock) as engine:
            status = await work(engine, database)
        assert len(store.faults) == len(script)
        return status

    assert run_virtually(main("claim", "late")) == "done"
    assert run_virtually(main("claim", "timeout")) == "done"
    assert run_virtually(main("append", "timeout")) == "done"


def test_a_run_that_was_created_though_the_store_said_no_is_taken_up() -> None:
    async def main() -> str:
        clock = VirtualClock()
        database = MemoryDatabase(clock=clock)
        store = FaultyStore(MemoryStore(database), script=[("create", 1, "late")])
        async with Engine(store, graphs=[LOOPED], clock=clock) as engine:
            with pytest.raises(StoreError, match="whether it was stored is not known"):
                await engine.start(LOOPED, Sheet(), key="k")
            return await work(engine, database)

    assert run_virtually(main()) == "done"
