"""`orchestra testcase`: what it writes is a test: green as it is, and red where the code goes another way."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Shell, forget
from tests.cli.graphs import DESK

CONSTRUCTS = """
import asyncio
from typing import Annotated

from orchestra_graph import Graph, Item, State, append, later, node, receive


class Boom(LookupError):
    def __init__(self, one, two):
        super().__init__(one, two)


class Sheet(State):
    items: list[int] = later()
    log: Annotated[list[str], append] = []
    heard: str = later()
    won: str = ""


@node(writes="items")
def make() -> list[int]:
    return [3, 1, 2]


@node(writes="log")
async def work(n: Item[int]) -> str:
    await asyncio.sleep(n / 50)
    return f"item {n}"


@node(writes="won")
async def fast() -> str:
    return "fast"


@node(writes="won")
async def slow() -> str:
    await asyncio.sleep(30)
    return "slow"


@node(writes="log")
async def risky() -> str:
    raise Boom("a", "b")


@node(writes="log")
async def mend() -> str:
    return "mended"


hear = receive("note", str, writes="heard", name="hear")

graph = Graph(Sheet, name="all")
graph.start(make)
graph.each(make, "items", work, collect=hear)
graph.edge(hear, [fast, slow])
graph.race(fast, slow)
graph.edge([fast, slow], risky)
graph.edge(risky, mend, on_error=Boom)
"""


def pytest_on(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_run_with_an_answer_becomes_a_test_that_is_green_and_guards_what_it_recorded(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--input", "amount=5", "--key", "ticket/1")
    shell("answer", "ticket/1", '{"granted": true}', "--target", "desk.py")
    result = shell("testcase", "ticket/1", "-o", "test_ticket.py", "--target", "desk.py")
    assert result.exit_code == 0, result.output
    assert result.stdout == "wrote test_ticket.py; to run it:\n    pytest test_ticket.py\n"
    text = (shell.folder / "test_ticket.py").read_text()
    assert "TARGET = './desk.py:desk'" in text
    assert "def test_ticket_1() -> None:" in text
    assert "Made by:   orchestra testcase ticket/1 -o test_ticket.py" in text
    assert pytest_on(shell.folder, "test_ticket.py").returncode == 0
    # The nodes are not run, but the edges are: another way is seen.
    (shell.folder / "desk.py").write_text(DESK.replace("desk.edge(approve, draft)\n", ""))
    failed = pytest_on(shell.folder, "test_ticket.py")
    assert failed.returncode == 1
    assert "assert again.path == PATH" in failed.stdout


def is_green(shell: Shell, name: str) -> bool:
    """Whether the test in a file passes, in this process."""
    forget("endings", "all")
    [test] = [value for key, value in runpy.run_path(str(shell.folder / name)).items() if key.startswith("test_")]
    try:
        test()
    except AssertionError:
        return False
    return True


def test_live_nodes_are_run(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    for words in ((), ("--live",)):
        assert shell("testcase", "r1", "-o", "test_r1.py", "--target", "endings.py", *words).exit_code == 0
        assert is_green(shell, "test_r1.py")
        assert ("RESULTS" in (shell.folder / "test_r1.py").read_text()) is not bool(words)
    text = (shell.folder / "endings.py").read_text()
    (shell.folder / "endings.py").write_text(text.replace("return n + 1", "return n + 2"))
    assert not is_green(shell, "test_r1.py")
    assert shell("testcase", "r1", "-o", "test_r1.py", "--target", "endings.py").exit_code == 0
    assert is_green(shell, "test_r1.py")  # what it gave then


def test_a_failed_run_fails_again_without_what_made_it_fail(shell: Shell) -> None:
    shell("run", "endings.py:failing", "--key", "r1")
    (shell.folder / "mended").touch()
    assert shell("testcase", "r1", "-o", "test_r1.py", "--target", "endings.py").exit_code == 0
    text = (shell.folder / "test_r1.py").read_text()
    assert "assert again.outcome == 'failed'" in text
    assert is_green(shell, "test_r1.py")


def test_items_messages_a_race_and_an_error_are_played_again(shell: Shell) -> None:
    shell.write("flows/all.py", CONSTRUCTS)
    shell("run", "flows/all.py", "--key", "r1")
    shell("send", "r1", "note", '"hello"', "--target", "flows/all.py")
    shell("resume", "r1", "--target", "flows/all.py")
    document = shell.document("testcase", "r1", "-o", "test_r1.py", "--target", "flows/all.py")
    assert document["file"] == "test_r1.py"
    text = (shell.folder / "test_r1.py").read_text()
    assert "TARGET = 'flows/all.py:graph'" in text or "TARGET = 'flows/all.py:all'" in text
    assert "'hello'" in text
    assert is_green(shell, "test_r1.py")


def test_without_a_file_it_is_printed(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    text = shell("testcase", "r1", "--target", "endings.py").stdout
    assert text == shell.document("testcase", "r1", "--target", "endings.py")["text"]
    shell.write("test_printed.py", text)
    assert is_green(shell, "test_printed.py")


def test_a_run_that_was_cancelled_is_refused(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    shell("cancel", "r1")
    result = shell("testcase", "r1", "--target", "desk.py", "--json")
    assert result.exit_code != 0
    assert "it cannot be made a test of: it was cancelled" in json.dumps(json.loads(result.stdout))


def test_a_fork_is_refused_for_its_beginning_is_another_run(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    shell("fork", "r1", "--key", "r2", "--target", "desk.py")
    result = shell("testcase", "r2", "--target", "desk.py")
    assert result.exit_code == 1
    assert "it cannot be made a test of: it is a fork" in result.stderr


def test_a_run_that_moved_is_refused_for_it_began_with_another_form(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    text = (shell.folder / "desk.py").read_text()
    (shell.folder / "desk.py").write_text(text + "\n\n@node\ndef more() -> None: ...\n\n\ndesk.edge(approve, more)\n")
    forget("desk")
    shell("resume", "r1", "--target", "desk.py")
    result = shell("testcase", "r1", "--target", "desk.py")
    assert result.exit_code == 1
    assert "it cannot be made a test of: it went on with another form" in result.stderr
