from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import alembic.command
import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from orchestra_graph.errors import StoreBusy
from orchestra_graph.store import migrate
from orchestra_graph.store.base import Append, CachedRow, LogRow, Snapshot
from orchestra_graph.store.locks import FileLock
from orchestra_graph.store.migrate import APPLICATION_ID, bring_up_to_date, known_revisions, migrations_folder
from orchestra_graph.store.sqlite import SqliteStore
from orchestra_graph.store.tables import metadata


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def test_the_migrations_make_the_tables_of_the_code(path: Path) -> None:
    bring_up_to_date(path, "sqlite:///runs.db")
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert connection.exec_driver_sql("PRAGMA application_id").scalar() == APPLICATION_ID
        assert context.get_current_revision() == known_revisions()[-1]
    engine.dispose()


def first_release(path: Path) -> None:
    """The database of a release that knew the first revision only, with a run that waits for an answer."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(migrations_folder()))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0001")
        for statement in _FIRST_RELEASE:
            connection.exec_driver_sql(statement)
    engine.dispose()


_FIRST_RELEASE = (
    "INSERT INTO graphs VALUES ('f', '{}')",
    "INSERT INTO runs VALUES (7, 'old', 'g', '1', 'f', 'waiting', 1.5, 2.5, 3, NULL, '', 1)",
    "INSERT INTO events VALUES (1, 7, 0, 'RunStarted', 1.5, '{}'), (2, 7, 1, 'NodeFinished', 2.5, '{\"id\":\"a\"}')",
    "INSERT INTO snapshots VALUES (7, 1, 'S')",
    "INSERT INTO questions VALUES (1, 7, 'q', 'Well?', NULL, '{}', '{}', 'open', 2.5, NULL, NULL, NULL)",
)


@pytest.mark.asyncio
async def test_a_database_of_the_first_release_goes_on_with_all_that_is_in_it(path: Path) -> None:
    first_release(path)
    async with SqliteStore(f"sqlite:///{path}") as store:
        [found] = await store.runs(key="ol", graph="g", since=1.5, until=2.0)
        assert (found.number, found.key, found.status, found.epoch) == (7, "old", "waiting", 3)
        assert [r.kind for r in await store.log(7)] == ["RunStarted", "NodeFinished"]
        assert await store.snapshot(7) == Snapshot(1, "S")
        assert (await store.answer(7, "q", "1", 9.0)).answer == "1"
        assert (await store.claim(7)).epoch == 4
        more = Append(
            run=7,
            epoch=4,
            rows=[LogRow(2, "NodeFinished", 3.0, "{}")],
            blobs={"h": "large"},
            cached=[CachedRow("c", "x")],
        )
        await store.append(more)
        assert await store.blobs(["h"]) == {"h": "large"}
        assert await store.cached("c", 0.0) == "x"


def test_the_way_back_is_the_way_there(path: Path) -> None:
    first_release(path)
    before = schema_of(path)
    bring_up_to_date(path, "sqlite:///runs.db")
    assert schema_of(path) != before
    config = alembic.config.Config()
    config.set_main_option("script_location", str(migrations_folder()))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "0001")
    engine.dispose()
    assert schema_of(path) == before


def schema_of(path: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return sorted(database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


def test_a_revision_is_the_number_that_its_file_begins_with() -> None:
    files = sorted((migrations_folder() / "versions").glob("*.py"))
    found = [re.findall(r'^revision = "(\d{4})"$', file.read_text(), re.MULTILINE) for file in files]
    assert [revision for [revision] in found] == known_revisions()
    assert [file.name[:5] for file in files] == [f"{revision}_" for revision in known_revisions()]


def test_a_file_that_is_empty_becomes_ours(path: Path) -> None:
    path.touch()
    bring_up_to_date(path, "sqlite:///runs.db")
    before = path.read_bytes()
    bring_up_to_date(path, "sqlite:///runs.db")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["runs.db"]


def test_a_file_that_looks_broken_for_a_moment_is_looked_at_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be another process's, in the middle of being made."""
    bring_up_to_date(path, "sqlite:///runs.db")
    real = migrate._read_only
    looks: list[Path] = []

    def first_broken(path: Path) -> sqlite3.Connection:
        looks.append(path)
        if len(looks) == 1:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return real(path)

    monkeypatch.setattr(migrate, "_read_only", first_broken)
    bring_up_to_date(path, "sqlite:///runs.db")
    assert len(looks) == 2


def test_another_process_that_never_ends_its_migration_is_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_PATIENCE", 0.02)
    lock = FileLock.take(path.with_name("runs.db-migrate.lock"), timeout=0)
    assert lock is not None
    with pytest.raises(StoreBusy, match="bringing it up to date"):
        bring_up_to_date(path, "sqlite:///runs.db")
    lock.drop()
    bring_up_to_date(path, "sqlite:///runs.db")


def imported_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def test_what_is_slow_to_import_is_imported_when_it_is_needed(path: Path) -> None:
    heavy = {"sqlalchemy", "alembic", "aiosqlite"}
    assert not imported_after("from orchestra_graph.store import open_store; open_store()") & heavy
    bring_up_to_date(path, "sqlite:///runs.db")
    use = f"""
import asyncio
from orchestra_graph.store import open_store
async def main():
    async with open_store("sqlite:///{path}") as store:
        await store.runs()
asyncio.run(main())
"""
    assert imported_after(use) & heavy == {"sqlalchemy", "aiosqlite"}
