"""What mypy --strict and pyright say of programs: nothing of correct ones, and of the others what is marked there.

A mark is a comment such as ``# checker: arg-type, reportArgumentType``: what mypy calls it, what pyright calls it. In
the mistakes, what mypy finds is marked by the comment that makes it be silent, for it says where that is not needed.
"""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
pyright = pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed")

MISTYPED = """
from orchestra_graph import (
    Engine, Graph, Item, Limits, Patch, Question, Retry, State, all_of, ask, batches, first, node, until
)


class Case(State):
    text: str
    count: int = 0


class Other(State):
    name: str


class Counted(Patch[Case]):
    count: int


@node(writes="count")
def look(text: str) -> int:
    return len(text)


@node
async def work(count: int, part: Item[str]) -> Counted:
    return Counted(count=count)


graph = Graph(Case, name="case")

Case(text=3)  # checker: arg-type, reportArgumentType
Case(txt="a")  # checker: call-arg, reportCallIssue
Case("a")  # checker: call-arg, reportCallIssue
Case(text="a").text = "b"  # checker: misc, reportAttributeAccessIssue
Case(text="a").length  # checker: attr-defined, reportAttributeAccessIssue
Counted(count="a")  # checker: arg-type, reportArgumentType
Counted(total=1)  # checker: call-arg, reportCallIssue
look(3)  # checker: arg-type, reportArgumentType
look()  # checker: call-arg, reportCallIssue
look(text="a").upper()  # checker: attr-defined, reportAttributeAccessIssue
node(writes=3)  # checker: call-overload, reportArgumentType
node(writes="count", retry=3)  # checker: call-overload, reportArgumentType
node(writes="count", effect="none")  # checker: call-overload, reportArgumentType
Retry(attempts="3")  # checker: arg-type, reportArgumentType
Retry(3)  # checker: call-arg, reportCallIssue
Limits(turns="3")  # checker: arg-type, reportArgumentType
graph.start(3)  # checker: arg-type, reportArgumentType
graph.start(len)  # checker: arg-type, reportArgumentType
graph.edge(look, 3)  # checker: call-overload, reportArgumentType
graph.edge(look, work, when=3)  # checker: call-overload, reportArgumentType
graph.edge(look, work, otherwise=False)  # checker: call-overload, reportArgumentType
graph.edge(look, work, when="text", otherwise=True)  # checker: call-overload, reportCallIssue
graph.edge(look, work, on_error="ValueError")  # checker: call-overload, reportArgumentType
graph.edge(look, work, on_error=ValueError("a"))  # checker: call-overload, reportArgumentType
graph.switch(look, 3, {1: work})  # checker: arg-type, reportArgumentType
graph.switch(look, "count", [work])  # checker: arg-type, reportArgumentType
graph.switch(look, "count", {1: len})  # checker: dict-item, reportArgumentType
graph.each(look, "text")  # checker: call-arg, reportCallIssue
graph.each(look, "text", work, collect=3)  # checker: arg-type, reportArgumentType
graph.join(look, "all_of")  # checker: arg-type, reportArgumentType
graph.join(look, all_of)  # checker: arg-type, reportArgumentType
graph.join(look, first("2"))  # checker: arg-type, reportArgumentType
graph.join(look, batches())  # checker: call-arg, reportCallIssue
graph.join(look, until(3))  # checker: arg-type, reportArgumentType
graph.race(look, 3)  # checker: arg-type, reportArgumentType
graph.limit(look, turns="3")  # checker: arg-type, reportArgumentType
graph.limit(look, tunrs=3)  # checker: call-arg, reportCallIssue
graph.limit(look, turns=3, then=len)  # checker: arg-type, reportArgumentType
graph.terminate(look, status="over")  # checker: arg-type, reportArgumentType
graph.add(look, inputs=["text"])  # checker: arg-type, reportArgumentType
graph.add(len)  # checker: arg-type, reportArgumentType
graph.run_sync(Other(name="a"))  # checker: arg-type, reportArgumentType
graph.run_sync(Case(text="a")).name  # checker: attr-defined, reportAttributeAccessIssue
Question("Really?", expires_in="a day")  # checker: arg-type, reportArgumentType


@ask(writes="count")  # checker: type-var, reportArgumentType
def how_many(text: str) -> int:
    return 3


async def main(engine: Engine) -> None:
    run = await engine.start(graph, Other(name="a"))  # checker: misc, reportArgumentType
    other = await engine.start(graph, Case(text="a"))
    (await other.result()).name  # checker: attr-defined, reportAttributeAccessIssue
"""


