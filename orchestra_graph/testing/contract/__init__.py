"""What every store holds to, as tests: for those of this library, and for one of your own.

    # tests/test_my_store.py
    import pytest
    from orchestra_graph.testing.contract import Place, StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        def place(self, tmp_path) -> Place:
            return lambda: MyStore(tmp_path / "runs")

        async def kill(self, store) -> None:
            await store.let_my_lease_be_over()

Each call of what `place` gives makes a store on the same runs, which is an engine of its own: two of them may be open
at once. `kill` makes the engine of an open store dead for the others, though it gave up nothing. The tests need
``pytest-asyncio``; each is a promise of `orchestra_graph.store.base.Store`, and its name says which.

A store in an SQL database is a `TransactionsContract`, too. `Stores` and the parts are there for a store that keeps
only some of the promises.
"""

from __future__ import annotations

from orchestra_graph.testing.contract.basics import BasicsContract as BasicsContract
from orchestra_graph.testing.contract.common import Place as Place
from orchestra_graph.testing.contract.common import Stores as Stores
from orchestra_graph.testing.contract.fleets import FleetsContract as FleetsContract
from orchestra_graph.testing.contract.forms import FormsContract as FormsContract
from orchestra_graph.testing.contract.messages import MessagesContract as MessagesContract
from orchestra_graph.testing.contract.retention import RetentionContract as RetentionContract
from orchestra_graph.testing.contract.transactions import TransactionsContract as TransactionsContract

__all__ = [
    "BasicsContract",
    "FleetsContract",
    "FormsContract",
    "MessagesContract",
    "Place",
    "RetentionContract",
    "StoreContract",
    "Stores",
    "TransactionsContract",
]


class StoreContract(BasicsContract, FleetsContract, MessagesContract, FormsContract, RetentionContract):
    """All promises of a `Store`, but for those that need SQL."""
