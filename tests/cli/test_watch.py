"""`orchestra watch`: in the process of the test what rests, in a process of its own what goes on."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.conftest import Shell


def test_a_run_that_rests_is_told_from_its_start(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    result = shell("watch", "r1")
    assert result.exit_code == 3
    lines = [line.split("  ", 1)[1] for line in result.stdout.splitlines()]
    assert lines[0] == "► r1 starts: desk 1"
    assert any(line.startswith("✓ look_up  (") for line in lines)
    assert lines[-2:] == ["? approve  asks anna", "? waits for approve"]


@pytest.mark.parametrize(
    ("target", "code", "last"),
    [
        ("done", 0, "✓ done"),
        ("failing", 4, "✗ failed: fail_once: ValueError"),
        ("looping", 5, "■ stopped: limit on steps"),
    ],
)
def test_the_exit_code_says_how_it_rests(shell: Shell, target: str, code: int, last: str) -> None:
    shell("run", f"endings.py:{target}", "--key", "r1")
    result = shell("watch", "r1")
    assert result.exit_code == code
    assert result.stdout.splitlines()[-1].split("  ", 1)[1].startswith(last.split(":")[0])


def test_a_cancelled_run_ends_with_its_own_code(shell: Shell) -> None:
    shell("run", "endings.py:asking", "--key", "r1")
    shell("cancel", "r1")
    assert shell("watch", "r1").exit_code == 6


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_with_json_each_event_is_one_line(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    result = shell("watch", "r1", "--json")
    events = objects(result.stdout)
    assert (result.exit_code, events[0]["event"], events[-1]["event"]) == (3, "RunStarted", "Waiting")
    assert {"run", "cursor", "at"} <= set(events[0])
    shell("answer", "r1", '{"granted": true}', "--target", "desk.py")
    rest = objects(shell("watch", "r1", "--json", "--after", events[-1]["cursor"]).stdout)
    assert [event["event"] for event in rest][-1] == "RunEnded"
    assert not {event["cursor"] for event in rest} & {event["cursor"] for event in events}
    again = objects(shell("watch", "r1", "--json").stdout)
    assert again == [*events, *rest]  # nothing missing, nothing twice


def test_behind_the_last_event_there_is_nothing(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    last = objects(shell("watch", "r1", "--json").stdout)[-1]["cursor"]
    result = shell("watch", "r1", "--after", last)
    assert (result.exit_code, result.stdout) == (0, "")


def test_an_error_is_one_line_too(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    unknown, wrong = shell("watch", "r2", "--json"), shell("watch", "r1", "--after", "never", "--json")
    assert [objects(result.stdout)[0]["error"]["type"] for result in (unknown, wrong)] == ["UnknownRun", "WrongCursor"]
    assert len(unknown.stdout.splitlines()) == 1


@contextmanager
def watched(shell: Shell, *words: str) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
    """A run that hangs in its second node, and a process that watches it and has seen that node start."""
    run = shell.hanging("--key", "r1", preexec_fn=_hear_interrupts)
    watch = shell.process("watch", "r1", *words, preexec_fn=_hear_interrupts)
    try:
        yield run, watch
    finally:
        for process in (run, watch):
            if process.poll() is None:
                process.kill()
            process.communicate()


def _hear_interrupts() -> None:
    """Where the tests run in the background, their children would not hear Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _line_with(process: subprocess.Popen[str], said: str) -> str:
    assert process.stdout is not None
    return next(line for line in process.stdout if said in line)


def test_what_another_process_does_is_told_as_it_happens(shell: Shell) -> None:
    with watched(shell) as (run, watch):
        assert _line_with(watch, "► hang\n")  # while it hangs
        shell.write("go", "")
        rest, stderr = watch.communicate()
        assert "✓ hang" in rest
        assert rest.splitlines()[-1].endswith("✓ done")
        assert (watch.returncode, stderr) == (0, "")
        assert run.wait() == 0


def test_ctrl_c_ends_the_watching_and_not_the_run(shell: Shell) -> None:
    with watched(shell, "--json") as (run, watch):
        assert json.loads(_line_with(watch, '"node": "hang"'))["event"] == "NodeStarted"
        watch.send_signal(signal.SIGINT)
        stdout, stderr = watch.communicate()
        assert (watch.returncode, stderr) == (130, "")
        assert objects(stdout)[-1]["error"]["type"] == "Interrupted"
        shell.write("go", "")
        assert run.wait() == 0


def test_a_run_that_nobody_drives_is_said_to_be_so_and_waited_for(shell: Shell) -> None:
    with watched(shell) as (run, watch):
        _line_with(watch, "► hang\n")
        run.send_signal(signal.SIGINT)  # it lets go of the run
        run.communicate()
        watch.kill()
        watch.communicate()
        again = shell.process("watch", "r1", preexec_fn=_hear_interrupts)
        _line_with(again, "► hang\n")
        shell.write("go", "")
        assert shell("resume", "r1", "--target", "hanging.py").exit_code == 0
        rest, stderr = again.communicate()
        assert rest.splitlines()[-1].endswith("✓ done")
        assert stderr == "nothing drives it; to go on:   orchestra resume r1\n"
