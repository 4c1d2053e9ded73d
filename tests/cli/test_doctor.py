"""`orchestra doctor`."""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
from importlib import metadata
from typing import Any

import pytest

from tests.cli.conftest import Shell
from tests.cli.graphs import WRONG


def findings(shell: Shell, *words: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """What the doctor found, by area."""
    document = shell.document("doctor", *words, code=code)
    assert document["well"] == (code == 0)
    assert document["problems"] == sum(found["level"] == "problem" for found in document["findings"])
    areas: dict[str, list[dict[str, Any]]] = {}
    for found in document["findings"]:
        areas.setdefault(found["area"], []).append(found)
    return areas


def test_all_is_well_in_an_empty_folder_and_nothing_is_made(shell: Shell) -> None:
    result = shell("doctor")
    assert result.exit_code == 0
    assert result.stdout.endswith("all is well\n")
    assert "sqlite:///orchestra.db (the default): not there yet" in result.stdout
    assert "a run goes on only with the code of its graph" in result.stdout
    assert not (shell.folder / "orchestra.db").exists()


def test_a_database_in_use_is_sound(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    found = findings(shell, "--target", "desk.py")
    assert found["file"][0]["what"] == "sound, with a write-ahead log"
    assert found["schema"][0]["level"] == "ok"
    assert found["runs"][0]["what"] == "1 waiting"
    assert found["targets"] == [
        {"area": "targets", "level": "ok", "what": "desk.py (--target): graph 'desk'", "mend": []}
    ]


def test_where_the_database_was_named_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRA_DB", "env.db")
    assert "sqlite:///env.db ($ORCHESTRA_DB)" in findings(shell)["database"][0]["what"]
    assert "sqlite:///here.db (--db)" in findings(shell, "--db", "here.db")["database"][0]["what"]
    monkeypatch.delenv("ORCHESTRA_DB")
    shell.write("pyproject.toml", '[tool.orchestra]\ndatabase = "project.db"')
    assert f"({shell.folder}/pyproject.toml)" in findings(shell)["database"][0]["what"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken.db", "this file is no SQLite database"),
        ("no/such.db", "there is no directory"),
        (".", "is no file"),
    ],
)
def test_a_database_that_cannot_be_read_is_a_problem(shell: Shell, name: str, said: str) -> None:
    shell.write("broken.db", "this is no database at all\n" * 100)
    [found] = findings(shell, "--db", name, code=1)["database"]
    assert found["level"] == "problem"
    assert said in found["what"]


def test_somebody_elses_database_and_a_newer_one_are_told_apart(shell: Shell) -> None:
    with sqlite3.connect("foreign.db") as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
    assert "not one of orchestra_graph" in findings(shell, "--db", "foreign.db", code=1)["schema"][0]["what"]
    shell("run", "endings.py:done", "--key", "r1")
    with sqlite3.connect("orchestra.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    [found] = findings(shell, code=1)["schema"]
    assert "its schema is 9999, of a newer release" in found["what"]
    assert found["mend"] == ["pip install --upgrade orchestra-graph"]


def test_damage_is_found(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    with sqlite3.connect("orchestra.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA writable_schema = ON")
        database.execute("DELETE FROM sqlite_master WHERE name = 'ix_runs_status'")
    [found] = findings(shell, code=1)["file"]
    assert found["what"].startswith("damaged: ")
    assert ".recover" in found["mend"][0]


def test_a_file_without_a_write_ahead_log_is_told(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    with sqlite3.connect("orchestra.db") as database:
        database.execute("PRAGMA journal_mode = DELETE")
    [found] = findings(shell, code=1)["file"]
    assert "without a write-ahead log" in found["what"]


def test_little_room_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    usage = shutil.disk_usage(".")._replace(free=5 * 1024**2)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert "only 5 MB free" in findings(shell, code=1)["room"][0]["what"]


def test_a_run_whose_process_died_is_told_and_one_that_is_driven_is_not(shell: Shell) -> None:
    process = shell.hanging("--key", "r1")
    assert findings(shell)["runs"][0]["what"] == "1 running"
    process.kill()
    process.communicate()
    [found] = findings(shell, code=1)["runs"]
    assert "the process that drove 'r1' has died; nothing is lost" in found["what"]
    assert found["mend"] == ["orchestra resume r1"]


def test_targets_are_loaded_and_compiled(shell: Shell) -> None:
    shell.write("wrong.py", WRONG)
    shell.write("pyproject.toml", '[tool.orchestra]\ntargets = ["wrong.py:wrong", "nothing.py", "desk.py"]')
    wrong, missing, right = findings(shell, code=1)["targets"]
    assert wrong["what"].startswith(f"wrong.py:wrong ({shell.folder}/pyproject.toml): 2 problems\n")
    assert "wrong.py:" in wrong["what"].splitlines()[1]
    assert wrong["mend"] == ["orchestra check wrong.py:wrong"]
    assert (missing["level"], right["level"]) == ("problem", "ok")
    assert "there is no file nothing.py" in missing["what"]


def test_a_pyproject_that_is_no_toml_is_told_once_for_each_that_reads_it(shell: Shell) -> None:
    shell.write("pyproject.toml", "[tool.orchestra\n")
    found = findings(shell, code=1)
    assert [found[area][0]["level"] for area in ("database", "targets")] == ["problem", "problem"]


def test_packages_that_are_missing_or_old_are_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ["click>=8.1", "nowhere>=1", "pytest>=99", "anywhere>=2; extra == 'far'", "never; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda _: listed)
    found = findings(shell, code=1)
    [needed], [extra] = found["packages"], found["extras"]
    assert "nowhere is not installed; pytest is " in needed["what"]
    assert "and 99 or newer is needed" in needed["what"]
    assert (extra["level"], extra["what"]) == ("note", "far: anywhere is not installed")
    assert extra["mend"] == ["pip install 'orchestra-graph[far]'"]


def test_a_source_folder_that_is_not_installed_is_no_problem(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", unknown)
    assert findings(shell)["packages"][0]["level"] == "note"


@pytest.mark.parametrize(
    ("module", "program", "level"), [(True, None, "ok"), (False, "/bin/dot", "ok"), (False, None, "note")]
)
def test_what_draws_pictures_is_told(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, module: bool, program: str | None, level: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: module or None)
    monkeypatch.setattr(shutil, "which", lambda name: program)
    assert findings(shell)["pictures"][0]["level"] == level
