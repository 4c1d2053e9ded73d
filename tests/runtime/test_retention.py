"""Removing old runs while others work."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import pytest

from orchestra_graph import Engine
from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import BadInput, UnknownRun
from orchestra_graph.runtime.retention import prunable, prune
from orchestra_graph.store.base import Append, CachedRow, Store
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.sqlite import SqliteStore
from orchestra_graph.testing.contract.common import new_run, row, started

from .common import both_stores, url_of


async def ended(store: Store, number: int, status: RunStatus = "done") -> None:
    run, _ = await store.create(new_run(f"k{number}"))
    change = Append(run=run.number, epoch=1, rows=[row(1)], blobs={f"h{number}": "x"}, status=status, release=True)
    await store.append(change)


async def keys(store: Store) -> list[str]:
    return [run.key for run in await store.runs(limit=1000)]


class Counting(MemoryStore):
    """Says how much was asked for at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.pruned: list[int] = []
        self.tidied: list[int] = []

    async def prune(
        self, *, before: float, status: Collection[RunStatus], graph: str | None = None, limit: int = 100
    ) -> list[str]:
        self.pruned.append(limit)
        return await super().prune(before=before, status=status, graph=graph, limit=limit)

    async def tidy(self, *, now: float, limit: int = 1000) -> int:
        self.tidied.append(limit)
        return await super().tidy(now=now, limit=limit)


@pytest.mark.asyncio
async def test_all_that_is_old_goes_a_few_at_a_time() -> None:
    async with Counting() as store:
        for number in range(50):
            await ended(store, number)
        pruned = await prune(store, before=1e9, now=1e9)
        assert (pruned.runs, pruned.rows) == (50, 51)  # their large values, and the form of the graph
        assert store.pruned == [20, 20, 20]
        assert store.tidied == [500]
        assert await keys(store) == []
        assert (await prune(store, before=1e9, now=1e9)).runs == 0


@pytest.mark.asyncio
async def test_what_is_removed_is_what_was_foretold() -> None:
    async with MemoryStore() as store:
        await ended(store, 1)
        await ended(store, 2, "failed")
        await ended(store, 3, "cancelled")
        await started(store, "driven")
        driven = await started(store, "done and driven")
        await store.append(Append(run=driven, epoch=1, rows=[row(1)], status="done"))
        foretold = [run.key async for run in prunable(store, before=1e9)]
        assert foretold == ["k3", "k1"]
        assert [run.key async for run in prunable(store, before=101.0)] == []
        assert [run.key async for run in prunable(store, before=1e9, status=["failed"], graph="g")] == ["k2"]
        assert [run.key async for run in prunable(store, before=1e9, status=[])] == []
        await prune(store, before=1e9, now=1e9)
        assert await keys(store) == ["done and driven", "driven", "k2"]


@pytest.mark.asyncio
async def test_cached_results_whose_time_is_over_go_too() -> None:
    async with MemoryStore() as store:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, cached=[CachedRow("a", "x", 100.0), CachedRow("b", "x", 300.0)]))
        assert (await prune(store, before=1.0, now=200.0)).rows == 1
        assert await store.cached("b", 200.0) == "x"


@pytest.mark.asyncio
async def test_runs_that_are_running_cannot_be_asked_for() -> None:
    async with MemoryStore() as store:
        with pytest.raises(BadInput, match="'running'"):
            await prune(store, before=1e9, now=1e9, status=["done", "running"])
        with pytest.raises(BadInput, match="'running'"):
            [run async for run in prunable(store, before=1e9, status=["running"])]


@pytest.mark.asyncio
async def test_others_write_while_old_runs_are_removed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with SqliteStore(url) as store, SqliteStore(url, busy_timeout=5) as other:
        await asyncio.gather(*(ended(store, number) for number in range(200)))
        run = await started(other, "busy")
        pruning = asyncio.create_task(prune(store, before=1e9, now=1e9))
        last = 0
        while not pruning.done():
            last += 1
            await other.append(Append(run=run, epoch=1, rows=[row(last)]))
        assert (await pruning).runs == 200
        assert last > 3, "it waited until all was done"
        assert len(await other.log(run)) == last + 1


@both_stores
@pytest.mark.asyncio
async def test_an_engine_removes_old_runs(tmp_path: Path, place: str) -> None:
    async with Engine(url_of(place, tmp_path)) as engine:
        await ended(engine.store, 1)
        await ended(engine.store, 2, "failed")
        assert await engine.prune(older_than=timedelta(days=30), graph="another") == 0
        assert await engine.prune(older_than=timedelta(days=30)) == 1
        with pytest.raises(UnknownRun):
            await engine.get("k1")
        assert await engine.prune(older_than=timedelta(days=30), status="failed", graph="g") == 1
        assert await engine.find() == []


@pytest.mark.asyncio
async def test_an_engine_keeps_what_is_not_old_enough() -> None:
    async with Engine() as engine:
        new = new_run("new", at=engine.clock.now())
        run, _ = await engine.store.create(new)
        await engine.store.append(Append(run=run.number, epoch=1, status="done", release=True))
        assert await engine.prune(older_than=timedelta(minutes=1)) == 0
        with pytest.raises(BadInput, match="less than nothing"):
            await engine.prune(older_than=timedelta(days=-1))
        assert await engine.prune(older_than=timedelta(0)) == 1
