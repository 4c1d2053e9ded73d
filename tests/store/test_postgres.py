"""The store on PostgreSQL: the contract that every store keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from orchestra_graph.store import pg_sql
from orchestra_graph.store.base import Store
from orchestra_graph.store.postgres import PostgresStore
from orchestra_graph.testing.contract import Place, StoreContract
from orchestra_graph.testing.postgres import Database, throwaway_postgres


@pytest.fixture(scope="module")
def module_database() -> Iterator[Database]:
    with throwaway_postgres() as database:
        yield database


@pytest.fixture
def database(module_database: Database) -> Database:
    module_database.clear()
    return module_database


async def stop_the_heart(store: PostgresStore) -> None:
    """From now on the store renews nothing and hears nothing, as a process that is stopped."""
    await store._here().pulse.stop()


def end_lease(store: PostgresStore) -> None:
    """As if its time had gone by."""
    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute(pg_sql.END_LEASE.encode(), (store._here().member.id,))


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def place(self, database: Database) -> Place:
        def again() -> Store:
            return PostgresStore(database.url)

        return again

    async def kill(self, store: Store) -> None:
        assert isinstance(store, PostgresStore)
        await stop_the_heart(store)
        await asyncio.to_thread(end_lease, store)
