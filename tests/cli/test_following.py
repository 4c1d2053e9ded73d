"""Progress: shown on a terminal, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import pty
import re
from typing import Any, get_args

import pytest

from orchestra_graph import events as ev
from orchestra_graph.cli.following import _LINES, _MORE, lines_of
from tests.cli.conftest import Shell

OF: dict[str, Any] = {"run": "r1", "cursor": "c", "at": 10.0}
"""What every event has."""


def of(identity: str) -> dict[str, Any]:
    return {**OF, "id": identity, "node": re.split("[@#~]", identity)[0]}


def finished(identity: str, took: float = 0.5, attempt: int = 1) -> ev.NodeFinished:
    return ev.NodeFinished(**of(identity), attempt=attempt, took=took)


def failed(identity: str, retry_at: float | None, to: tuple[str, ...] = ()) -> ev.NodeFailed:
    error = ev.ErrorInfo("ConnectionError", "down")
    return ev.NodeFailed(**of(identity), error=error, attempt=1, retry_at=retry_at, to=to, took=0.1)


def test_what_happens_is_a_line_each() -> None:
    events: list[ev.RunEvent] = [
        ev.RunResumed(**OF),
        ev.NodeStarted(**of("sort")),
        finished("sort"),
        finished("find", attempt=3),
        failed("pay", retry_at=12.0),
        failed("pay", retry_at=None),
        failed("pay", retry_at=None, to=("apologise",)),
        ev.QuestionAsked(**of("ok@2"), question="ok@2", to="anna"),
        ev.NodeWithdrawn(**of("wait")),
        ev.LateResult(**of("slow"), attempt=1, outcome="returned"),
        ev.LimitReached(**OF, limit="steps", allowed=3),
        ev.Progress(**of("read"), fraction=0.4, text="page 4"),
        ev.Progress(**of("read"), fraction=None),
        ev.Emitted(**of("read"), value={"a": "\x1b[31m"}),
    ]
    assert list(lines_of(events)) == [
        "✓ sort  (500 ms)",
        "✓ find  (500 ms, 3 attempts)",
        "↻ pay  ConnectionError: down (attempt 1; again in 2.0 s)",
        "✗ pay  ConnectionError: down",
        "✗ pay  ConnectionError: down; goes on at apologise",
        "? ok@2  asks anna",
        "⊘ wait  withdrawn",
        "· slow  ended after its timeout (returned); dropped",
        "■ limit reached: steps (allowed: 3)",
        "… read  40% page 4",
        "… read",
        "· read  {'a': '\\x1b[31m'}",
    ]


def test_who_sees_nothing_else_of_a_run_is_told_what_the_run_does_too() -> None:
    events: list[ev.RunEvent] = [
        ev.RunStarted(**OF, graph="desk", version="2"),
        ev.NodeStarted(**of("sort")),
        ev.NodeStarted(**of("find"), attempt=2),
        ev.Waiting(**OF, questions=("a", "b")),
        ev.Answered(**of("a"), question="a"),
        ev.QuestionWithdrawn(**of("b"), question="b"),
        ev.RunResumed(**OF),
        ev.RunRetried(**OF),
        ev.RunCancelled(**OF),
        ev.RunEnded(**OF, status="failed", reason="pay: down"),
        ev.RunEnded(**OF, status="done"),
    ]
    assert list(lines_of(events)) == []
    assert list(lines_of(events, whole=True)) == [
        "► r1 starts: desk 2",
        "► sort",
        "► find  attempt 2",
        "? waits for a, b",
        "✓ a  was answered",
        "⊘ b  is not asked any more",
        "► goes on",
        "► is retried",
        "⊘ is cancelled",
        "✗ failed: pay: down",
        "✓ done",
    ]


def test_every_kind_of_event_has_words() -> None:
    told = {kind for kind in get_args(ev.DurableEvent | ev.LiveEvent) if kind in _LINES or kind in _MORE}
    assert told == set(get_args(ev.DurableEvent | ev.LiveEvent))


@pytest.mark.parametrize("identity", ["work@1#{}", "work#{}", "work@{}"])
def test_many_of_one_node_are_one_line(identity: str) -> None:
    events = [finished(identity.format(i), took=i / 1000) for i in range(1, 2001)]
    assert list(lines_of(events)) == ["✓ work \u00d72,000  (up to 2.0 s)"]
    assert len(list(lines_of(events[:3]))) == 3


def on_a_terminal(shell: Shell, *words: str) -> tuple[int, str, str]:
    """Run with a terminal as the standard error output.

    Gives the exit code, the standard output, and what the terminal got.
    """
    ours, theirs = pty.openpty()
    process = shell.process(*words, stderr=theirs)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # how a terminal ends when nobody holds its other side
        while more := os.read(ours, 4096):
            seen += more
    os.close(ours)
    stdout, _ = process.communicate()
    return process.returncode, stdout, seen.decode()


def test_on_a_terminal_nodes_are_shown_as_they_finish(shell: Shell) -> None:
    code, stdout, seen = on_a_terminal(shell, "run", "desk.py", "--input", "text=a", "--key", "r1")
    assert code == 3
    assert "r1 is waiting for approve" in stdout
    lines = [line.strip() for line in seen.splitlines()]
    assert re.fullmatch(r"✓ look_up  \(.+\)", lines[0])
    assert lines[1:] == ["? approve  asks anna"]
    code, stdout, seen = on_a_terminal(shell, "answer", "r1", '{"granted": true}', "--target", "desk.py")
    assert code == 0
    assert "look_up" not in seen  # that was before
    assert re.search(r"✓ draft", seen)


def test_in_a_pipe_and_beside_a_document_nothing_is_shown(shell: Shell) -> None:
    process = shell.process("run", "endings.py:done", "--key", "r1")
    stdout, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, "")
    assert stdout.startswith("r1 is done")
    code, _, seen = on_a_terminal(shell, "run", "endings.py:done", "--key", "r2", "--json")
    assert (code, seen) == (0, "")


def test_a_terminal_gets_colours_unless_its_user_wants_none(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    assert "\x1b[" not in shell("show", "r1").stdout
    ours, theirs = pty.openpty()
    shell.process("show", "r1", stdout=theirs).communicate()
    shell.process("show", "r1", stdout=theirs, env={**os.environ, "NO_COLOR": "1"}).communicate()
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):
        while more := os.read(ours, 4096):
            seen += more
    os.close(ours)
    first, second = seen.decode().split("desk 1 · r1")[1:]
    assert "\x1b[" in first
    assert "\x1b[" not in second
