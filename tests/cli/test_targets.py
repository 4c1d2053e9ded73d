"""From a TARGET to a graph."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType

import pytest

from orchestra_graph import Graph, State
from orchestra_graph.cli.config import Named
from orchestra_graph.cli.errors import BadTarget
from orchestra_graph.cli.targets import Loaded, every_graph, one_graph, resources_of
from tests.cli.conftest import Shell


def load(text: str) -> Loaded:
    return one_graph(Named(text, "TARGET", Path.cwd()))


@pytest.mark.parametrize("target", ["desk:desk", "desk.py:desk", "desk.py", "./desk.py:desk"])
def test_a_graph_is_named_by_module_or_by_file(shell: Shell, target: str) -> None:
    assert load(target).graph.name == "desk"


def test_a_file_and_its_module_are_the_same(shell: Shell) -> None:
    assert load("desk.py").graph is load("desk:desk").graph


def test_a_graph_may_be_named_as_its_runs_are(shell: Shell) -> None:
    shell.write(
        "review.py",
        'from desk import Ticket\nfrom orchestra_graph import Graph\ng = Graph(Ticket, name="the-review")\n',
    )
    assert load("review.py:the-review").graph.name == "the-review"


def test_of_several_graphs_one_must_be_named(shell: Shell) -> None:
    with pytest.raises(BadTarget) as caught:
        load("endings.py")
    assert "Say which:\n    endings.py:done\n    endings.py:failing" in str(caught.value)
    assert [found.graph.name for found in every_graph(Named("endings.py", "", shell.folder))] == [
        "done",
        "failing",
        "looping",
        "asking",
    ]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("endings.py:dnoe", "there is no 'dnoe' in endings.py; its graphs: 'done', 'failing'"),
        ("endings.py:dnoe", "Did you mean 'done'?"),
        ("endings:one_more", "'one_more' in endings is no Graph but of type Node"),
        ("dsk.py", "there is no file dsk.py. Did you mean 'desk.py'?"),
        ("no/where.py", "there is no file no/where.py"),
        ("nothing_here:graph", "there is no module 'nothing_here' in"),
        ("not a target", "'not a target' is no target"),
        ("pyproject.toml", "no module 'pyproject'"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(shell: Shell, target: str, said: str) -> None:
    with pytest.raises(BadTarget) as caught:
        load(target)
    assert said in str(caught.value)


def test_a_file_without_a_graph_is_no_target(shell: Shell) -> None:
    shell.write("empty.py", "x = 1\n")
    with pytest.raises(BadTarget, match=r"there is no Graph in empty\.py"):
        load("empty.py")


def test_the_neighbours_of_a_file_can_be_imported(shell: Shell) -> None:
    shell.write("sub/parts.py", "from orchestra_graph import State\nclass S(State): n: int = 0\n")
    shell.write("sub/whole.py", 'from parts import S\nfrom orchestra_graph import Graph\ng = Graph(S, name="whole")\n')
    assert load("sub/whole.py").graph.name == "whole"


def test_a_file_of_a_package_is_imported_as_a_part_of_it(shell: Shell) -> None:
    shell.write("pack/__init__.py", "")
    shell.write("pack/parts.py", "from orchestra_graph import State\nclass S(State): n: int = 0\n")
    shell.write(
        "pack/whole.py", 'from .parts import S\nfrom orchestra_graph import Graph\ng = Graph(S, name="whole")\n'
    )
    found = load("pack/whole.py:g")
    assert found.module.__name__ == "pack.whole"
    assert found.graph is load("pack.whole:g").graph


def test_a_file_named_like_a_module_of_python_is_still_that_file(shell: Shell) -> None:
    import queue

    shell.write("queue.py", shell.folder.joinpath("desk.py").read_text())
    assert load("queue.py").graph.name == "desk"
    assert sys.modules["queue"] is queue


def test_an_error_while_importing_is_told_with_the_line_to_blame(shell: Shell) -> None:
    shell.write("helper.py", "def f():\n    return undefined_name\n\nf()\n")
    shell.write("broken.py", "import helper\n")
    with pytest.raises(BadTarget) as caught:
        load("broken.py:g")
    assert "broken.py cannot be imported: NameError: name 'undefined_name' is not defined" in str(caught.value)
    assert caught.value.where == "helper.py:2"


def test_a_mistake_that_the_library_raises_at_once_blames_the_users_line(shell: Shell) -> None:
    shell.write("typo.py", "from desk import desk, draft\n\ndesk.edge(draft, draft, when='x', otherwise=True)\n")
    with pytest.raises(BadTarget) as caught:
        load("typo.py")
    assert caught.value.where == "typo.py:3"


def test_a_syntax_error_is_told_with_its_line(shell: Shell) -> None:
    shell.write("syntax.py", "\ndef x(:\n")
    with pytest.raises(BadTarget, match="SyntaxError") as caught:
        load("syntax.py:g")
    assert caught.value.where == "syntax.py:2"


def test_a_file_that_ends_the_process_does_not_end_this_one(shell: Shell) -> None:
    shell.write("script.py", "import sys\nsys.exit('usage: ...')\n")
    with pytest.raises(BadTarget, match="SystemExit: usage"):
        load("script.py")


# -- resources -------------------------------------------------------------------------------------------


def module_with(resources: object) -> Loaded:
    module = ModuleType("with_resources")
    module.__dict__["resources"] = resources
    return Loaded(Named("x", "", Path.cwd()), module, Graph(State, name="g"))


async def _later() -> list[int]:
    return [4]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([1], [1]),
        ((2,), [2]),
        ({"a": 3}, {"a": 3}),
        (lambda: {"a": 3}, {"a": 3}),
        (_later, [4]),
        (sys, []),  # `from importlib import resources` is no list of ours
    ],
)
def test_a_module_gives_its_resources(given: object, found: object) -> None:
    assert asyncio.run(resources_of(module_with(given))) == found


def test_resources_that_are_none_are_refused() -> None:
    with pytest.raises(BadTarget, match="must be a list, a mapping, or a function giving one, not int"):
        asyncio.run(resources_of(module_with(3)))
