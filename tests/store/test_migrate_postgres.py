"""The schema on PostgreSQL: made by `orchestra db upgrade`, and refused where it is not that of this release."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from orchestra_graph.errors import StoreBroken, StoreError, StoreNewer, StoreOlder
from orchestra_graph.store.migrate import known_revisions
from orchestra_graph.store.pg_migrate import revision_of, upgrade
from orchestra_graph.store.postgres import PostgresStore
from orchestra_graph.store.schema import schema_of, upgrade_schema
from orchestra_graph.store.tables import metadata
from orchestra_graph.testing.contract.common import bodies, started
from orchestra_graph.testing.postgres import Database, throwaway_postgres

NOW = known_revisions()[-1]


@pytest.fixture
def empty() -> Iterator[Database]:
    with throwaway_postgres(upgraded=False) as database:
        yield database


@pytest.fixture(scope="module")
def upgraded() -> Iterator[Database]:
    with throwaway_postgres() as database:
        yield database


def tables(database: Database) -> list[str]:
    return [
        name for (name,) in database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    ]


async def refusal(database: Database) -> StoreError:
    """The error of opening a database that must not be touched."""
    before = tables(database)
    with pytest.raises(StoreError) as caught:
        async with PostgresStore(database.url):
            pass
    assert tables(database) == before
    return caught.value


def test_the_migrations_make_the_tables_of_the_code(upgraded: Database) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(upgraded.url))
    with engine.connect() as connection:
        options = {"compare_type": True, "version_table": "orchestra_version"}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == NOW
    engine.dispose()


@pytest.mark.asyncio
async def test_an_empty_database_is_upgraded_by_the_command_alone(empty: Database) -> None:
    error = await refusal(empty)
    assert type(error) is StoreOlder
    assert "Make them:   orchestra db upgrade --db URL" in str(error)
    assert schema_of(empty.url).state == "missing"
    assert upgrade_schema(empty.url).found is None
    assert schema_of(empty.url).state == "ok"
    assert upgrade(empty.url) == (NOW, NOW)  # a second time nothing happens
    async with PostgresStore(empty.url) as store:
        await started(store)


@pytest.mark.asyncio
async def test_an_older_schema_is_refused_and_can_be_upgraded(empty: Database) -> None:
    upgrade(empty.url)
    empty.execute("DROP TABLE inbox, attempts")
    empty.execute("ALTER TABLE engines DROP COLUMN lease_until")
    for column in ("claims", "pinned", "news", "due_at", "origin"):
        empty.execute(f"ALTER TABLE runs DROP COLUMN {column}")
    empty.execute("UPDATE orchestra_version SET version_num = '0002'")
    error = await refusal(empty)
    assert type(error) is StoreOlder
    assert "it is 0002, and this release needs" in str(error)
    assert schema_of(empty.url).state == "older"
    assert upgrade(empty.url) == ("0002", NOW)
    async with PostgresStore(empty.url) as store:
        run = await started(store)
        assert await bodies(store, run) == []


@pytest.mark.asyncio
async def test_a_newer_schema_is_left_alone(empty: Database) -> None:
    upgrade(empty.url)
    empty.execute("UPDATE orchestra_version SET version_num = '9999'")
    error = await refusal(empty)
    assert type(error) is StoreNewer
    assert "pip install --upgrade orchestra-graph" in str(error)
    with pytest.raises(StoreNewer):
        upgrade(empty.url)


@pytest.mark.asyncio
async def test_a_schema_of_somebody_else_is_left_alone(empty: Database) -> None:
    empty.execute("CREATE TABLE customers (name TEXT)")
    empty.execute("CREATE TABLE alembic_version (version_num TEXT)")
    error = await refusal(empty)
    assert type(error) is StoreBroken
    assert "its tables: alembic_version, customers" in str(error)
    with pytest.raises(StoreBroken, match="CREATE SCHEMA orchestra"):
        upgrade(empty.url)
    assert tables(empty) == ["alembic_version", "customers"]


def test_a_schema_that_is_not_there_is_named(empty: Database) -> None:
    with pytest.raises(StoreError, match="CREATE SCHEMA"):
        upgrade(f"{empty.url}?options=-csearch_path%3Dnowhere")


def test_a_database_that_is_not_there_is_said(empty: Database) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        upgrade(empty.server.url("nowhere"))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_url_may_be_spelled_in_three_ways(upgraded: Database, scheme: str) -> None:
    assert revision_of(upgraded.url.replace("postgresql", scheme, 1)) == NOW


_UPGRADE = "import sys; from orchestra_graph.store.pg_migrate import upgrade; print(upgrade(sys.argv[1])[0])"
_HALF = """
import sys, time
from orchestra_graph.store import pg_migrate
whole = pg_migrate.run_migrations
def half(connection):
    whole(connection)
    print("in the middle", flush=True)
    time.sleep(600)
pg_migrate.run_migrations = half
pg_migrate.upgrade(sys.argv[1])
"""


def _process(code: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)


@pytest.mark.kill
def test_ten_processes_at_once_and_one_that_is_killed_in_the_middle(empty: Database) -> None:
    def line(process: subprocess.Popen[Any]) -> str:
        assert process.stdout is not None
        return str(process.stdout.readline()).strip()

    killed = _process(_HALF, empty.url)
    assert line(killed) == "in the middle"
    others = [_process(_UPGRADE, empty.url) for _ in range(10)]
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    while empty.execute(waiting) == [(0,)]:
        assert all(other.poll() is None for other in others)
    assert tables(empty) == []
    killed.kill()
    killed.communicate()
    said = [other.communicate(timeout=100)[0].strip() for other in others]
    assert sorted(said) == [NOW] * 9 + ["None"]  # one made the tables, nine found them
    assert revision_of(empty.url) == NOW
