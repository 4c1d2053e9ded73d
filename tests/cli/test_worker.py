"""`orchestra worker`. What it does to runs is in `tests/runtime/test_worker.py` and `tests/kill/test_fleet.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.cli.conftest import Shell, forget


def test_it_drives_what_was_let_go_and_says_so_in_lines(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    shell("answer", "r1", '{"granted": true}')
    result = shell("worker", "desk.py", "--until-idle")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in result.stdout.splitlines()]
    assert lines == ["r1 (desk) taken", "r1 (desk) done"]
    assert shell.document("show", "r1", "--target", "desk.py")["state"]["reply"] == "granted"


def test_with_json_each_line_is_an_object(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    shell("answer", "r1", '{"granted": false}')
    result = shell("worker", "desk.py", "--until-idle", "--json")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["run"], one["graph"], one["what"], one["status"], one["why"]) for one in found] == [
        ("r1", "desk", "taken", None, None),
        ("r1", "desk", "rests", "done", None),
    ]


def test_it_drives_every_graph_of_its_targets(shell: Shell) -> None:
    shell("run", "endings.py:asking", "--key", "r1")
    shell("answer", "r1", "who", "anna")
    shell("answer", "r1", "how_large", "3")
    shell("run", "desk.py", "--input", "text=a", "--key", "r2")
    shell("answer", "r2", '{"granted": true}')
    result = shell("worker", "endings.py", "desk.py", "--until-idle")
    assert result.exit_code == 0, result.output
    statuses = {run["key"]: run["status"] for run in shell.document("runs")["runs"]}
    assert statuses == {"r1": "done", "r2": "done"}


def test_the_targets_may_be_configured(shell: Shell) -> None:
    shell.write("pyproject.toml", '[tool.orchestra]\ntargets = ["desk.py"]\n')
    assert shell("worker", "--until-idle").exit_code == 0


def test_without_a_target_it_says_what_is_missing(shell: Shell) -> None:
    result = shell("worker", "--until-idle")
    assert result.exit_code == 2
    assert "no graph was named" in result.stderr


def test_two_graphs_of_one_name_are_refused(shell: Shell) -> None:
    shell.write("other.py", (shell.folder / "desk.py").read_text(encoding="utf-8"))
    result = shell("worker", "desk.py", "other.py", "--until-idle")
    assert result.exit_code == 1
    assert "two graphs are named 'desk', in desk.py and in other.py" in result.stderr


def test_resources_of_several_modules_are_put_together(shell: Shell) -> None:
    for name in ("one", "two"):
        shell.write(f"{name}.py", _WITH_RESOURCE.replace("NAME", name))
        shell("run", f"{name}.py", "--key", name)
        shell("answer", name, "ok", "true")
    result = shell("worker", "one.py", "two.py", "--until-idle")
    assert result.exit_code == 0, result.output
    for name in ("one", "two"):
        assert shell.document("show", name, "--target", f"{name}.py")["state"]["said"] == f"by {name}"
    shell.write("named.py", _WITH_RESOURCE.replace("NAME", "named").replace("[Speaker()]", '{"speaker": Speaker()}'))
    mixed = shell("worker", "one.py", "named.py", "--until-idle")
    assert mixed.exit_code == 1
    assert "give all of them names" in mixed.stderr


def test_a_run_of_other_code_is_left_alone_and_said(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    shell("answer", "r1", '{"granted": true}')
    text = (shell.folder / "desk.py").read_text(encoding="utf-8")
    shell.write("desk.py", text.replace("approve", "agree"))
    forget("desk")
    result = shell("worker", "desk.py", "--until-idle")
    assert result.exit_code == 0
    assert "r1 (desk) is left alone: run 'r1' cannot go on" in result.stdout
    assert shell.document("show", "r1")["run"]["status"] == "waiting"


def test_a_database_that_is_not_there_yet_is_made(shell: Shell) -> None:
    assert shell("worker", "desk.py", "--until-idle").exit_code == 0
    assert Path("orchestra.db").exists()


_WITH_RESOURCE = """
from typing import Annotated

from orchestra_graph import Graph, Question, Resource, State, ask, later, node


class Speaker:
    def speak(self) -> str:
        return "by NAME"


class Said(State):
    ok: bool = later()
    said: str = ""


@ask(writes="ok")
def ok() -> Question[bool]:
    return Question("Well?")


@node(writes="said")
def say(speaker: Annotated[Speaker, Resource]) -> str:
    return speaker.speak()


NAME = Graph(Said, name="NAME")
NAME.chain(ok, say)
NAME.start(ok)
resources = [Speaker()]
"""
