"""The demonstration, once, as a real process; what it promises is read again here, by other means than its own."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from orchestra_graph import Engine, OpenQuestion
from orchestra_graph.cli.demo import _MARK, DemoError, _allow, _Demonstration, _fresh, _rule, examples_folder
from orchestra_graph.errors import MissingExtra
from orchestra_graph.render import Picture, save

pytestmark = pytest.mark.kill


@dataclass
class Shown:
    """A demonstration that has ended.

    Attributes:
        folder: Where its files are.
        document: What it says with ``--json``.
        told: What it told meanwhile.
        work: The log of the nodes: processes and activations.
    """

    folder: Path
    document: dict[str, Any]
    told: str
    work: list[tuple[int, str]]

    @property
    def killed(self) -> int:
        """The process that was killed; it was the first."""
        return self.work[0][0]

    def rows(self, query: str) -> list[Any]:
        """Ask its database."""
        with closing(sqlite3.connect(self.folder / "licences.db")) as db:
            return db.execute(query).fetchall()

    def finished(self) -> Counter[str]:
        """How often each activation finished, by the log of the run."""
        bodies = self.rows("SELECT body FROM events WHERE kind = 'NodeFinished'")
        return Counter(json.loads(body)["id"] for (body,) in bodies)


@pytest.fixture(scope="module", name="shown")
def a_demonstration(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("demo") / "output"
    line = [sys.executable, "-m", "orchestra_graph", "demo", "--json", "--dir", str(folder)]
    child = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100)
    assert child.returncode == 0, child.stderr + child.stdout
    lines = [line.split(" ") for line in (folder / "work.log").read_text().splitlines()]
    work = [(int(process), activation) for process, activation, *_ in lines]
    return Shown(folder, json.loads(child.stdout), child.stderr, work)


def test_it_was_killed_in_the_middle(shown: Shown) -> None:
    assert 0 < shown.document["stored_at_kill"] < shown.document["packages"]
    assert shown.document["packages"] == len([a for a in shown.finished() if a.startswith("read_licence")])
    assert f"Process {shown.killed} read licences" in shown.told
    assert "killed with SIGKILL" in shown.told


def test_no_finished_node_ran_twice(shown: Shown) -> None:
    assert set(shown.finished().values()) == {1}
    lines = Counter(activation for _, activation in shown.work)
    anew = {activation for activation, count in lines.items() if count > 1}
    first = [activation for process, activation in shown.work if process == shown.killed]
    assert all(lines[activation] == 2 and activation in first for activation in anew), "cut off, and done anew"
    assert shown.document["finished_at_kill"] == len(set(first) - anew)
    assert shown.document["cut_off"] == len(anew)
    assert shown.document["run_again"] == 0
    assert "run again: 0" in shown.told


def test_every_node_did_its_work_in_one_of_several_processes(shown: Shown) -> None:
    people = {a for a in shown.finished() if a.startswith(("rule", "allow"))}
    assert {activation for _, activation in shown.work} == shown.finished().keys() - people
    workers = {process for process, _ in shown.work}
    assert 1 < len(workers) <= shown.document["processes"]
    assert len(people) == shown.document["questions"] >= 1


def test_the_report_is_there_and_published(shown: Shown) -> None:
    report = (shown.folder / "licences.md").read_text("utf-8")
    assert report == (shown.folder / "published" / "licences.md").read_text("utf-8")
    assert "| pydantic |" in report
    assert shown.rows("SELECT key, status, owner FROM runs") == [("licences", "done", None)]


def test_the_files_that_it_names_are_there(shown: Shown) -> None:
    files = shown.document["files"]
    assert {"report", "published", "database", "log"} <= files.keys()
    pictures = {"graph.svg", "graph.png", "run.svg", "run.png"}
    assert pictures <= files.keys() or {"graph.mmd", "run.mmd"} <= files.keys()
    assert all(Path(path).stat().st_size for path in files.values())
    assert all(path in shown.told for path in files.values())
    assert not shown.document["broken"]


def test_what_it_says_to_type_next_can_be_typed(shown: Shown, tmp_path: Path) -> None:
    script = "\n".join(["set -e", *shown.document["next"]])
    scripted = script.replace("\norchestra ", f"\n{sys.executable} -m orchestra_graph ")
    child = subprocess.run(["bash", "-c", scripted], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert "read_licence" in child.stdout


def test_it_told_that_nobody_was_there_to_answer(shown: Shown) -> None:
    assert shown.document["answered_by"] == "the demo"
    assert "there is no terminal, so the demo answers them itself" in shown.told


# -- what it does when its promises do not hold -----------------------------------------------------------


@pytest.fixture(name="again")
def a_second_look(shown: Shown, tmp_path: Path) -> _Demonstration:
    """A demonstration that has still to be checked, over a copy of the files."""
    folder = tmp_path / "copy"
    shutil.copytree(shown.folder, folder)
    show = _Demonstration(folder, asks=False)
    show._killed = shown.killed
    lines = Counter(activation for _, activation in shown.work)
    show._at_kill = frozenset(a for process, a in shown.work if process == shown.killed and lines[a] == 1)
    return show


async def check(show: _Demonstration) -> list[str]:
    async with Engine(show.url) as engine:
        await show._check(engine)
    return show.broken


@pytest.mark.asyncio
async def test_the_same_files_pass_a_second_look(again: _Demonstration) -> None:
    assert await check(again) == []


@pytest.mark.asyncio
async def test_a_node_that_did_its_work_twice_would_be_seen(again: _Demonstration) -> None:
    with (again.folder / "work.log").open("a") as log:
        log.write("99999 list_packages listed 3 packages\n")
    assert await check(again) == ["each finished node did its work once (not so: list_packages)"]


@pytest.mark.asyncio
async def test_a_node_that_never_did_its_work_would_be_seen(again: _Demonstration) -> None:
    log = again.folder / "work.log"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(line for line in lines if " list_packages " not in line))
    assert await check(again) == ["each finished node did its work once (not so: list_packages)"]


@pytest.mark.asyncio
async def test_a_report_that_was_not_published_would_be_seen(again: _Demonstration) -> None:
    (again.folder / "published" / "licences.md").unlink()
    assert await check(again) == ["it is published if it was allowed, and only then"]


def test_a_broken_promise_is_told(again: _Demonstration, capsys: pytest.CaptureFixture[str]) -> None:
    again._promise(False, "the sky is up")
    again.tell_the_end()
    said = capsys.readouterr().out
    assert "NOT AS PROMISED" in said
    assert "does not hold: the sky is up" in said


@pytest.mark.asyncio
async def test_a_review_that_was_too_quick_is_started_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show, real, tries = _Demonstration(_fresh(tmp_path / "out", keep=False), asks=False), _Demonstration._reached, []

    async def too_late_at_first(self: _Demonstration, engine: Engine, child: Any, share: int) -> bool:
        tries.append(share)
        return len(tries) > 1 and await real(self, engine, child, share)

    monkeypatch.setattr(_Demonstration, "_reached", too_late_at_first)
    await show._be_killed()
    assert tries[:2] == [5, 10], "and is to be killed earlier"
    async with Engine(show.url) as engine:
        await show._show_database(engine)
    assert show.broken == []
    assert (show.figures.processes, show.figures.run_again) == (1, 0)


# -- its parts --------------------------------------------------------------------------------------------


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").touch()
    with pytest.raises(DemoError, match="no demo made it"):
        _fresh(tmp_path, keep=False)
    assert (tmp_path / "precious.txt").exists()


def test_what_an_earlier_demo_left_is_made_anew_or_kept(tmp_path: Path) -> None:
    folder = _fresh(tmp_path / "out", keep=False)
    (folder / "old").touch()
    assert _fresh(folder, keep=True) == tmp_path / "out-2"
    assert _fresh(folder, keep=True) == tmp_path / "out-3"
    assert _fresh(folder, keep=False) == folder
    assert [path.name for path in folder.iterdir()] == [_MARK]


def test_the_database_of_the_command_line_is_refused(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "orchestra_graph", "demo", "--db", "sqlite:///x.db"]
    child = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
    assert child.returncode == 2
    assert not list(tmp_path.iterdir())


def test_the_examples_are_found() -> None:
    assert (examples_folder() / "support_desk.py").is_file()


DOUBTS = OpenQuestion(run="licences", id="rule@0", prompt="?", details={"pip": "MIT", "regex": "?", "tqdm": "?"})


def test_on_a_terminal_the_person_rules() -> None:
    with CliRunner().isolation(input="permissive\nwhat?\nlater\n\n"):
        assert _rule(DOUBTS, True, 0) == {"pip": "permissive", "tqdm": "copyleft"}


def test_without_a_terminal_it_rules_on_one_and_then_on_all_that_are_left() -> None:
    assert _rule(DOUBTS, False, 0) == {"pip": "copyleft"}
    assert _rule(DOUBTS, False, 1) == dict.fromkeys(DOUBTS.details, "copyleft")


@pytest.mark.parametrize(("typed", "allowed"), [("\n", True), ("n\n", False)])
def test_on_a_terminal_the_person_allows(typed: str, allowed: bool) -> None:
    question = OpenQuestion(run="licences", id="allow", prompt="Publish?", details={"report": "licences.md"})
    with CliRunner().isolation(input=typed):
        assert _allow(question, True, 3) is allowed


def test_a_person_who_goes_away_ends_it() -> None:
    with CliRunner().isolation(input=""), pytest.raises(click.Abort):
        _rule(DOUBTS, True, 0)


@pytest.mark.asyncio
async def test_without_graphviz_the_pictures_are_text_and_it_says_what_to_install(
    again: _Demonstration, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def save_text(picture: Picture, path: Path) -> None:
        if path.suffix != ".mmd":
            raise MissingExtra("SVG and PNG pictures", "diagrams")
        save(picture, path)

    monkeypatch.setattr("orchestra_graph.cli.demo.save", save_text)
    async with Engine(again.url) as engine:
        await again._draw(engine)
    assert again.files.keys() == {"graph.mmd", "run.mmd"}
    assert "pip install 'orchestra-graph[diagrams]'" in capsys.readouterr().out
