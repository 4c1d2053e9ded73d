"""`orchestra check`."""

from __future__ import annotations

from tests.cli.conftest import Shell
from tests.cli.graphs import WRONG


def test_problems_are_told_as_a_compiler_tells_them(shell: Shell) -> None:
    shell.write("wrong.py", WRONG)
    result = shell("check", "wrong.py:wrong")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("wrong.py:9: error[unknown-parameter]: node 'classify': parameter 'txt' is no field")
    assert lines[1].startswith("    ")
    assert any(line.startswith("wrong.py:14: error[") for line in lines)
    assert lines[-1] == "wrong: 2 errors"
    assert result.stderr == ""


def test_a_graph_without_problems_is_named(shell: Shell) -> None:
    result = shell("check", "desk.py")
    assert (result.exit_code, result.stdout) == (0, "desk: 3 nodes, no problems\n")


def test_of_a_file_every_graph_is_checked(shell: Shell) -> None:
    result = shell("check", "endings.py", "desk.py:desk")
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == [
        "done",
        "failing",
        "looping",
        "asking",
        "desk",
    ]


def test_warnings_are_told_and_are_no_failure(shell: Shell) -> None:
    shell.write(
        "doubtful.py",
        """
from typing import Literal
from orchestra_graph import END, Graph, State, node

class S(State):
    kind: Literal["a", "b"] = "a"

@node(writes="kind")
def sort() -> Literal["a"]: return "a"

@node
def never() -> None: ...

doubtful = Graph(S, name="doubtful")
doubtful.start(sort)
doubtful.switch(sort, "kind", {"a": END, "b": never})
""",
    )
    result = shell("check", "doubtful.py")
    assert result.exit_code == 0
    assert ": warning[" in result.stdout
    assert result.stdout.endswith("doubtful: 2 nodes, 1 warning\n")


def test_a_target_that_cannot_be_imported_is_a_problem_among_others(shell: Shell) -> None:
    shell.write("broken.py", "import nothing_like_this\n")
    result = shell("check", "broken.py", "desk.py")
    assert result.exit_code == 1
    first, verdict, other = result.stdout.splitlines()
    assert first.startswith("broken.py:1: error[target]: broken.py cannot be imported: ModuleNotFoundError")
    assert (verdict, other) == ("broken.py: 1 error", "desk: 3 nodes, no problems")


def test_a_module_that_compiles_its_graphs_by_itself_is_checked_all_the_same(shell: Shell) -> None:
    shell.write("wrong.py", WRONG + "\nwrong.compile()\n")
    result = shell("check", "wrong.py")
    assert result.exit_code == 1
    assert result.stdout.startswith("wrong.py:9: error[unknown-parameter]")
    assert "2 problems:" in shell("run", "wrong.py", "--input", "text=a").stderr


def test_the_document_has_every_problem(shell: Shell) -> None:
    shell.write("wrong.py", WRONG)
    document = shell.document("check", "wrong.py", "desk.py", code=1)
    assert (document["errors"], document["warnings"]) == (2, 0)
    wrong, desk = document["graphs"]
    assert desk == {"target": "desk.py", "graph": "desk", "version": "1", "nodes": 3, "problems": []}
    assert set(wrong["problems"][0]) == {"severity", "code", "what", "mend", "file", "line"}
    assert [(problem["file"], problem["line"]) for problem in wrong["problems"]] == [("wrong.py", 9), ("wrong.py", 14)]


def test_without_a_target_the_configured_ones_are_checked(shell: Shell) -> None:
    assert shell("check").exit_code == 2
    shell.write("pyproject.toml", '[tool.orchestra]\ntargets = ["desk.py"]')
    assert shell("check").stdout == "desk: 3 nodes, no problems\n"
