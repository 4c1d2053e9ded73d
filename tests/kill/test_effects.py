"""A real process is killed with SIGKILL around every commit of steps and of transactions.

A step whose end was in the log is never called again, and one whose end was not is called exactly once more. What a
node does in a transaction is in the user's table exactly once for each activation, whatever the moment.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from orchestra_graph import Engine
from tests.kill.effects import LETTERS, in_steps, pay_once, ship_once
from tests.kill.processes import PROCESSES
from tests.kill.worker import Moment

pytestmark = [pytest.mark.kill, pytest.mark.timeout(240)]

MOST = 40
"""No run has more commits, or calls."""


def process(target: Callable[[str, int, Moment], None], home: Path, at: int = 0, moment: Moment = "after") -> int:
    """Drive the run in a process of its own, and return its exit code."""
    one = PROCESSES.Process(target=target, args=(str(home), at, moment))
    one.start()
    one.join(90)
    assert one.exitcode is not None, "the process hangs"
    code = one.exitcode
    one.close()
    return code


def lines(home: Path) -> list[str]:
    path = home / "effects"
    return path.read_text().splitlines() if path.exists() else []


def rows(home: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home / "run.db")) as connection:
        return connection.execute(statement).fetchall()


def recorded(home: Path) -> set[str]:
    """The keys of the steps that are in the log."""
    if not (home / "run.db").exists():
        return set()
    if not rows(home, "SELECT 1 FROM sqlite_master WHERE name = 'events'"):
        return set()
    return {str(key) for (key,) in rows(home, "SELECT body ->> 'key' FROM events WHERE kind = 'StepDone'")}


@pytest.mark.parametrize("moment", ["before", "after", "inside"])
def test_a_step_that_is_recorded_is_never_called_again(tmp_path: Path, moment: Moment) -> None:
    kills = again = 0
    for at in range(1, MOST):
        home = tmp_path / f"{at}"
        home.mkdir()
        code = process(in_steps, home, at, moment)
        if code == 0:
            break  # it had no so many
        assert code == -signal.SIGKILL
        kills += 1
        called, kept = set(lines(home)), recorded(home)
        told = {line.partition(" ")[0] for line in called if line.endswith("returned")}
        assert told <= kept  # nothing was told to the node that would be lost
        lost = called & {*LETTERS, "z"} - kept
        assert len(lost) <= 1
        again += len(lost)
        assert process(in_steps, home) == 0
        assert (home / "ended").read_text() == "aaabbbcccdddeee zzzaaabbbcccdddeee 0"
        expected = Counter([*LETTERS, "z", *lost])
        assert Counter(line for line in lines(home) if " " not in line) == expected
    assert kills >= (6 if moment == "inside" else 8)
    assert (again > 0) is (moment != "after")
    print(f"killed {moment}: {kills} times; calls that were cut off and made again: {again}; other calls: 0")


def open_database(home: Path) -> None:
    home.mkdir()

    async def main() -> None:
        async with Engine(f"sqlite:///{home / 'run.db'}"):
            pass

    asyncio.run(main())
    with closing(sqlite3.connect(home / "run.db")) as connection, connection:
        connection.execute("CREATE TABLE payments (id TEXT, n INTEGER)")  # no key: a second row would be seen


ONCE = [("killed/pay@0", 0), ("killed/pay@1", 1), ("killed/pay@2", 2)]


@pytest.mark.parametrize("moment", ["before", "after", "inside"])
def test_what_a_transaction_does_is_there_exactly_once(tmp_path: Path, moment: Moment) -> None:
    kills = 0
    for at in range(1, MOST):
        home = tmp_path / f"{at}"
        open_database(home)
        code = process(pay_once, home, at, moment)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
        finished = rows(home, "SELECT 'killed/' || (body ->> 'id') FROM events WHERE kind = 'NodeFinished'")
        paid = rows(home, "SELECT id FROM payments ORDER BY rowid")
        assert paid == [row for row in finished if "/pay@" in str(row[0])]  # both, or none
        assert process(pay_once, home) == 0
        assert (home / "ended").read_text() == "  3"
        assert rows(home, "SELECT id, n FROM payments ORDER BY rowid") == ONCE
    assert kills >= (3 if moment == "inside" else 8)
    print(f"killed {moment}: {kills} times; rows in the user's table: 3 of 3, each once")


@pytest.mark.parametrize(("at", "kept"), [(1, []), (2, ["a"])])
def test_an_irreversible_node_that_was_cut_off_in_a_step_goes_to_a_person(
    tmp_path: Path, at: int, kept: list[str]
) -> None:
    assert process(ship_once, tmp_path, at, "inside") == -signal.SIGKILL
    done = lines(tmp_path)
    for _ in range(2):  # however often somebody goes on
        assert process(ship_once, tmp_path) == 0
        assert (tmp_path / "ended").read_text() == f"asks: [{kept}]"
    assert lines(tmp_path) == done == ["a", "b"][:at]


def test_nobody_kills_it(tmp_path: Path) -> None:
    home = tmp_path / "run"
    open_database(home)
    assert process(pay_once, home) == 0
    assert rows(home, "SELECT id, n FROM payments ORDER BY rowid") == ONCE
