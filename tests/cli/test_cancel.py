"""`orchestra cancel`."""

from __future__ import annotations

from tests.cli.conftest import Shell


def test_a_waiting_run_is_cancelled_without_its_code_and_asks_nothing_any_more(shell: Shell) -> None:
    shell("run", "endings.py:asking", "--key", "r1")
    result = shell("cancel", "r1")
    assert (result.exit_code, result.stdout) == (0, "r1 was cancelled: orchestra show r1\n")
    assert shell.document("questions", "r1")["questions"] == []
    assert "⊘ cancelled" in shell("show", "r1").stdout
    late = shell("answer", "r1", "who", "anna")
    assert late.exit_code == 1
    assert "who" in late.stderr


def test_the_document_is_that_of_a_run_that_rests(shell: Shell) -> None:
    shell("run", "endings.py:failing", "--key", "r1")
    document = shell.document("cancel", "r1")
    assert (document["run"], document["status"], document["questions"]) == ("r1", "cancelled", [])
    assert document["next"] == ["orchestra show r1"]


def test_what_has_ended_cannot_be_cancelled(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    result = shell("cancel", "r1")
    assert (result.exit_code, result.stderr) == (1, "Error: run 'r1' is done: it cannot be cancelled\n")


def test_a_run_that_another_process_drives_is_ended_there(shell: Shell) -> None:
    process = shell.hanging("--key", "r1")
    result = shell("cancel", "r1")
    assert (result.exit_code, result.stdout) == (0, "r1 was cancelled: orchestra show r1\n")
    stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (6, "r1 was cancelled: orchestra show r1 --target hanging.py\n")


def test_a_run_whose_process_was_killed_is_ended_from_here(shell: Shell) -> None:
    process = shell.hanging("--key", "r1")
    process.kill()
    process.communicate()
    gone = shell("cancel", "r1")
    assert (gone.exit_code, shell.document("show", "r1")["run"]["status"]) == (0, "cancelled")
