"""A real process is killed with SIGKILL at every commit of a run, right before and right after it, and in every node.

Whatever the moment, a new process goes on and comes to the state of an undisturbed run, and no node runs again whose
end was in the log. Every node leaves a line in a file, and the lines are compared: a node has exactly one line more for
each time that it was cut off, and the irreversible one never has.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest

from orchestra_graph import Done, Engine, Waiting
from tests.kill.flow import Work, flow
from tests.kill.processes import PROCESSES
from tests.kill.worker import Moment, drive

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]

MOST = 40
"""No run has more commits, or effects."""

EVERYTHING = Counter(
    ["sort", "left", "right", "further", "refine@0", "refine@1", "refine@2", "split~2"]
    + [f"make#{i}(~2)" for i in range(5)]
    + ["agree", "ship", "close"]
)


@dataclass(frozen=True)
class Place:
    """One run and its files."""

    home: Path
    snapshots: bool = False

    def process(self, at: int = 0, moment: Moment = "after") -> int:
        """Drive the run in a process of its own, and return its exit code."""
        process = PROCESSES.Process(target=drive, args=(str(self.home), at, moment, self.snapshots))
        process.start()
        process.join(60)
        assert process.exitcode is not None, "the process hangs"
        code = process.exitcode
        process.close()
        return code

    def until_it_rests(self) -> str:
        """Drive the run in a process of its own that nobody kills."""
        assert self.process() == 0
        return (self.home / "rested").read_text()

    def effects(self) -> list[str]:
        """What the nodes have done, in order."""
        path = self.home / "effects"
        return path.read_text().split() if path.exists() else []

    def rows(self, *kinds: str) -> list[tuple[str, str]]:
        """The log rows of some kinds, as kind and activation."""
        path = self.home / "run.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone():
                return []  # killed before there were tables
            rows = connection.execute("SELECT kind, body FROM events ORDER BY seq").fetchall()
        return [(kind, json.loads(body)["id"]) for kind, body in rows if kind in kinds]

    def kept(self) -> set[str]:
        """What must not be done again: it is in the log that it is done, or that a person was asked."""
        return {identity for _, identity in self.rows("NodeFinished", "QuestionAsked")}

    def snapshot(self) -> int:
        """The row up to which there is a snapshot; -1 where there is none."""
        with closing(sqlite3.connect(self.home / "run.db")) as connection:
            found = connection.execute("SELECT seq FROM snapshots").fetchone()
        return int(found[0]) if found else -1

    def answer(self) -> None:
        """Answer what is asked, from this process, which owns nothing. A person knows what has happened."""

        async def main() -> None:
            async with Engine(f"sqlite:///{self.home / 'run.db'}", graphs=[flow]) as engine:
                run = await engine.get("killed", flow)
                for question in await run.questions():
                    happened = {"happened": "ship" in self.effects()}
                    await run.answer(question.id, True if question.node == "agree" else happened)
                assert await run.status() == "waiting"

        asyncio.run(main())

    def to_the_end(self) -> None:
        """Go on, in new processes, until the run is done; at most two questions come."""
        for _ in range(3):
            if self.until_it_rests() == Done.__name__:
                return
            self.answer()
        raise AssertionError("the run does not end")

    def state(self) -> dict[str, object]:
        """What came of the run."""

        async def main() -> Work:
            async with Engine(f"sqlite:///{self.home / 'run.db'}", graphs=[flow]) as engine:
                outcome = await (await engine.get("killed", flow)).wait()
                assert isinstance(outcome, Done), outcome
                return outcome.state

        return asyncio.run(main()).model_dump(exclude={"effects"})


def new_place(folder: Path, name: object, *, snapshots: bool = False) -> Place:
    (folder / str(name)).mkdir()
    return Place(folder / str(name), snapshots)


class Account:
    """What was cut off, and so may be done a second time: that, and nothing else."""

    def __init__(self) -> None:
        self.lines = EVERYTHING.copy()
        self.kills = 0
        self.cut_off = 0
        self._seen = 0

    def killed(self, place: Place) -> None:
        """The process is dead: what has begun since the last time, and is not in the log, will begin once more."""
        done, kept = place.effects(), place.kept()
        begun = set(done[self._seen :]) - kept - {"ship"}
        self.lines.update(begun)
        self.kills += 1
        self.cut_off += len(begun)
        self._seen = len(done)

    def settle(self, place: Place, expected: dict[str, object]) -> None:
        """The run is done: everything is as it should be."""
        assert place.state() == expected
        assert Counter(place.effects()) == self.lines
        assert [kind for kind, _ in place.rows("NodeFinished")] == ["NodeFinished"] * len(EVERYTHING)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The state without a kill."""
    place = new_place(tmp_path_factory.mktemp("undisturbed"), "run")
    assert place.until_it_rests() == Waiting.__name__
    place.answer()
    assert place.until_it_rests() == Done.__name__
    assert Counter(place.effects()) == EVERYTHING
    return place.state()


