"""`orchestra db prune`, `orchestra db compact`, `orchestra db info`."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestra_graph.store.base import Append
from orchestra_graph.store.sqlite import SqliteStore
from orchestra_graph.testing.contract.common import new_run, row
from tests.cli.conftest import Shell


@pytest.fixture
def three(shell: Shell) -> Shell:
    """Three runs: one done, one failed, one waiting."""
    for key, graph in [("r1", "done"), ("r2", "failing"), ("r3", "asking")]:
        shell("run", f"endings.py:{graph}", "--key", key)
    return shell


def age(shell: Shell, *keys: str, days: float = 40) -> None:
    """Let runs be older than they are."""
    with closing(sqlite3.connect(shell.folder / "orchestra.db")) as database, database:
        for key in keys:
            database.execute("UPDATE runs SET updated_at = updated_at - ? WHERE key = ?", (days * 86400, key))


def keys(shell: Shell) -> list[str]:
    return [run["key"] for run in shell.document("runs")["runs"]]


def fill(folder: Path) -> None:
    """Another run that is done, and was large."""

    async def work() -> None:
        async with SqliteStore(f"sqlite:///{folder}/orchestra.db") as store:
            run, _ = await store.create(new_run("large", at=1.0))
            rows = [row(n, "x" * 10_000) for n in range(1, 100)]
            await store.append(Append(run=run.number, epoch=1, rows=rows, status="done", release=True))

    asyncio.run(work())


def test_old_runs_that_are_done_are_removed(three: Shell) -> None:
    age(three, "r1", "r2", "r3")
    result = three("db", "prune", "--older-than", "30d")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("removed 1 run that has been done or cancelled since before 2")
    assert lines[-1] == "to give the room back to the disk:   orchestra db compact"
    assert keys(three) == ["r3", "r2"]
    assert three.document("show", "r1", code=1)["error"]["type"] == "UnknownRun"


def test_runs_that_are_not_old_enough_stay(three: Shell) -> None:
    age(three, "r1", days=29)
    document = three.document("db", "prune", "--older-than", "30d")
    assert (document["runs"], document["rows"], document["dry_run"]) == (0, 0, False)
    assert (document["status"], document["graph"]) == (["done", "cancelled"], None)
    assert keys(three) == ["r3", "r2", "r1"]


def test_what_is_removed_can_be_chosen(three: Shell) -> None:
    age(three, "r1", "r2", "r3")
    chosen = ("--older-than", "30d", "--status", "failed", "--status", "waiting")
    assert three.document("db", "prune", *chosen, "--graph", "asking")["runs"] == 1
    assert keys(three) == ["r2", "r1"]
    assert three.document("db", "prune", *chosen)["runs"] == 1
    assert keys(three) == ["r1"]


def test_a_dry_run_removes_nothing(three: Shell) -> None:
    age(three, "r1", "r2")
    words = ("db", "prune", "--older-than", "30d", "--status", "done", "--status", "failed", "--dry-run")
    assert three(*words).stdout.startswith("would remove 2 runs that have been done or failed since before")
    document = three.document(*words)
    assert (document["runs"], document["dry_run"]) == (2, True)
    assert keys(three) == ["r3", "r2", "r1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing option '--older-than'"),
        (("--older-than", "long"), "'long' is no moment"),
        (("--older-than", "30d", "--status", "running"), "'running' is not one of"),
    ],
)
def test_what_would_remove_too_much_is_refused(three: Shell, words: tuple[str, ...], said: str) -> None:
    result = three("db", "prune", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(keys(three)) == 3


def test_where_there_is_no_database_none_is_made(shell: Shell) -> None:
    for words in (("prune", "--older-than", "1d"), ("compact",), ("info",)):
        assert shell.document("db", *words, code=1)["error"]["type"] == "NoDatabase"
    assert not (shell.folder / "orchestra.db").exists()


def test_room_is_given_back(three: Shell) -> None:
    fill(three.folder)
    three("db", "prune", "--older-than", "1d", "--status", "done")
    document = three.document("db", "compact")
    assert document["before"] - document["after"] > 900_000
    assert (three.folder / "orchestra.db").stat().st_size == document["after"]
    assert keys(three) == ["r3", "r2", "r1"]
    assert three("db", "compact").stdout.startswith("sqlite:///orchestra.db was compacted: from ")


def test_what_is_there_is_told(three: Shell) -> None:
    document = three.document("db", "info")
    assert document["runs"] == {"waiting": 1, "failed": 1, "done": 1}
    assert document["sizes"]["runs"]["rows"] == 3
    assert document["sizes"]["questions"]["rows"] == 2
    assert document["sizes"]["events"]["bytes"] > 100
    assert document["bytes"] >= (three.folder / "orchestra.db").stat().st_size
    assert document["schema"].isdigit()
    lines = three("db", "info").stdout.splitlines()
    assert lines[0].startswith(f"sqlite:///orchestra.db: schema {document['schema']}, ")
    assert [line.split("  ")[0] for line in lines[2:9]] == [
        "runs",
        "events",
        "snapshots",
        "questions",
        "messages",
        "large values",
        "cached results",
    ]
    assert lines[9] == "runs: 1 waiting, 1 failed, 1 done"
