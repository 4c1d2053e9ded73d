"""What holds for every command: options, errors, documents, help."""

from __future__ import annotations

import json

import pytest

from orchestra_graph import __version__
from orchestra_graph.cli.main import cli
from orchestra_graph.store.base import Fenced
from tests.cli.conftest import Shell

READERS = [
    ("runs",),
    ("show", "r1"),
    ("questions",),
    ("answer", "r1", "yes"),
    ("draw", "--run", "r1"),
    ("resume", "r1"),
    ("retry", "r1"),
    ("cancel", "r1"),
    ("watch", "r1"),
    ("history", "r1"),
    ("diff", "r1", "0"),
]


@pytest.mark.parametrize("words", READERS)
def test_reading_makes_no_database(shell: Shell, words: tuple[str, ...]) -> None:
    result = shell(*words)
    assert result.exit_code == 1
    assert "there is no database sqlite:///orchestra.db (the default)" in result.stderr
    assert f"{shell.folder}/orchestra.db does not exist" in result.stderr
    assert "--db FILE   or   ORCHESTRA_DB=FILE" in result.stderr
    assert not list(shell.folder.glob("orchestra.db*"))


def test_an_empty_file_is_no_database_and_stays_empty(shell: Shell) -> None:
    path = shell.write("empty.db", "")
    assert "is empty: there are no runs in it" in shell("runs", "--db", "empty.db").stderr
    assert path.stat().st_size == 0


def test_a_database_in_memory_cannot_be_read(shell: Shell) -> None:
    assert "ends with the process that used it" in shell("runs", "--db", "memory://").stderr


def test_a_file_that_is_no_database_is_told(shell: Shell) -> None:
    shell.write("broken.db", "this is no database at all\n" * 100)
    result = shell("runs", "--db", "broken.db")
    assert result.exit_code == 1
    assert "sqlite:///broken.db: this file is no SQLite database" in result.stderr
    assert "Traceback" not in result.stderr
    error = shell.document("runs", "--db", "broken.db", code=1)["error"]
    assert error["type"] == "StoreBroken"


@pytest.mark.parametrize(
    "words",
    [
        ("--db", "a.db", "--json", "runs"),
        ("runs", "--db", "a.db", "--json"),
        ("--json", "runs", "--db", "a.db"),
        ("--db", "none.db", "runs", "--db", "a.db", "--json"),
    ],
)
def test_options_may_stand_before_the_command_and_after_it(shell: Shell, words: tuple[str, ...]) -> None:
    shell("run", "endings.py:done", "--key", "r1", "--db", "a.db")
    result = shell(*words)
    assert [run["key"] for run in json.loads(result.stdout)["runs"]] == ["r1"]


def test_targets_before_the_command_and_after_it_count_together(shell: Shell) -> None:
    result = shell("--target", "desk.py", "check", "--target", "endings.py:done")
    assert result.stdout == "desk: 3 nodes, no problems\ndone: 1 node, no problems\n"


def test_the_environment_is_heard(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRA_DB", "env.db")
    monkeypatch.setenv("ORCHESTRA_TARGET", "desk.py,endings.py")
    assert shell("run", "endings.py:asking", "--key", "r1").exit_code == 3
    assert (shell.folder / "env.db").exists()
    assert "orchestra answer r1 who" in shell("show", "r1").stdout
    assert "state\n  n: 0" in shell("show", "r1").stdout
    assert "no database sqlite:///none.db (--db)" in shell("runs", "--db", "none.db").stderr


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("show", "r7", "--json"), 1, "NoDatabase"),
        (("--json", "run", "nothing.py"), 1, "BadTarget"),
        (("run", "desk.py", "--json"), 1, "BadInput"),
        (("runs", "--limit", "many", "--json"), 2, "BadParameter"),
        (("runs", "--unknown", "--json"), 2, "NoSuchOption"),
        (("--json", "runz"), 2, "NoSuchCommand"),
        (("answer", "--json"), 2, "MissingParameter"),
    ],
)
def test_an_error_is_one_document_too(shell: Shell, words: tuple[str, ...], code: int, kind: str) -> None:
    result = shell(*words)
    assert result.exit_code == code
    document = json.loads(result.stdout)
    assert set(document) == {"error"}
    assert document["error"]["type"] == kind
    assert document["error"]["message"]


def test_a_bug_is_one_line_and_with_traceback_more(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("orchestra_graph.cli.database.find_run", broken)
    shell("run", "endings.py:done", "--key", "r1")
    result = shell("questions", "r1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "Error: unexpected ZeroDivisionError: division by zero",
        "    To see where, run with --traceback:   orchestra --traceback ...",
    ]
    assert "Traceback (most recent call last)" in shell("--traceback", "questions", "r1").stderr


def test_a_run_that_was_taken_over_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fenced(*_: object) -> None:
        raise Fenced("run 1 is in epoch 3")

    shell("run", "endings.py:done", "--key", "r1")
    monkeypatch.setattr("orchestra_graph.cli.database.find_run", fenced)
    result = shell("questions", "r1")
    assert result.exit_code == 1
    assert "another process has taken the run over: run 1 is in epoch 3. Nothing was lost" in result.stderr


def test_traceback_shows_where_an_error_of_ours_comes_from_as_well(shell: Shell) -> None:
    shell.write("broken.py", "1 / 0\n")
    assert "Traceback" not in shell("run", "broken.py").stderr
    assert "Traceback" in shell("--traceback", "run", "broken.py").stderr


def test_an_unknown_command_is_told_in_a_few_lines(shell: Shell) -> None:
    result = shell("resum", "r1")
    assert result.exit_code == 2
    assert "No such command 'resum'" in result.stderr


def test_the_help_tells_the_exit_codes_and_where_things_are(shell: Shell) -> None:
    result = shell("--help")
    assert result.exit_code == 0
    for said in ("waiting for a person", "the run was cancelled", "$ORCHESTRA_DB", "$ORCHESTRA_TARGET", "resources"):
        assert said in result.stdout


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_takes_the_shared_options_and_has_help(shell: Shell, name: str) -> None:
    result = shell(name, "--help")
    assert result.exit_code == 0
    for option in ("--db URL", "--target TARGET", "--json"):
        assert option in result.stdout


def test_the_version(shell: Shell) -> None:
    assert shell("--version").stdout == f"orchestra, version {__version__}\n"
