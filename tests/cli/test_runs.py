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
    assert result.stdout.splitlines()[-1] == "... and more:   orchestra runs --limit 20 --db orchestra.db"
    assert three.document("runs", "--limit", "2")["more"] is True
    assert three.document("runs", "--limit", "3")["more"] is False


def test_a_run_in_the_document(three: Shell) -> None:
    run = three.document("runs")["runs"][0]
    assert set(run) == {"key", "graph", "version", "status", "started", "changed"}
    assert run["started"].endswith("+00:00")


def test_a_status_that_is_none_is_refused(three: Shell) -> None:
    assert three("runs", "--status", "finished").exit_code == 2


def test_no_runs_of_a_kind(three: Shell) -> None:
    assert three("runs", "--graph", "none").stdout == "there are no runs of that kind in sqlite:///orchestra.db\n"
