"""`orchestra demo`: the licence review of the examples, on the packages that are installed here, killed in the middle.

Every figure that it prints is read from where anybody could read it: the database, and the log to which each node adds
a line when it has done its work. The review runs in processes of its own, each as a user would start it; this one looks
on, kills and answers.

Rule 1. The moment of the kill is chosen by what is stored, never by a time.
Rule 2. What is promised is checked. Whatever does not hold is named, and makes the exit code 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

import orchestra_graph
from orchestra_graph.cli.errors import CommandError
from orchestra_graph.cli.report import ExitCode, Report
from orchestra_graph.cli.settings import Settings, command
from orchestra_graph.core.record import RunRecord
from orchestra_graph.errors import MissingExtra, UnknownRun
from orchestra_graph.render import Picture, picture_of, picture_of_run, save
from orchestra_graph.runtime.engine import Engine
from orchestra_graph.runtime.outcomes import OpenQuestion
from orchestra_graph.runtime.records import shape_of

__all__ = ["demo", "examples_folder"]

_KEY = "licences"
_WORK = "read_licence"
_MARK = ".orchestra-demo"  # what has it was made here, and may be removed for the next one
_ATTEMPTS = 5
_LOOK_AGAIN = 0.002
_YIELDING = 10  # the one that is to be killed leaves a busy processor to the one that must see it in time
_CAREFUL = "copyleft"


class DemoError(CommandError):
    """The demonstration cannot go on."""


@dataclass(slots=True, kw_only=True)
class Figures:
    """What was measured.

    Attributes:
        packages: How many licences there were to read.
        stored_at_kill: How many were read and stored when the process was killed.
        finished_at_kill: How many nodes were, all together.
        cut_off: Nodes that had done their work when the process was killed, but whose result was not stored.
        run_again: Of the finished ones, how many did their work a second time. Promised: 0.
        processes: How many processes worked on the run, one after the other.
        questions: How many were answered.
        answered_by: ``"you"`` or ``"the demo"``.
        seconds: How long all of it took.
    """

    packages: int = 0
    stored_at_kill: int = 0
    finished_at_kill: int = 0
    cut_off: int = 0
    run_again: int = 0
    processes: int = 0
    questions: int = 0
    answered_by: str = "the demo"
    seconds: float = 0.0


@command("demo", short_help="See a run survive kill -9.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="demo-output",
    show_default=True,
    help="Where everything goes; made anew.",
)
@click.option(
    "--keep", is_flag=True, help="Keep what an earlier demo left, and use the next free name (DIR-2, DIR-3 ...)."
)
def demo(settings: Settings, folder: Path, keep: bool) -> Report:
    """See a run survive kill -9, on real input.

    Reads the licences of all packages that are installed here, is killed in the middle, goes on in a new process
    without doing anything twice, asks about the doubtful ones, and publishes a report. Without a terminal it answers
    its own questions. The exit code is 0 only if all that was promised was seen to hold.
    """
    if settings.db or settings.targets:
        raise click.UsageError("the demo brings its own code, and keeps its run in --dir")
    began = time.monotonic()
    show = _Demonstration(_fresh(folder, keep=keep), asks=sys.stdin.isatty() and not settings.json)
    asyncio.run(show.go())
    show.figures.seconds = round(time.monotonic() - began, 2)
    show.tell_the_end()
    document = {**asdict(show.figures), "files": show.files, "next": show.next, "broken": show.broken}
    return Report(document=document, text="", code=ExitCode.ERROR if show.broken else ExitCode.DONE)


def examples_folder() -> Path:
    """The examples: inside of the package where it is installed, beside it in the source tree."""
    package = Path(orchestra_graph.__file__).parent
    places = (package / "examples", package.parent / "examples")
    for place in places:
        if (place / "licence_review.py").is_file():
            return place
    raise DemoError(f"the examples are missing; they should be in {places[0]}")


def _fresh(folder: Path, *, keep: bool) -> Path:
    """An empty folder. One that no demo has made is left alone."""
    wanted, number = folder, 1
    while keep and folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / _MARK).is_file():
            raise DemoError(f"{folder} is not empty, and no demo made it. Name another:   orchestra demo --dir demo-2")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    return folder


# -- what others can see of the run ------------------------------------------------------------------


@dataclass(slots=True)
class _Sight:
    """What the database holds at one moment."""

    record: RunRecord
    finished: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.finished = frozenset(a.id for a in self.record.activations if a.status == "done")

    @property
    def packages(self) -> int:
        return sum(a.node == _WORK for a in self.record.activations)

    @property
    def stored(self) -> int:
        return sum(a.node == _WORK and a.status == "done" for a in self.record.activations)


def _work_done(folder: Path) -> list[tuple[int, str]]:
    """The log of the nodes: which process did the work of which activation."""
    path = folder / "work.log"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [(int(process), activation) for process, activation, _ in (line.split(" ", 2) for line in lines)]


class _Demonstration:
    """The whole of it, told step by step."""

    def __init__(self, folder: Path, *, asks: bool):
        self.folder, self.asks = folder, asks
        self.database = folder / "licences.db"
        self.url = f"sqlite:///{self.database}"
        self.example = examples_folder() / "licence_review.py"
        self.figures = Figures(answered_by="you" if asks else "the demo")
        self.files: dict[str, str] = {}
        self.next: list[str] = []
        self.broken: list[str] = []
        self._at_kill: frozenset[str] = frozenset()
        self._killed = 0

    async def go(self) -> None:
        _head("The licences of all packages installed here: read, asked about, published")
        await self._be_killed()
        async with Engine(self.url) as engine:  # without any graph: it can look and answer, but run nothing
            await self._show_database(engine)
            await self._go_on(engine)
            await self._answer(engine)
            await self._check(engine)
            await self._draw(engine)

    # -- processes ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _process(self) -> Generator[subprocess.Popen[str]]:
        """The review in a process of its own: started, or gone on with. Dead afterwards."""
        line = [sys.executable, str(self.example), str(self.folder)]
        child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.figures.processes += 1
        with child:
            try:
                yield child
            finally:
                child.kill()

    def _run_on(self) -> int:
        """Let a process take the run as far as it goes; its number."""
        with self._process() as child:
            said, _ = child.communicate()
        if child.returncode:
            raise DemoError(f"the process that ran the review ended with {child.returncode}:\n{said}")
        return child.pid

    async def _be_killed(self) -> None:
        """Start the review, and kill it when a fifth of the licences are stored; should it be too quick, earlier."""
        for attempt in range(_ATTEMPTS):
            async with Engine(self.url) as engine:  # before the process starts, so that nothing of it is missed
                with self._process() as child:
                    os.setpriority(os.PRIO_PROCESS, child.pid, _YIELDING)
                    if await self._reached(engine, child, share=5 + 5 * attempt):
                        os.kill(child.pid, signal.SIGKILL)
                    said, _ = child.communicate()
                sight = await _look(engine)
            if child.returncode == -signal.SIGKILL and sight is not None and sight.stored < sight.packages:
                self._killed = child.pid
                return
            if child.returncode not in (0, -signal.SIGKILL):
                raise DemoError(f"the process that ran the review ended with {child.returncode}:\n{said}")
            _fresh(self.folder, keep=False)
            self.figures.processes = 0
        raise DemoError(f"the review ended {_ATTEMPTS} times before it could be killed in the middle")

    async def _reached(self, engine: Engine, child: subprocess.Popen[str], share: int) -> bool:
        """Look at the database until one in *share* licences is stored; whether it is, and some are not."""
        while child.poll() is None:
            sight = await _look(engine)
            if sight is not None and sight.packages and sight.stored * share >= sight.packages:
                return sight.stored < sight.packages
            await asyncio.sleep(_LOOK_AGAIN)
        return False

    # -- what happens -------------------------------------------------------------------------------

    async def _show_database(self, engine: Engine) -> None:
        sight = await _sight(engine)
        figures, done = self.figures, [activation for _, activation in _work_done(self.folder)]
        figures.packages, figures.stored_at_kill = sight.packages, sight.stored
        figures.finished_at_kill = len(sight.finished)
        figures.cut_off = len(set(done) - sight.finished)
        self._at_kill = sight.finished
        _step(1, f"Process {self._killed} read licences, 8 at a time, until it was killed with SIGKILL")
        _say(f"{sight.stored} of {sight.packages} licences are stored in {self.database}")
        _say(f"{_count(figures.cut_off, 'node')} had done the work, and not stored it yet: cut off")
        status = sight.record.status
        _say(f"the run '{_KEY}' is {status}, and no process drives it")
        self._promise(0 < sight.stored < sight.packages and status == "running", "it was killed in the middle")

    async def _go_on(self, engine: Engine) -> None:
        began = time.monotonic()
        process = self._run_on()
        took = time.monotonic() - began
        sight = await _sight(engine)
        again = [activation for worker, activation in _work_done(self.folder) if worker == process]
        figures = self.figures
        figures.run_again = len(self._at_kill & set(again))
        _step(2, f"Process {process} went on from there")
        _say(f"it read the {sight.stored - figures.stored_at_kill} licences that were not stored, in {took:.1f} s")
        _say(f"of {_count(figures.finished_at_kill, 'node')} finished before the kill, run again: {figures.run_again}")
        self._promise(sight.stored == sight.packages, "every licence was read")
        self._promise(figures.run_again == 0, "no finished node ran again after the kill")

    async def _answer(self, engine: Engine) -> None:
        """Answer until nothing is asked; each time another process goes on."""
        nobody = "" if self.asks else "; there is no terminal, so the demo answers them itself"
        _step(3, f"The questions{nobody}")
        run = await engine.get(_KEY)
        if not any(_node_of(question) == "rule" for question in await run.questions()):
            _say("no licence is in doubt here, so nobody has to rule on one")
        while questions := await run.questions():
            for question in questions:
                answer = _ANSWERS[_node_of(question)]
                await run.answer(question.id, answer(question, self.asks, self.figures.questions))
                self.figures.questions += 1
            self._run_on()

    # -- the end ------------------------------------------------------------------------------------

    async def _check(self, engine: Engine) -> None:
        """Hold the log of the nodes against the database: a line for each that finished, a second if it was cut off."""
        sight = await _sight(engine)
        shape = await shape_of(engine.store, (await engine.store.runs(limit=1))[0])
        people = {node["name"] for node in shape["nodes"] if node["kind"] == "ask"}
        worked = {a.id for a in sight.record.activations if a.status == "done" and a.node not in people}
        done = _work_done(self.folder)
        lines = Counter(activation for _, activation in done)
        cut_off = {activation for process, activation in done if process == self._killed} - self._at_kill
        wrong = sorted(a for a in worked | set(lines) if lines[a] != 1 and not (a in cut_off and lines[a] == 2))
        self._promise(sight.record.status == "done", f"the run is done (it is {sight.record.status})")
        self._promise(sight.record.steps == len(sight.finished), "no node finished twice")
        self._promise(not wrong, f"each finished node did its work once (not so: {', '.join(wrong)})")
        report, published = self.folder / "licences.md", self.folder / "published" / "licences.md"
        allowed = any(a.node == "publish" for a in sight.record.activations)
        self._promise(report.is_file(), "there is a report")
        self._promise(published.is_file() == allowed, "it is published if it was allowed, and only then")
        if published.is_file():
            self._promise(published.read_bytes() == report.read_bytes(), "what is published is the report")
        names = {"report": report, "published": published, "database": self.database, "log": self.folder / "work.log"}
        self.files |= {name: str(path) for name, path in names.items() if path.is_file()}

    async def _draw(self, engine: Engine) -> None:
        row = (await engine.store.runs(limit=1))[0]
        shape = await shape_of(engine.store, row)
        record = (await _sight(engine)).record
        pictures = {"graph": picture_of(shape, row.graph), "run": picture_of_run(shape, record)}
        try:
            self._save(pictures, "svg", "png")
        except MissingExtra as error:
            _say(str(error))
            self._save(pictures, "mmd")

    def _save(self, pictures: Mapping[str, Picture], *suffixes: str) -> None:
        for name, picture in pictures.items():
            for suffix in suffixes:
                path = self.folder / f"{name}.{suffix}"
                save(picture, path)
                self.files[path.name] = str(path)

    def _promise(self, holds: bool, what: str) -> None:
        if not holds:
            self.broken.append(what)

    def tell_the_end(self) -> None:
        """Say what is where, and what could be typed next."""
        figures = self.figures
        _step(4, f"{'Done' if not self.broken else 'NOT AS PROMISED'}, in {figures.seconds:.1f} s")
        _say(f"{figures.packages} packages, {figures.processes} processes, one of them killed")
        _say(f"{_count(figures.questions, 'question')}, answered by {figures.answered_by}")
        _say(f"finished nodes that ran again: {figures.run_again}")
        for what in self.broken:
            _say(f"does not hold: {what}")
        click.echo()
        _table((path, _WHAT.get(name, "")) for name, path in self.files.items())
        target, suffix = _target(self.example), "svg" if "run.svg" in self.files else "mmd"
        self.next = [
            shlex.join(["export", f"ORCHESTRA_DB={self.url}", f"ORCHESTRA_TARGET={target}"]),
            shlex.join(["orchestra", "show", _KEY]),
            shlex.join(["orchestra", "draw", target, "--run", _KEY, "-o", str(self.folder / f"again.{suffix}")]),
        ]
        click.echo("\nWhat to type next:\n")
        for line in self.next:
            _say(line)


def _target(example: Path) -> str:
    """How the other commands are told of the graph."""
    if example.is_relative_to(Path(orchestra_graph.__file__).parent):
        return f"orchestra_graph.examples.{example.stem}:review"
    return f"{os.path.relpath(example)}:review"


async def _look(engine: Engine) -> _Sight | None:
    """What the database holds of the run; None: nothing yet."""
    try:
        return await _sight(engine)
    except UnknownRun:
        return None


async def _sight(engine: Engine) -> _Sight:
    run = await engine.get(_KEY)
    return _Sight(await run.record())


# -- answering ---------------------------------------------------------------------------------------


def _node_of(question: OpenQuestion) -> str:
    """The node that asks; ids begin with it."""
    return re.split(r"[@~#!]", question.id)[0]


def _rule(question: OpenQuestion, asks: bool, before: int) -> dict[str, str]:
    """Rulings on doubtful packages. The demo itself rules on one first, and on the others when it is asked again."""
    doubts: dict[str, Any] = question.details
    if not asks:
        ruled = list(doubts)[: 1 if before == 0 else None]
        for package in ruled:
            _say(f"{package}: {doubts[package]}")
            _say(f"    {_CAREFUL}, to be careful")
        return dict.fromkeys(ruled, _CAREFUL)
    answers: dict[str, str] = {}
    choice = click.Choice(["permissive", _CAREFUL, "later"])
    for package, doubt in doubts.items():
        _say(f"{package}: {doubt}")
        answers[package] = click.prompt("     Is it", type=choice, default=_CAREFUL)
    return {package: ruling for package, ruling in answers.items() if ruling != "later"}


def _allow(question: OpenQuestion, asks: bool, before: int) -> bool:
    """Whether the report may be published."""
    _say(f"{question.prompt} See {question.details['report']}")
    if asks:
        return click.confirm("     Publish it?", default=True)
    _say("    yes")
    return True


_ANSWERS: dict[str, Callable[[OpenQuestion, bool, int], object]] = {"rule": _rule, "allow": _allow}


# -- telling -----------------------------------------------------------------------------------------

_WHAT = {
    "report": "the report",
    "published": "the same, published when it was allowed",
    "database": "the run: every step of it",
    "log": "what the nodes did, and in which process",
    "graph.svg": "the graph",
    "graph.mmd": "the graph",
    "run.svg": "this run",
    "run.mmd": "this run",
}


def _head(text: str) -> None:
    click.secho(text, bold=True)


def _step(number: int, text: str) -> None:
    click.secho(f"\n{number}  {text}", bold=True)


def _say(text: str) -> None:
    click.echo(f"     {text}")


def _table(rows: Iterable[tuple[str, str]]) -> None:
    listed = list(rows)
    wide = max((len(left) for left, _ in listed), default=0)
    for left, right in listed:
        _say(f"{left:<{wide}}  {right}".rstrip())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