@pytest.mark.parametrize("moment", ["before", "after", "inside"])
def test_killed_at_every_commit_and_in_every_node_up_to_the_question(
    tmp_path: Path, undisturbed: dict[str, object], moment: Moment
) -> None:
    kills = cut_off = 0
    for at in range(1, MOST):
        place, account = new_place(tmp_path, at), Account()
        code = place.process(at, moment)
        if code == 0:
            break  # it had no so many
        assert code == -signal.SIGKILL
        account.killed(place)
        place.to_the_end()
        account.settle(place, undisturbed)
        kills, cut_off = kills + account.kills, cut_off + account.cut_off
    assert kills >= (13 if moment == "inside" else 10)
    print(f"killed {moment}: {kills} times up to the question; cut off and done again: {cut_off}; other re-runs: 0")


@pytest.mark.parametrize("moment", ["before", "after", "inside"])
def test_killed_at_every_commit_and_in_every_node_behind_the_question(
    tmp_path: Path, undisturbed: dict[str, object], moment: Moment
) -> None:
    kills = cut_off = 0
    for at in range(1, MOST):
        place, account = new_place(tmp_path, at), Account()
        assert place.until_it_rests() == Waiting.__name__
        account._seen = len(place.effects())
        place.answer()
        code = place.process(at, moment)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        account.killed(place)
        place.to_the_end()
        account.settle(place, undisturbed)
        kills, cut_off = kills + account.kills, cut_off + account.cut_off
    assert kills >= (2 if moment == "inside" else 4)
    print(f"killed {moment}: {kills} times behind the question; cut off and done again: {cut_off}; other re-runs: 0")


# The first two commits of a process are those in which it takes the run over. An irreversible node whose start is the
# last thing that a process stores has not happened, and would never happen if all died there: so the number varies.
DEATHS: dict[str, list[tuple[int, Moment]]] = {
    "before": [(4, "before")],
    "after": [(3, "after"), (4, "after"), (5, "after")],
    "anywhere": [(3, "after"), (5, "before"), (1, "inside"), (4, "after"), (4, "before"), (2, "inside")],
}


@pytest.mark.parametrize("snapshots", [False, True], ids=["log alone", "snapshots"])
@pytest.mark.parametrize("deaths", DEATHS)
def test_killed_again_and_again_until_it_is_done(
    tmp_path: Path, undisturbed: dict[str, object], deaths: str, snapshots: bool
) -> None:
    """No process lives for longer than a step or two of the run."""
    place, account = new_place(tmp_path, "run", snapshots=snapshots), Account()
    for _, (at, moment) in zip(range(MOST), cycle(DEATHS[deaths]), strict=False):
        code = place.process(at, moment)
        if code == -signal.SIGKILL:
            account.killed(place)
            continue
        assert code == 0
        if (place.home / "rested").read_text() == Done.__name__:
            break
        place.answer()
    account.settle(place, undisturbed)
    assert account.kills >= 6
    assert place.snapshot() > 0
    print(f"killed {account.kills} processes one after the other ({deaths}); cut off and done again: {account.cut_off}")
