from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from orchestra_graph.errors import RunOwned, StoreClosed, StoreError
from orchestra_graph.store.base import Append, Fenced, Store
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.testing.contract import Place, StoreContract
from orchestra_graph.testing.contract.common import found, new_run, row, started
from tests.runtime.virtual import LoopClock, elapsed, in_virtual_time


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def place(self) -> Place:
        database = MemoryDatabase()
        return lambda: MemoryStore(database)

    async def kill(self, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        store.pause()
        assert store.engine is not None
        store.database.expire(store.engine)


async def free_at(store: MemoryStore, run: int) -> float:
    """When a run could be claimed, in seconds since the test began; looked at each second."""
    while True:
        try:
            await store.claim(run)
        except RunOwned:
            await asyncio.sleep(1)
        else:
            return elapsed()


# -- leases ------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_store_that_is_open_keeps_its_runs() -> None:
    database = MemoryDatabase(clock=LoopClock())
    async with MemoryStore(database, lease=10) as store, MemoryStore(database, lease=10) as other:
        run = await started(store)
        await asyncio.sleep(1000)
        with pytest.raises(RunOwned, match="'k'"):
            await other.claim(run)
        await store.append(Append(run=run, epoch=1, rows=[row(1)]))


@in_virtual_time
async def test_a_store_that_crashed_is_replaced_after_its_lease() -> None:
    database = MemoryDatabase(clock=LoopClock())
    async with MemoryStore(database, lease=30) as store, MemoryStore(database, lease=30) as other:
        run = await started(store)
        await asyncio.sleep(5)
        store.crash()
        assert await other.due({"g": "1"}, now=0.0) == []
        assert 29 <= await free_at(other, run) <= 31
        assert (await found(other)).claims == 1
        with pytest.raises(StoreClosed, match="has crashed"):
            await store.append(Append(run=run, epoch=1, rows=[row(1)]))


@in_virtual_time
async def test_a_store_that_crashed_wakes_who_waits_and_is_no_more() -> None:
    database = MemoryDatabase(clock=LoopClock())
    store = await MemoryStore(database, lease=30).__aenter__()
    await started(store)
    await store.changes(0)
    waiting = asyncio.create_task(store.changes(1000))
    await asyncio.sleep(1)
    store.crash()
    store.crash()
    assert await waiting
    assert elapsed() == 1
    await store.__aexit__()
    assert [kept.row.owner is None for kept in database.runs.values()] == [False]
    for call in (store.runs(), store.find("k"), store.create(new_run("another"))):
        with pytest.raises(StoreClosed):
            await call


@in_virtual_time
async def test_a_store_that_was_stopped_for_longer_than_its_lease_finds_out_what_it_lost() -> None:
    database = MemoryDatabase(clock=LoopClock())
    async with MemoryStore(database, lease=9) as store, MemoryStore(database, lease=9) as other:
        lost: list[Collection[int]] = []
        store.lost = lost.append
        taken, kept, released = [await started(store, key) for key in ("taken", "kept", "released")]
        await store.append(Append(run=released, epoch=1, release=True))
        store.pause()
        await asyncio.sleep(10)
        await other.claim(taken)
        await other.claim(released)
        with pytest.raises(Fenced):
            await store.append(Append(run=taken, epoch=1, rows=[row(1)]))
        await store.append(Append(run=kept, epoch=1, rows=[row(1)]))  # nobody took it
        assert lost == []
        third = await started(store, "third")
        await other.claim(third)
        store.resume()
        assert lost == [[third]], "the other one it has heard of when it wrote"
        await asyncio.sleep(100)
        assert lost == [[third]]
        with pytest.raises(RunOwned):
            await other.claim(kept)


@in_virtual_time
async def test_a_pause_that_is_shorter_than_the_lease_costs_nothing() -> None:
    database = MemoryDatabase(clock=LoopClock())
    async with MemoryStore(database, lease=9) as store, MemoryStore(database, lease=9) as other:
        run = await started(store)
        store.pause()
        await asyncio.sleep(5)
        store.resume()
        await asyncio.sleep(5)
        with pytest.raises(RunOwned):
            await other.claim(run)


@in_virtual_time
async def test_the_clock_of_the_database_says_when_a_lease_is_over() -> None:
    class Fast(LoopClock):
        def now(self) -> float:
            return super().now() + 60

    database = MemoryDatabase(clock=LoopClock())
    async with (
        MemoryStore(database, lease=10, clock=LoopClock()) as store,
        MemoryStore(database, lease=10, clock=Fast()) as fast,
    ):
        run = await started(store)
        with pytest.raises(RunOwned):
            await fast.claim(run)
        await fast.append(Append(run=await started(fast, "mine"), epoch=1, status="waiting"))
        assert (await found(fast, "mine")).updated_at == Fast().now()


@pytest.mark.asyncio
async def test_a_store_of_its_own_has_no_heartbeat() -> None:
    async with MemoryStore() as store:
        await started(store)
        assert store._next_beat is None
        assert store.engine is not None
        assert store.database.engines == {store.engine: None}
        store.resume()
        assert store._next_beat is None


@pytest.mark.asyncio
async def test_what_crashed_without_a_lease_is_free_at_once() -> None:
    async with MemoryStore() as store:
        run = await started(store)
        store.crash()
        async with MemoryStore(store.database) as other:
            assert (await other.claim(run)).claims == 1


@pytest.mark.asyncio
async def test_a_store_can_be_opened_again_and_is_another_engine() -> None:
    store = MemoryStore()
    async with store:
        run = await started(store)
        first = store.engine
    assert store.engine is None
    async with store:
        assert store.engine not in (None, first)
        assert (await store.claim(run)).epoch == 2
    assert store.database.engines == {}


# -- what memory has not -----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_there_are_no_transactions_in_memory() -> None:
    async with MemoryStore() as store:
        run = await started(store)
        with pytest.raises(StoreError, match=r"have no SQL.*sqlite:///runs\.db"):
            await store.begin(run, 1)
        with pytest.raises(Fenced):
            await store.begin(run, 2)
        within: object = object()
        with pytest.raises(StoreError, match="have no SQL"):
            await store.append(Append(run=run, epoch=1, rows=[row(1)], within=within))  # type: ignore[arg-type]
        assert len(await store.log(run)) == 1
