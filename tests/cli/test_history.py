"""`orchestra history` and `orchestra diff`."""

from __future__ import annotations

from tests.cli.conftest import Shell, forget
from tests.cli.graphs import RENAMED


def test_every_step_is_listed_with_what_it_wrote_and_without_code(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    result = shell("history", "r1")
    assert result.exit_code == 0
    heading, first, *rest = result.stdout.splitlines()
    assert heading.split() == ["STEP", "TIME", "WHAT", "NODE", "WRITES"]
    assert first.split()[0] == "0"
    assert first.split()[2] == "RunStarted"
    assert any(line.split()[2:] == ["NodeFinished", "look_up", "seen"] for line in rest)
    assert rest[-1].startswith("what changed between two steps:   orchestra diff r1 0 ")


def test_the_document_has_every_step(shell: Shell) -> None:
    shell("run", "endings.py:failing", "--key", "r1")
    steps = shell.document("history", "r1")["steps"]
    assert [step["step"] for step in steps] == list(range(len(steps)))
    [failed] = [step for step in steps if step["what"] == "NodeFailed"]
    assert (failed["id"], failed["node"]) == ("fail_once", "fail_once")
    assert failed["error"].startswith("ValueError: the service is")
    assert steps[-1]["status"] == "failed"
    assert "ValueError: the service is not there" in shell("history", "r1").stdout  # on one line


def test_a_difference_is_shown_field_by_field(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--input", "amount=5", "--key", "r1")
    result = shell("diff", "r1", "0", "--target", "desk.py")
    assert (result.exit_code, result.stdout) == (0, 'seen\n  - []\n  + ["A"]\n')
    shell("answer", "r1", '{"granted": true}', "--target", "desk.py")
    text = shell("diff", "r1", "0", "--target", "desk.py").stdout
    assert "approval\n  - (not written yet)\n" in text
    assert '  + {"granted": true, "note": ""}\n' in text
    assert text.endswith("reply\n  -\n  + granted\n")


def test_two_steps_may_be_compared_either_way_round(shell: Shell) -> None:
    shell("run", "endings.py:looping", "--key", "r1")
    last = shell.document("history", "r1")["steps"][-1]["step"]
    there = shell.document("diff", "r1", "0", str(last), "--target", "endings.py")
    back = shell.document("diff", "r1", str(last), "0", "--target", "endings.py")
    assert (there["from"], there["to"]) == (0, last)
    assert there["changes"] == [{"field": "n", "before": 0, "after": 3, "was_written": True, "is_written": True}]
    assert [(change["before"], change["after"]) for change in back["changes"]] == [(3, 0)]


def test_no_difference_is_told(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    result = shell("diff", "r1", "0", "0", "--target", "desk.py")
    assert (result.exit_code, result.stdout) == (0, "nothing is different after the steps 0 and 0\n")


def test_what_cannot_be_compared_is_told(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    missing = shell("diff", "r1", "99", "--target", "desk.py")
    assert missing.exit_code == 1
    assert "99" in missing.stderr
    without = shell("diff", "r1", "0", "1")
    assert without.stderr.endswith("    orchestra diff r1 0 1 --target path/file.py:desk\n")
    assert shell("diff", "r1", "x").exit_code == 2
    forget("desk")


def test_code_that_has_changed_still_reads_the_values(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    shell.write("desk.py", RENAMED)
    assert '+ ["A"]' in shell("diff", "r1", "0", "--target", "desk.py").stdout


def test_an_unknown_run_is_told(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    assert shell.document("history", "r2", code=1)["error"]["type"] == "UnknownRun"
