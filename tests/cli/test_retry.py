"""`orchestra retry`."""

from __future__ import annotations

from tests.cli.conftest import Shell


def test_a_failed_run_goes_on_from_where_it_failed(shell: Shell) -> None:
    failed = shell("run", "endings.py:failing", "--key", "r1")
    assert failed.exit_code == 4
    assert "    orchestra retry r1 --target endings.py:failing      (goes on from the failed node)" in failed.stdout
    assert shell("retry", "r1", "--target", "endings.py").exit_code == 4  # it fails again
    (shell.folder / "mended").touch()
    again = shell.document("retry", "r1", "--target", "endings.py")
    assert (again["status"], again["state"]["n"]) == ("done", 7)


def test_a_stopped_run_goes_on_with_the_same_allowance_once_more(shell: Shell) -> None:
    assert shell.document("run", "endings.py:looping", "--key", "r1", code=5)["state"]["n"] == 3
    result = shell.document("retry", "r1", "--target", "endings.py", code=5)
    assert result["state"]["n"] == 6
    assert result["error"]["allowed"] == 3


def test_a_finished_run_cannot_be_retried(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    result = shell("retry", "r1", "--target", "endings.py")
    assert (result.exit_code, result.stderr) == (1, "Error: run 'r1' is done: it cannot be retried\n")
    assert shell.document("retry", "r1", "--target", "endings.py", code=1)["error"]["type"] == "RunEnded"


def test_the_code_must_be_named(shell: Shell) -> None:
    shell("run", "endings.py:failing", "--key", "r1")
    result = shell("retry", "r1")
    assert result.exit_code == 1
    assert result.stderr.endswith("    orchestra retry r1 --target path/file.py:failing\n")
