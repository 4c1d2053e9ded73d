"""`orchestra draw`."""

from __future__ import annotations

import contextlib
import os
import pty

import pytest

from orchestra_graph import render
from orchestra_graph.errors import MissingExtra
from tests.cli.conftest import Shell, forget


def test_a_graph_is_printed_as_mermaid(shell: Shell) -> None:
    result = shell("draw", "desk.py")
    assert result.exit_code == 0
    assert "flowchart" in result.stdout
    assert "look_up" in result.stdout


@pytest.mark.parametrize("name", ["x.mmd", "x.md", "x.dot"])
def test_a_picture_is_written_as_its_name_says(shell: Shell, name: str) -> None:
    result = shell("draw", "desk.py", "-o", name)
    assert result.stdout == f"drawn: {name}\n"
    assert "look_up" in (shell.folder / name).read_text()


def test_a_run_is_drawn_without_its_code(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    (shell.folder / "desk.py").unlink()
    forget("desk")
    printed = shell("draw", "--run", "r1")
    assert printed.exit_code == 0
    assert "waiting for anna" in printed.stdout
    assert shell("draw", "--run", "r1", "-o", "r1.dot").exit_code == 0
    assert "waiting" in (shell.folder / "r1.dot").read_text()


def test_where_graphviz_is_missing_mermaid_is_written_beside(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    real = render.save

    def save(picture: render.Picture, path: object) -> None:
        if str(path).endswith(".svg"):
            raise MissingExtra("drawing SVG", "diagrams")
        real(picture, str(path))

    monkeypatch.setattr(render, "save", save)
    result = shell("draw", "desk.py", "-o", "desk.svg")
    assert result.exit_code == 1
    assert "pip install 'orchestra-graph[diagrams]'" in result.stderr
    assert "The picture is in desk.mmd, as Mermaid." in result.stderr
    assert "flowchart" in (shell.folder / "desk.mmd").read_text()
    error = shell.document("draw", "desk.py", "-o", "desk.svg", code=1)["error"]
    assert (error["type"], error["written"]) == ("NotDrawn", "desk.mmd")


def test_an_unknown_format_is_refused_before_anything_is_done(shell: Shell) -> None:
    result = shell("draw", "nothing.py", "-o", "x.pdf")
    assert result.exit_code == 2
    assert "'x.pdf' names no format; a file ends in .mmd, .md, .dot, .svg, .png" in result.stderr


def test_a_file_that_cannot_be_written_is_told(shell: Shell) -> None:
    result = shell("draw", "desk.py", "-o", "no/x.dot")
    assert (result.exit_code, result.stderr) == (1, "Error: no/x.dot cannot be written: No such file or directory\n")


def test_the_documents(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    graph = shell.document("draw", "desk.py")
    assert "flowchart" in graph.pop("mermaid")
    assert "→ approve" in graph.pop("text")
    assert graph == {"graph": "desk", "run": None, "file": None}
    run = shell.document("draw", "--run", "r1", "-o", "r1.mmd")
    assert run == {"graph": "desk", "run": "r1", "file": "r1.mmd", "mermaid": None, "text": None}


def test_a_graph_must_be_named(shell: Shell) -> None:
    nothing, several = shell("draw"), shell("draw", "--target", "desk.py", "--target", "endings.py:done")
    assert (nothing.exit_code, several.exit_code) == (2, 2)
    assert "no graph was named: give a TARGET" in nothing.stderr
    assert "Give one of them as the TARGET:\n    desk.py\n    endings.py:done" in several.stderr


def test_the_format_may_be_said(shell: Shell) -> None:
    assert (
        "  approve  asks a person · writes approval\n    → draft\n"
        in shell("draw", "desk.py", "--format", "text").stdout
    )
    assert shell("draw", "desk.py", "--format", "dot").stdout.startswith("digraph picture {")
    assert shell("draw", "desk.py", "--format", "mermaid").stdout == shell("draw", "desk.py").stdout
    assert shell("draw", "desk.py", "--format", "png").exit_code == 2


def test_on_a_terminal_lines_of_text_are_printed(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    ours, theirs = pty.openpty()
    process = shell.process("draw", "--run", "r1", stdout=theirs, env={**os.environ, "NO_COLOR": "1"})
    assert process.communicate()[1] == ""
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):
        while more := os.read(ours, 4096):
            seen += more
    os.close(ours)
    lines = [line.strip() for line in seen.decode().splitlines()]
    assert any(line.startswith("✓ look_up") for line in lines)
    assert "→ approve" in lines
    assert "→ draft" not in lines  # that way was not taken yet
