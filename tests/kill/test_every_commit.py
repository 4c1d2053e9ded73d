"""A real process is killed with SIGKILL right before, and right after, every commit of a run.

Whatever the moment, a new process goes on and comes to the state of an undisturbed run, and no node runs again whose
end was in the log. Every node leaves a line in a file, and the lines are compared.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestra_graph import Done, Engine, Waiting
from tests.kill.flow import Work, flow
from tests.kill.worker import Moment, drive

pytestmark = [pytest.mark.kill, pytest.mark.timeout(240)]

# Forked from a server that has imported everything: a fresh process each time, at a tenth of the cost of a new one.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.kill.worker", "orchestra_graph.runtime.engine", "alembic.command", "networkx"])

EVERYTHING = Counter(
    ["sort", "left", "right", "further", "refine@0", "refine@1", "refine@2", "split~2"]
    + [f"make#{i}(~2)" for i in range(5)]
    + ["agree", "ship", "close"]
)


@dataclass(frozen=True)
class Place:
    """One run and its files."""

    home: Path

    def process(self, commit: int = 0, moment: Moment = "after") -> int:
        """Drive the run in a process of its own, and return its exit code."""
        process = PROCESSES.Process(target=drive, args=(str(self.home), commit, moment))
        process.start()
        process.join(60)
        assert process.exitcode is not None, "the process hangs"
        return process.exitcode

    def until_it_rests(self) -> str:
        assert self.process() == 0
        return (self.home / "rested").read_text()

    def commits(self) -> int:
        return int((self.home / "commits").read_text())

    def effects(self) -> list[str]:
        path = self.home / "effects"
        return path.read_text().split() if path.exists() else []

    def finished(self) -> set[str]:
        """The activations whose end is in the log."""
        path = self.home / "run.db"
        if not path.exists():
            return set()
        connection = sqlite3.connect(path)
        try:
            rows = connection.execute("SELECT body FROM events WHERE kind = 'NodeFinished'").fetchall()
        except sqlite3.OperationalError:
            rows = []  # killed before the first commit
        connection.close()
        return {json.loads(body)["id"] for (body,) in rows}

    def answer(self) -> None:
        """Answer what is asked, from this process, which owns nothing."""

        async def main() -> None:
            async with Engine(f"sqlite:///{self.home / 'run.db'}", graphs=[flow]) as engine:
                run = await engine.get("killed", flow)
                for question in await run.questions():
                    happened = {"happened": "ship" in self.effects()}
                    await run.answer(question.id, True if question.node == "agree" else happened)

        asyncio.run(main())

    def to_the_end(self) -> Work:
        """Go on, in new processes, until the run is done."""
        for _ in range(4):
            if self.until_it_rests() == "Done":
                break
            self.answer()

        async def main() -> Work:
            async with Engine(f"sqlite:///{self.home / 'run.db'}", graphs=[flow]) as engine:
                outcome = await (await engine.get("killed", flow)).wait()
                assert isinstance(outcome, Done), outcome
                return outcome.state

        return asyncio.run(main())


def _place(folder: Path, name: str) -> Place:
    (folder / name).mkdir()
    return Place(folder / name)


def _shown(state: Work) -> dict[str, object]:
    return state.model_dump(exclude={"effects"})


def _check(place: Place, before: Sequence[str], finished: set[str], expected: dict[str, object]) -> int:
    """Compare with the undisturbed run; how many nodes had to be done again because their end was not stored."""
    assert _shown(place.to_the_end()) == expected
    again = place.effects()[len(before) :]
    assert not finished & set(again), "a node ran again though its end was in the log"
    lines = Counter(place.effects())
    assert set(lines) == set(EVERYTHING), "every node ran"
    twice = {identity for identity, times in lines.items() if times > 1}
    assert twice <= set(before) - finished, "only what was cut off ran twice"
    assert all(times <= 2 for times in lines.values())
    assert lines["ship"] == 1, "an irreversible node is never repeated"
    return len(twice)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], int, int]:
    """The state without a kill, and the commits of the process before the answer and of the one after."""
    place = _place(tmp_path_factory.mktemp("undisturbed"), "run")
    assert place.until_it_rests() == Waiting.__name__
    first = place.commits()
    place.answer()
    assert place.until_it_rests() == Done.__name__
    second = place.commits()
    state = _shown(place.to_the_end())
    assert Counter(place.effects()) == EVERYTHING
    return state, first, second


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_commit_before_the_question(
    tmp_path: Path, undisturbed: tuple[dict[str, object], int, int], moment: Moment
) -> None:
    expected, commits, _ = undisturbed
    repeated = 0
    for commit in range(1, commits + 1):
        place = _place(tmp_path, str(commit))
        assert place.process(commit, moment) == -signal.SIGKILL
        repeated += _check(place, place.effects(), place.finished(), expected)
    print(f"killed {moment} each of {commits} commits before the question; cut off and done again: {repeated} nodes")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_commit_after_the_answer(
    tmp_path: Path, undisturbed: tuple[dict[str, object], int, int], moment: Moment
) -> None:
    expected, _, commits = undisturbed
    repeated = 0
    for commit in range(2, commits + 1):  # the first is the look for the start key: it writes nothing
        place = _place(tmp_path, str(commit))
        assert place.until_it_rests() == Waiting.__name__
        place.answer()
        assert place.process(commit, moment) == -signal.SIGKILL
        repeated += _check(place, place.effects(), place.finished(), expected)
    print(f"killed {moment} each of {commits - 1} commits after the answer; cut off and done again: {repeated} nodes")
