"""A real process is killed with SIGKILL at every commit of a run, for each construct that a graph may have.

Whatever the moment, a new process comes to the same end by the same nodes, makes the same choices, and runs nothing
again whose end was in the log.
"""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kill.constructs import CONSTRUCTS
from tests.kill.processes import PROCESSES
from tests.kill.worker import Moment, end_constructs, try_construct

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]

MOST = 60
"""No run has more commits, or effects."""

MOMENTS: tuple[Moment, ...] = ("before", "after")


def in_a_process(work: Callable[..., None], *given: Any) -> int:
    """Do something in a process of its own, and return its exit code."""
    process = PROCESSES.Process(target=work, args=given)
    process.start()
    process.join(60)
    assert process.exitcode is not None, "the process hangs"
    code = process.exitcode
    process.close()
    return code


@dataclass(frozen=True)
class Home:
    """One run and its files."""

    path: Path

    def lines(self) -> list[str]:
        """What the nodes have begun, in order."""
        path = self.path / "effects"
        return path.read_text().split() if path.exists() else []

    def rows(self) -> list[tuple[str, dict[str, Any]]]:
        """The log: kind and body."""
        path = self.path / "run.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone():
                return []  # killed before there were tables
            rows = connection.execute("SELECT kind, body FROM events ORDER BY seq").fetchall()
        return [(kind, json.loads(body)) for kind, body in rows]

    def kept(self) -> set[str]:
        """What must not be done again: it has ended, or failed for good."""
        return {
            body["id"]
            for kind, body in self.rows()
            if kind == "NodeFinished" or (kind == "NodeFailed" and "retry_at" not in body)
        }

    def choices(self) -> Counter[str]:
        """What was decided once: which nodes came to an end and which way they went, and when a join fired."""
        told = [
            f"{body['id']} {body.get('taken', 'fires')}"
            for kind, body in self.rows()
            if kind == "NodeFinished" or (kind == "JoinAsked" and body.get("fire"))
        ]
        return Counter(told)

    def ended(self) -> dict[str, Any]:
        """How the run ended, and its state."""
        found: dict[str, Any] = json.loads((self.path / "ended").read_text())
        return found


@dataclass(frozen=True)
class Cut:
    """A run whose process was killed: what had begun by then, and what must not begin again."""

    home: Home
    begun: int
    kept: frozenset[str]


def killed(folder: Path, name: str, moment: Moment) -> list[Cut]:
    """Kill a process at each commit of a run, every time another one."""
    found: list[Cut] = []
    for at in range(1, MOST):
        home = Home(folder / f"{moment}{at}")
        home.path.mkdir()
        code = in_a_process(try_construct, str(home.path), name, at, moment)
        if code == 0:
            return found  # it had no so many
        assert code == -signal.SIGKILL
        found.append(Cut(home, len(home.lines()), frozenset(home.kept())))
    raise AssertionError("the run has no end")


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_killed_at_every_commit(tmp_path: Path, name: str) -> None:
    undisturbed = Home(tmp_path / "undisturbed")
    undisturbed.path.mkdir()
    cuts = [cut for moment in MOMENTS for cut in killed(tmp_path, name, moment)]
    folders = [str(home.path) for home in [undisturbed, *(cut.home for cut in cuts)]]
    assert in_a_process(end_constructs, folders, name) == 0

    assert undisturbed.ended()["asked"] == []
    again = 0
    for cut in cuts:
        assert cut.home.ended() == undisturbed.ended()
        assert cut.home.choices() == undisturbed.choices()
        later = cut.home.lines()[cut.begun :]
        again += sum(line in cut.kept for line in later)
    assert again == 0
    assert len(cuts) >= 8
    print(f"{name}: killed {len(cuts)} times; finished nodes run again: {again}")
