"""`orchestra db`: the schema part. Other commands of the group have test files of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestra_graph.store.migrate import known_revisions
from orchestra_graph.testing.postgres import Database, throwaway_postgres
from tests.cli.conftest import Shell

NOW = known_revisions()[-1]


@pytest.fixture
def empty() -> Iterator[Database]:
    with throwaway_postgres(upgraded=False) as database:
        yield database


def test_a_file_is_made_once(shell: Shell) -> None:
    missing = shell("db", "check")
    assert missing.exit_code == 1
    assert f"there are no tables yet, and this release needs schema {NOW}" in missing.stdout
    assert not (shell.folder / "orchestra.db").exists()
    assert shell.document("db", "upgrade")["changed"] is True
    assert shell.document("db", "upgrade")["changed"] is False
    assert shell.document("db", "check")["schema"] == "ok"


def test_a_newer_file_is_refused(shell: Shell) -> None:
    shell("db", "upgrade")
    with closing(sqlite3.connect(shell.folder / "orchestra.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    for name in ("check", "upgrade"):
        result = shell("db", name)
        assert result.exit_code == 1
        assert "a newer release of orchestra_graph wrote this database" in result.stderr


def test_postgresql_is_upgraded_by_the_command(shell: Shell, empty: Database) -> None:
    refused = shell("--db", empty.url, "runs")
    assert refused.exit_code == 1
    assert "orchestra db upgrade" in refused.stderr
    checked = shell.document("--db", empty.url, "db", "check", code=1)
    assert (checked["schema"], checked["found"]) == ("missing", None)
    done = shell("db", "upgrade", "--db", empty.url)
    assert done.exit_code == 0
    assert f"the tables were made: schema {NOW}" in done.stdout
    assert "orchestra:orchestra@" not in done.stdout  # the password is not shown
    assert shell.document("--db", empty.url, "db", "check")["schema"] == "ok"
    assert shell("--db", empty.url, "runs").exit_code == 0


def test_a_run_on_postgresql(shell: Shell, empty: Database) -> None:
    shell("--db", empty.url, "db", "upgrade")
    assert shell("--db", empty.url, "run", "desk.py", "--input", "text=a", "--key", "r1").exit_code == 3
    assert [run["key"] for run in shell.document("--db", empty.url, "runs")["runs"]] == ["r1"]


def test_a_database_in_memory_has_no_schema(shell: Shell) -> None:
    result = shell("--db", "memory://", "db", "check")
    assert result.exit_code == 1
    assert "it has no schema" in result.stderr
