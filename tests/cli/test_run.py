"""`orchestra run`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Shell
from tests.cli.graphs import DESK

OUTCOME = {"run", "graph", "status", "state", "questions", "error", "next"}


@pytest.mark.parametrize(
    ("graph", "code", "status"),
    [("done", 0, "done"), ("asking", 3, "waiting"), ("failing", 4, "failed"), ("looping", 5, "stopped")],
)
def test_the_exit_code_and_the_document_say_how_a_run_rests(shell: Shell, graph: str, code: int, status: str) -> None:
    document = shell.document("run", f"endings.py:{graph}", "--key", "r1", code=code)
    assert set(document) == OUTCOME
    assert (document["run"], document["graph"], document["status"]) == ("r1", graph, status)


def test_a_finished_run_prints_its_state(shell: Shell) -> None:
    result = shell("run", "endings.py:done", "--key", "r1", "--input", "n=4")
    assert result.exit_code == 0
    assert result.stdout == "r1 is done: orchestra show r1 --target endings.py:done\nn: 5\nname:\nsize: 0\n"
    assert result.stderr == ""


def test_a_waiting_run_prints_what_to_type_next(shell: Shell) -> None:
    result = shell("run", "desk.py", "--input", "text=a chair", "--key", "r1", "--db", "runs.db")
    assert result.exit_code == 3
    assert "r1 is waiting for approve: Refund 0 for a chair?" in result.stdout
    assert """    orchestra answer r1 '{"granted": true}' --target desk.py --db runs.db\n""" in result.stdout


def test_a_failed_run_prints_why_and_how_to_go_on(shell: Shell) -> None:
    result = shell("run", "endings.py:failing", "--key", "r1")
    assert result.exit_code == 4
    assert "r1 has failed: fail_once: ValueError: the service is\nnot there\n" in result.stdout
    assert "    orchestra retry r1 --target endings.py:failing      (goes on" in result.stdout
    error = shell.document("run", "endings.py:failing", code=4)["error"]
    assert error["nodes"] == [{"activation": "fail_once", "type": "ValueError", "message": "the service is\nnot there"}]


def test_the_same_key_gives_the_same_run(shell: Shell) -> None:
    words = ("run", "endings.py:done", "--key", "r1", "--input", "n=4")
    assert shell(*words).stdout == shell(*words).stdout
    other = shell("run", "endings.py:done", "--key", "r1", "--input", "n=5")
    assert other.exit_code == 1
    assert "the key 'r1' is taken: that run was started with another value of 'n'" in other.stderr
    assert other.stderr.endswith("\n    orchestra show r1\n")


def test_what_nodes_print_is_no_part_of_the_document(shell: Shell) -> None:
    assert "look_up speaks" in shell("run", "desk.py", "--input", "text=a").stdout
    result = shell("run", "desk.py", "--input", "text=a", "--json")
    assert "look_up speaks" not in result.stdout
    assert "look_up speaks" in result.stderr


def test_the_input_may_come_from_the_standard_input(shell: Shell) -> None:
    result = shell("run", "desk.py", "--input", "@-", stdin='{"text": "from a pipe"}')
    assert "from a pipe" in result.stdout


def test_the_module_gives_the_resources(shell: Shell) -> None:
    text = """
from typing import Annotated
from orchestra_graph import Graph, Resource, State, node

class S(State):
    greeting: str = ""

class Greeter:
    def greet(self) -> str: return "hello"

@node(writes="greeting")
def greet(greeter: Annotated[Greeter, Resource]) -> str: return greeter.greet()

g = Graph(S, name="greeting")
g.start(greet)
"""
    shell.write("without.py", text)
    shell.write("with_them.py", text + "\ndef resources(): return [Greeter()]\n")
    result = shell("run", "without.py")
    assert result.exit_code == 1
    assert "or, for the command line, in without.py:   resources = [...]" in result.stderr
    assert shell.document("runs")["runs"] == []
    assert shell("run", "with_them.py", "--json").exit_code == 0
    assert shell.document("run", "with_them.py")["state"] == {"greeting": "hello"}


def test_a_graph_that_is_wrong_is_told_before_anything_runs(shell: Shell) -> None:
    shell.write("wrong.py", DESK.replace("desk.start(look_up)", "desk.start(look_up)\ndesk.edge(draft, 'lookup')"))
    result = shell("run", "wrong.py", "--input", "text=a")
    assert result.exit_code == 1
    assert "'lookup'" in result.stderr
    assert "look_up" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_only_configured_target_need_not_be_named(shell: Shell) -> None:
    shell.write("pyproject.toml", '[tool.orchestra]\ndatabase = "project.db"\ntargets = ["endings.py:done"]')
    result = shell("run", "--key", "r1")
    assert result.stdout.startswith("r1 is done: orchestra show r1\n")  # nothing to add: it is configured
    assert (shell.folder / "project.db").exists()


def test_what_a_terminal_would_obey_is_not_printed(shell: Shell) -> None:
    result = shell("run", "desk.py", "--input", "text=a\x1b[2Jb", "--key", "r1")
    assert "\x1b" not in result.stdout
    assert "Refund 0 for a\ufffd[2Jb?" in result.stdout


def test_a_run_in_memory_leaves_no_file(shell: Shell) -> None:
    assert shell("run", "endings.py:done", "--db", "memory://").exit_code == 0
    assert not list(shell.folder.glob("*.db*"))
