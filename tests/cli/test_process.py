"""The command line as a process of its own: exit codes, signals, pipes, two at once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Shell
from tests.cli.graphs import HANGING


@pytest.fixture
def hanging(shell: Shell) -> Shell:
    """The graph `hanging` waits until there is a file `go`."""
    shell.write("hanging.py", HANGING)
    return shell


def started(shell: Shell, *words: str) -> subprocess.Popen[str]:
    """A process whose second node has begun."""
    os.mkfifo(shell.folder / "started")
    text = HANGING.replace('Path("started").touch()', 'Path("started").write_text("yes")')
    shell.write("hanging.py", text)
    process = shell.process(*words, preexec_fn=_hear_interrupts)
    (shell.folder / "started").read_text()  # returns when the node has written
    (shell.folder / "started").unlink()
    return process


def _hear_interrupts() -> None:
    """Where the tests run in the background, their children would not hear Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_lets_go_of_the_run_and_says_how_to_go_on(hanging: Shell) -> None:
    process = started(hanging, "run", "hanging.py", "--key", "r1")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.strip() == (
        "interrupted: run 'r1' was let go. What was done is stored; to go on:\n"
        "    orchestra resume r1 --target hanging.py"
    )
    assert "nothing drives it; to go on:" in hanging("show", "r1").stdout
    hanging.write("go", "")
    assert hanging.document("resume", "r1", "--target", "hanging.py")["state"] == {"n": 2}
    assert (hanging.folder / "first.log").read_text() == "ran\n"


def test_a_killed_run_goes_on_where_it_was(hanging: Shell) -> None:
    process = started(hanging, "run", "hanging.py", "--key", "r1")
    process.kill()
    process.communicate()
    assert "the process that drove it has died; to go on:\n    orchestra resume r1" in hanging("show", "r1").stdout
    hanging.write("go", "")
    assert hanging.document("resume", "r1", "--target", "hanging.py")["status"] == "done"
    assert (hanging.folder / "first.log").read_text() == "ran\n"


def test_a_run_that_another_process_drives_is_left_to_it(hanging: Shell) -> None:
    process = started(hanging, "run", "hanging.py", "--key", "r1", "--json")
    second = hanging("resume", "r1", "--target", "hanging.py")
    assert second.exit_code == 1
    assert f"run 'r1' is driven by process {process.pid} on " in second.stderr
    hanging.write("go", "")
    stdout, _ = process.communicate()
    assert (process.returncode, json.loads(stdout)["status"]) == (0, "done")


def test_an_answer_reaches_the_process_that_drives_the_run(shell: Shell) -> None:
    shell.write("both.py", HANGING + BOTH)
    os.mkfifo(shell.folder / "started")
    text = (HANGING + BOTH).replace('Path("started").touch()', 'Path("started").write_text("yes")')
    shell.write("both.py", text)
    process = shell.process("run", "both.py:both", "--key", "r1", "--json")
    (shell.folder / "started").read_text()
    assert shell("answer", "r1", "anna").exit_code == 0  # without code: the other process has it
    shell.write("go", "")
    stdout, _ = process.communicate()
    document: Any = json.loads(stdout)
    assert (process.returncode, document["state"]["name"]) == (0, "anna")


BOTH = """
from orchestra_graph import Question, ask


class Two(State):
    n: int = 0
    name: str = ""


@ask(writes="name")
def who() -> Question[str]:
    return Question("Who is it?")


both = Graph(Two, name="both")
both.start([hang, who])
"""


def test_a_reader_that_goes_away_is_no_error_to_talk_about(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    ours, theirs = os.pipe()
    os.close(ours)
    process = shell.process("runs", stdout=theirs)
    os.close(theirs)
    _, stderr = process.communicate()
    assert stderr == ""


def test_an_encoding_that_has_no_signs_gets_others(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=ä", "--key", "r1")
    narrow = {"env": {**os.environ, "PYTHONIOENCODING": "latin-1"}, "encoding": "latin-1"}
    text, _ = shell.process("show", "r1", **narrow).communicate()
    assert "? look_up" in text
    assert "Refund 0 for ä?" in text
    document, _ = shell.process("draw", "--run", "r1", "--json", **narrow).communicate()
    assert "✓" in json.loads(document)["mermaid"]


def test_the_project_is_found_from_below(shell: Shell) -> None:
    shell.write("pyproject.toml", '[tool.orchestra]\ndatabase = "runs.db"\ntargets = ["desk.py:desk"]')
    below = shell.folder / "src" / "deep"
    below.mkdir(parents=True)
    run = shell.process("run", "--input", "text=a", "--key", "r1", cwd=below)
    stdout, _ = run.communicate()
    assert run.returncode == 3
    assert re.search(r"^    orchestra answer r1 '\{\"granted\": true\}'$", stdout, re.MULTILINE)
    assert (shell.folder / "runs.db").exists()
    answer = shell.process("answer", "r1", '{"granted": true}', cwd=below)
    assert "reply: granted" in answer.communicate()[0]


def test_the_script_is_the_same(shell: Shell) -> None:
    script = Path(sys.executable).with_name("orchestra")
    if not script.exists():
        pytest.skip("the package is not installed with its scripts")
    done = subprocess.run([script, "check", "desk.py"], cwd=shell.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "desk: 3 nodes, no problems\n")
