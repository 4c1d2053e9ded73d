"""`orchestra runs`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Shell


@pytest.fixture
def three(shell: Shell) -> Shell:
    """Three runs: one done, one failed, one waiting."""
    for key, graph in [("r1", "done"), ("r2", "failing"), ("r3", "asking")]:
        shell("run", f"endings.py:{graph}", "--key", key)
    return shell


def test_runs_are_listed_the_newest_first(three: Shell) -> None:
    result = three("runs")
    assert result.exit_code == 0
    heading, *lines = result.stdout.splitlines()
    assert heading.split() == ["RUN", "GRAPH", "STATUS", "STARTED", "CHANGED"]
    assert [line.split()[:3] for line in lines] == [
        ["r3", "asking", "waiting"],
        ["r2", "failing", "failed"],
        ["r1", "done", "done"],
    ]


def test_runs_are_chosen_by_status_and_graph(three: Shell) -> None:
    def keys(*words: str) -> list[str]:
        return [run["key"] for run in three.document("runs", *words)["runs"]]

    assert keys("--status", "done", "--status", "failed") == ["r2", "r1"]
    assert keys("--graph", "asking") == ["r3"]
    assert keys("--graph", "asking", "--status", "done") == []


def test_where_there_are_more_the_line_that_shows_them_is_told(three: Shell) -> None:
    result = three("runs", "--limit", "2", "--db", "orchestra.db")
    assert result.stdout.splitlines()[-1] == "... and more:   orchestra runs --limit 2 --after r2 --db orchestra.db"
    first = three.document("runs", "--limit", "2")
    assert (first["more"], first["next"]) == (True, "r2")
    rest = three.document("runs", "--limit", "2", "--after", "r2")
    assert ([run["key"] for run in rest["runs"]], rest["more"], rest["next"]) == (["r1"], False, None)
    assert three.document("runs", "--limit", "3")["more"] is False


def test_the_next_page_has_the_same_filters(three: Shell) -> None:
    line = three("runs", "--status", "done", "--status", "failed", "--key", "r", "--limit", "1").stdout.splitlines()[-1]
    assert line.endswith("orchestra runs --status done --status failed --key r --limit 1 --after r2")
    again = three(*line.partition("orchestra ")[2].split())
    assert [row.split()[0] for row in again.stdout.splitlines()] == ["RUN", "r1"]


def test_an_unknown_run_begins_no_page(three: Shell) -> None:
    assert three.document("runs", "--after", "r9", code=1)["error"]["type"] == "UnknownRun"


def test_runs_are_chosen_by_key_and_time(three: Shell) -> None:
    def keys(*words: str) -> list[str]:
        return [run["key"] for run in three.document("runs", *words)["runs"]]

    assert keys("--key", "r2") == ["r2"]
    assert keys("--key", "R") == []
    assert keys("--since", "1h") == ["r3", "r2", "r1"]
    assert keys("--until", "1h") == []
    assert keys("--since", "2000-01-01", "--until", "2001-01-01T12:00+02:00") == []
    second = three.document("runs", "--key", "r2")["runs"][0]["started"]
    assert "r1" not in keys("--since", second)
    assert "r3" not in keys("--until", second)


@pytest.mark.parametrize("typed", ["soon", "12", "2026-13-01", "99999999d", ""])
def test_what_is_no_moment_is_told(three: Shell, typed: str) -> None:
    result = three("runs", "--since", typed)
    assert result.exit_code == 2
    assert f"'{typed}' is no moment; it looks like   2h   3d" in result.stderr


def test_a_run_in_the_document(three: Shell) -> None:
    run = three.document("runs")["runs"][0]
    assert set(run) == {"key", "graph", "version", "status", "started", "changed", "origin"}
    assert run["started"].endswith("+00:00")


def test_a_status_that_is_none_is_refused(three: Shell) -> None:
    assert three("runs", "--status", "finished").exit_code == 2


def test_no_runs_of_a_kind(three: Shell) -> None:
    assert three("runs", "--graph", "none").stdout == "there are no runs of that kind in sqlite:///orchestra.db\n"
