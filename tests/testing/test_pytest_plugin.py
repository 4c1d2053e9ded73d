"""The plugin for pytest, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What a pytest inside of this one imports for the first time is forgotten with it; of some classes there would be two.
import orchestra_graph.cli.check
import orchestra_graph.testing.simulation  # noqa: F401
from tests.cli.graphs import DESK, ENDINGS, WRONG

pytest_plugins = ["pytester"]

PLUGIN = ("-p", "orchestra_graph.testing.pytest_plugin", "-p", "no:cacheprovider")

DOUBTFUL = """
from orchestra_graph import Graph, State, node


class Note(State):
    text: str = ""


@node(writes="text")
def first() -> str:
    return "a"


@node(writes="text")
def second() -> str:
    return "b"


doubtful = Graph(Note, name="doubtful")
doubtful.start(first)
doubtful.chain(first, second)
"""
"""What the first node writes is lost."""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name in ("ORCHESTRA_TARGET", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # what is installed here shall take no part
    pytester.makepyfile(desk=DESK, endings=ENDINGS, wrong=WRONG, doubtful=DOUBTFUL)
    pytester.makepyfile(test_other="def test_other(): pass")
    return pytester


def run(project: pytest.Pytester, *words: str) -> pytest.RunResult:
    return project.runpytest_inprocess(*PLUGIN, *words)


def test_nothing_is_collected_unless_it_is_asked_for(project: pytest.Pytester) -> None:
    run(project).assert_outcomes(passed=1)


def test_every_graph_of_a_target_is_a_test(project: pytest.Pytester) -> None:
    result = run(project, "-v", "--orchestra-target", "endings.py", "--orchestra-target", "desk.py:desk")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["orchestra::endings.py:done PASSED*", "orchestra::desk.py:desk PASSED*"])


def test_a_graph_with_problems_fails_with_the_words_of_check(project: pytest.Pytester) -> None:
    result = run(project, "--orchestra-target", "wrong.py")
    result.assert_outcomes(passed=1, failed=1)
    checked = subprocess.run(
        [sys.executable, "-m", "orchestra_graph", "check", "wrong.py"],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    assert any(line.startswith("wrong.py:") for line in checked)
    assert "\n".join(checked) in result.stdout.str()
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_warning_fails_unless_it_is_allowed(project: pytest.Pytester) -> None:
    failed = run(project, "--orchestra-target", "doubtful.py")
    failed.assert_outcomes(passed=1, failed=1)
    line = next(line for line in failed.outlines if ": warning[" in line)
    code = line.partition("warning[")[2].partition("]")[0]
    run(project, "--orchestra-target", "doubtful.py", "--orchestra-allow", code).assert_outcomes(passed=2)
    run(project, "--orchestra-target", "doubtful.py", "--orchestra-allow", "all").assert_outcomes(passed=2)
    run(project, "--orchestra-target", "doubtful.py", "--orchestra-allow", "other").assert_outcomes(passed=1, failed=1)
    run(project, "--orchestra-target", "wrong.py", "--orchestra-allow", "all").assert_outcomes(passed=1, failed=1)


def test_the_setting_asks_for_it_where_pytest_is_not_told_what_to_run(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\norchestra_targets = desk endings.py:done doubtful.py\norchestra_allow = all")
    run(project).assert_outcomes(passed=4)
    run(project, "test_other.py").assert_outcomes(passed=1)
    run(project, "test_other.py", "--orchestra").assert_outcomes(passed=4)
    chosen = run(project, "-k", "desk")
    chosen.assert_outcomes(passed=1, deselected=3)


def test_the_flag_alone_asks_for_the_targets_of_the_project(project: pytest.Pytester) -> None:
    none = run(project, "--orchestra")
    assert none.ret == pytest.ExitCode.USAGE_ERROR
    none.stderr.fnmatch_lines(["*no graph was named. Say which:   pytest --orchestra-target path/file.py:graph"])
    project.makepyprojecttoml('[tool.orchestra]\ntargets = ["desk.py:desk"]')
    run(project, "--orchestra").assert_outcomes(passed=2)


def test_a_target_that_cannot_be_imported_fails_with_its_place(project: pytest.Pytester) -> None:
    project.makepyfile(broken="\n1 / 0\n")
    result = run(project, "--orchestra-target", "broken.py", "--orchestra-target", "nowhere.py")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["broken.py:1: error?target?: broken.py cannot be imported: ZeroDivisionError*"])
    result.stdout.fnmatch_lines(["*there is no file nowhere.py*"])


def test_who_does_not_ask_for_it_pays_nothing(project: pytest.Pytester) -> None:
    heavy = "{'pydantic', 'click', 'networkx', 'sqlalchemy'}"
    project.makepyfile(test_light=f"import sys\ndef test_light(): assert not {heavy} & set(sys.modules)\n")
    project.runpytest_subprocess(*PLUGIN, "test_light.py").assert_outcomes(passed=1)


def test_the_package_names_it_to_pytest() -> None:
    from importlib.metadata import entry_points

    found = [point.value for point in entry_points(group="pytest11") if point.name == "orchestra"]
    assert found in (["orchestra_graph.testing.pytest_plugin"], [])  # [] where it was installed before


# -- fixtures ---------------------------------------------------------------------------------------------

FIXTURES = """
import asyncio

import pytest

from orchestra_graph import Engine, Graph, State, node
from orchestra_graph.testing.simulation import Job

runs = []


class Note(State):
    text: str = ""


@node(writes="text")
async def write() -> str:
    await asyncio.sleep(60)
    return "written"


@node(writes="text")
def count() -> str:
    runs.append(1)
    return str(len(runs))


graph = Graph(Note, name="note")
graph.start(write)
bad = Graph(Note, name="bad")
bad.start(count)


@pytest.mark.virtual_time
async def test_a_minute(virtual_clock):
    began = virtual_clock.now()
    async with Engine(graphs=[graph], clock=virtual_clock) as engine:
        run = await engine.start(graph, Note())
        assert (await run.result()).text == "written"
    assert virtual_clock.now() == began + 60


def test_crashes(crash_everywhere):
    assert crash_everywhere(graph, Note()).points > 5


def test_a_crash_that_is_seen(crash_everywhere):
    with pytest.raises(AssertionError, match="'bad', killed"):
        crash_everywhere(bad, Note(), setup=runs.clear, only="before 2")


def test_a_fleet(simulate):
    assert simulate(Job(graph=graph, input=Note()), seed=1).outcomes == {"run-0": "done"}


def test_a_store(orchestra_store):
    print(f"kind: {orchestra_store.url.partition(':')[0]}")
"""


def test_fixtures_are_there_for_whoever_names_them(project: pytest.Pytester) -> None:
    project.makepyfile(test_fixtures=FIXTURES)
    result = run(project, "-s", "test_fixtures.py")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["*kind: memory*", "*kind: sqlite*"])


def test_the_kinds_of_stores_are_the_projects_to_choose(project: pytest.Pytester) -> None:
    project.makepyfile(test_fixtures=FIXTURES)
    run(project, "-o", "orchestra_stores=sqlite", "-k", "test_a_store", "test_fixtures.py").assert_outcomes(
        passed=1, deselected=4
    )
    wrong = run(project, "-o", "orchestra_stores=sqlite paper", "test_fixtures.py")
    wrong.stdout.fnmatch_lines(["*orchestra_stores: no such store: paper. There are memory, sqlite, postgres*"])