def check(*line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *line], cwd=ROOT, capture_output=True, text=True)


def by_pyright(folder: Path, mode: str) -> dict[str, dict[int, set[str]]]:
    """What pyright finds in a copy of some programs: by file and line, the rules."""
    config = {"typeCheckingMode": mode, "include": ["."], "extraPaths": [str(ROOT)], "enableTypeIgnoreComments": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    child = check("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(folder))
    report = json.loads(child.stdout)
    assert report["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py")))
    found: dict[str, dict[int, set[str]]] = {}
    for one in report["generalDiagnostics"]:
        rules = found.setdefault(Path(one["file"]).name, {}).setdefault(one["range"]["start"]["line"] + 1, set())
        rules.add(one["rule"])
    return found


def copied(name: str, folder: Path) -> Path:
    for file in (HERE / name).glob("*.py"):
        (folder / file.name).write_text(file.read_text())
    return folder


def marks(text: str) -> dict[int, list[str]]:
    """What is marked, by line."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.search(r"# checker: ([\w, -]+?)(?=\s*(#|$))", line)
        if mark is not None:
            found[number] = mark[1].split(", ")
    return found


def unexplained(found: Mapping[int, set[str]], marked: Mapping[int, list[str]]) -> dict[int, set[str]]:
    """What is not marked, and does not only follow from what is."""
    rest = {line: {r for r in rules if r not in marked.get(line, ())} for line, rules in found.items()}
    return {line: some for line, rules in rest.items() if (some := {r for r in rules if "Unknown" not in r})}


def test_mypy_finds_nothing_in_correct_programs_and_what_is_marked_in_mistakes() -> None:
    child = check("mypy", "--strict", "tests/graph/correct", "tests/graph/mistakes")
    assert child.stdout.startswith("Success: no issues found"), child.stdout + child.stderr


@pyright
@pytest.mark.parametrize("mode", ["strict", "standard"])
def test_pyright_finds_nothing_in_correct_programs(mode: str, tmp_path: Path) -> None:
    assert by_pyright(copied("correct", tmp_path), mode) == {}


@pyright
def test_pyright_finds_what_is_marked_in_mistakes(tmp_path: Path) -> None:
    found = by_pyright(copied("mistakes", tmp_path), "strict")

    seen = 0
    for file in tmp_path.glob("*.py"):
        marked, here = marks(file.read_text()), found.get(file.name, {})
        assert not [line for line, rules in marked.items() if not here.get(line, set()).issuperset(rules)], file.name
        assert unexplained(here, marked) == {}, file.name
        seen += len(marked)
    assert seen > 5


def test_mypy_finds_every_wrong_statement(tmp_path: Path) -> None:
    (tmp_path / "mistyped.py").write_text(MISTYPED)
    child = check("mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "mistyped.py"))

    found = re.findall(r"mistyped\.py:(\d+): error: .*\[([\w-]+)\]$", child.stdout, re.MULTILINE)
    expected = {(line, codes[0]) for line, codes in marks(MISTYPED).items()}

    assert {(int(line), code) for line, code in found} == expected


@pyright
@pytest.mark.parametrize("mode", ["strict", "standard"])
def test_pyright_finds_every_wrong_statement(mode: str, tmp_path: Path) -> None:
    (tmp_path / "mistyped.py").write_text(MISTYPED)
    found = by_pyright(tmp_path, mode)["mistyped.py"]

    marked = marks(MISTYPED)

    assert [line for line, codes in marked.items() if codes[1] not in found.get(line, set())] == []
    assert unexplained(found, marked).keys() <= marked.keys()
