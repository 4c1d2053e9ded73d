"""`orchestra resume`."""

from __future__ import annotations

from tests.cli.conftest import Shell, forget
from tests.cli.graphs import RENAMED


def test_a_failed_run_still_fails_and_says_how_it_could_go_on(shell: Shell) -> None:
    shell("run", "endings.py:failing", "--key", "r1")
    (shell.folder / "mended").touch()
    still = shell("resume", "r1", "--target", "endings.py")
    assert still.exit_code == 4
    assert "orchestra retry r1 --target endings.py" in still.stdout


def test_a_finished_run_gives_its_state(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    assert shell.document("resume", "r1", "--target", "endings.py")["state"]["n"] == 1


def test_a_waiting_run_still_waits(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    assert shell("resume", "r1", "--target", "desk.py").exit_code == 3


def test_the_code_must_be_named(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    nothing, other = shell("resume", "r1"), shell("resume", "r1", "--target", "desk.py")
    assert (nothing.exit_code, other.exit_code) == (1, 1)
    assert "its graph 'done', and no target was named" in nothing.stderr
    assert nothing.stderr.endswith("    orchestra resume r1 --target path/file.py:done\n")
    assert "the targets have none of that name (desk.py)" in other.stderr


def test_code_that_has_changed_is_told_by_its_changes(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    forget("desk")
    shell.write("desk.py", RENAMED)
    result = shell("resume", "r1", "--target", "desk.py")
    assert result.exit_code == 1
    assert "node 'approve' is gone" in result.stderr
    assert "node 'sign_off' is new" in result.stderr
    assert 'desk.migrate("1", nodes={"approve": "sign_off"})' in result.stderr
    assert shell.document("show", "r1")["run"]["status"] == "waiting"
