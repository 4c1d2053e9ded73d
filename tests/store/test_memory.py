from __future__ import annotations

import pytest

from orchestra_graph.store.base import Store
from orchestra_graph.store.memory import MemoryStore

from .contract import Place, StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def place(self) -> Place:
        store = MemoryStore()

        def again() -> Store:
            return store

        return again
