"""`orchestra show`."""

from __future__ import annotations

import asyncio

from orchestra_graph import Engine
from tests.cli.conftest import Shell, forget
from tests.cli.graphs import RENAMED


def test_a_run_is_shown_with_what_it_asks_and_without_code(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    result = shell("show", "r1")
    assert result.exit_code == 0
    assert "✓ look_up" in result.stdout
    assert "? approve" in result.stdout
    assert "waiting for anna" in result.stdout
    assert "○ draft" in result.stdout
    assert "approve asks anna: Refund 0 for a?" in result.stdout
    assert "amount: 0" in result.stdout
    assert """orchestra answer r1 approve '{"granted": true}'\n""" in result.stdout
    assert "it needs the code of the graph:   --target path/file.py:desk" in result.stdout


def test_with_the_code_the_state_is_shown(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    result = shell("show", "r1", "--target", "desk.py")
    assert 'state\n  text: a\n  amount: 0\n  seen: ["A"]\n  reply:\n' in result.stdout
    assert "not shown" not in result.stdout


def test_the_document_has_the_same_keys_with_code_and_without(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    without, with_it = shell.document("show", "r1"), shell.document("show", "r1", "--target", "desk.py")
    assert set(without) == set(with_it) == {"run", "activations", "why", "questions", "state", "state_hidden"}
    assert without["state"] is None
    assert with_it["state"] == {"text": "a", "amount": 0, "seen": ["A"], "reply": ""}
    assert [(a["id"], a["status"]) for a in without["activations"]] == [("look_up", "done"), ("approve", "waiting")]
    assert without["run"]["steps"] == 1
    assert [why["kind"] for why in without["why"]] == ["PersonWaits"]
    [question] = without["questions"]
    assert question["example"] == {"granted": True}
    assert question["to"] == "anna"
    assert question["schema"]["required"] == ["granted"]


def test_code_that_has_changed_hides_the_state_and_nothing_else(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    forget("desk")
    shell.write("desk.py", RENAMED)
    result = shell("show", "r1", "--target", "desk.py")
    assert result.exit_code == 0
    assert "✓ look_up" in result.stdout
    assert "node 'approve' is gone" in result.stdout


def test_code_that_is_broken_hides_the_state_and_nothing_else(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    shell.write("broken.py", "1 / 0\n")
    document = shell.document("show", "r1", "--target", "broken.py")
    assert document["state"] is None
    assert "ZeroDivisionError" in document["state_hidden"]


def test_a_failed_run_shows_the_error_and_the_way_on(shell: Shell) -> None:
    shell("run", "endings.py:failing", "--key", "r1")
    result = shell("show", "r1")
    assert "fail_once: ValueError: the service is" in result.stdout
    assert result.stdout.endswith("to go on from there:\n    orchestra retry r1\n")


def test_a_cancelled_run_is_shown_and_ends_with_its_own_code(shell: Shell) -> None:
    async def cancel() -> None:
        from orchestra_graph.cli.config import Named
        from orchestra_graph.cli.targets import one_graph

        graph = one_graph(Named("endings.py:asking", "", shell.folder)).graph
        async with Engine("sqlite:///orchestra.db", graphs=[graph]) as engine:
            await (await engine.get("r1")).cancel()

    shell("run", "endings.py:asking", "--key", "r1")
    asyncio.run(cancel())
    assert "cancelled" in shell("show", "r1").stdout
    result = shell("resume", "r1", "--target", "endings.py")
    assert (result.exit_code, result.stdout) == (
        6,
        "r1 was cancelled: orchestra show r1 --target endings.py\n",
    )


def test_an_unknown_run_is_told_with_the_nearest(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "ticket-42", "--db", "runs.db")
    result = shell("show", "tickt-42", "--db", "runs.db")
    assert result.exit_code == 1
    assert "there is no run 'tickt-42' in sqlite:///runs.db. Did you mean 'ticket-42'?" in result.stderr
    assert result.stderr.endswith("orchestra runs --db runs.db\n")
