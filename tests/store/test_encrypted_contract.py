"""A store with keys keeps every promise of the store inside of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestra_graph.store.base import Append, CachedRow, Store
from orchestra_graph.store.encrypted import EncryptedStore
from orchestra_graph.store.keys import Keys
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.store.sqlite import SqliteStore, _Open
from orchestra_graph.testing.contract import Place, StoreContract
from orchestra_graph.testing.contract.common import row, started

KEYS = Keys({"2026": b"k" * 32}, use="2026", strict=True)


class _Larger:
    """Sizes are of what is kept, which is larger than what was given."""

    @pytest.mark.asyncio
    async def test_cached_results_whose_time_is_over_go(self, store: Store) -> None:
        run = await started(store)
        rows = [CachedRow("a", "1", 110.0), CachedRow("b", "2", 120.0), CachedRow("c", "3")]
        await store.append(Append(run=run, epoch=1, cached=rows))
        assert await store.tidy(now=110.0) == 1
        assert (await store.sizes())["cached"].rows == 2
        assert [await store.cached(key, 110.0) for key in "abc"] == [None, "2", "3"]

    @pytest.mark.asyncio
    async def test_sizes_are_of_every_kind(self, store: Store) -> None:
        run = await started(store)
        before = await store.sizes()
        change = Append(run=run, epoch=1, rows=[row(1, "x" * 3000)], blobs={"h": "y" * 300})
        await store.append(change)
        after = await store.sizes()
        grown = {kind: (after[kind].bytes or 0) - (before[kind].bytes or 0) for kind in ("events", "blobs")}
        assert 4000 <= grown["events"] <= 4200, "a third more, for base64"
        assert 400 <= grown["blobs"] <= 500


class TestEncryptedMemoryStore(_Larger, StoreContract):
    @pytest.fixture
    def place(self) -> Place:
        database = MemoryDatabase()
        return lambda: EncryptedStore(MemoryStore(database), KEYS)

    async def kill(self, store: Store) -> None:
        assert isinstance(store, EncryptedStore)
        inner = store.inner
        assert isinstance(inner, MemoryStore)
        inner.pause()
        assert inner.engine is not None
        inner.database.expire(inner.engine)


class TestEncryptedSqliteStore(_Larger, StoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda: EncryptedStore(SqliteStore(f"sqlite:///{tmp_path}/runs.db"), KEYS)

    async def kill(self, store: Store) -> None:
        assert isinstance(store, EncryptedStore)
        assert isinstance(store.inner, SqliteStore)
        opened = store.inner._now()
        assert isinstance(opened, _Open)
        opened.identity.abandon()
