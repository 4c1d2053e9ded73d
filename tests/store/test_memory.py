from __future__ import annotations

import pytest

from orchestra_graph.store.base import Store
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.testing.contract import Place, StoreContract


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
