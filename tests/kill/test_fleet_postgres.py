"""A fleet of real processes over PostgreSQL: they are killed, stopped past their lease, and the server goes away."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import Engine, OrchestraError
from orchestra_graph.testing.postgres import Database, throwaway_postgres
from tests.kill.fleet import effects
from tests.kill.jobs import STEPS, Job, held, job, paid, slow
from tests.kill.processes import PROCESSES

pytestmark = [pytest.mark.kill, pytest.mark.timeout(300)]

LEASE = 2.0
RUNS = 200
PATIENCE = 240.0


@pytest.fixture
def own() -> Iterator[Database]:
    """A database on a server that may be stopped."""
    with throwaway_postgres(private=True, fsync=True) as database:
        yield database


@pytest.fixture
def shared() -> Iterator[Database]:
    with throwaway_postgres() as database:
        yield database


def work(url: str) -> None:
    """The work of one process, until it is killed."""

    async def main() -> None:
        while True:
            with suppress(OrchestraError):  # the server may be away when it comes up
                async with Engine(url, graphs=[paid, held, job, slow], lease=LEASE) as engine:
                    await engine.work(poll=0.5, most=30)
            await asyncio.sleep(0.2)

    asyncio.run(main())


class Fleet:
    """Some processes that work."""

    def __init__(self, url: str, count: int):
        self.url = url
        self.killed = 0
        self.processes = [self._new() for _ in range(count)]

    def _new(self) -> ForkServerProcess:
        process = PROCESSES.Process(target=work, args=(self.url,), daemon=True)
        process.start()
        return process

    def replace(self, place: int) -> None:
        """Kill one, and start another."""
        self.processes[place].kill()
        self.processes[place].join(30)
        self.processes[place] = self._new()
        self.killed += 1

    def send(self, place: int, number: signal.Signals) -> None:
        pid = self.processes[place].pid
        assert pid is not None
        os.kill(pid, number)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join(30)


@pytest.fixture
def fleet() -> Iterator[Callable[[str, int], Fleet]]:
    fleets: list[Fleet] = []

    def start(url: str, count: int) -> Fleet:
        fleets.append(Fleet(url, count))
        return fleets[-1]

    yield start
    for one in fleets:
        one.end()


def leave(url: str, graph: Any, folder: Path, *keys: str) -> None:
    """Start runs that a worker is to drive."""

    async def start() -> None:
        async with Engine(url, graphs=[graph]) as engine:
            for key in keys:
                await engine.start(graph, Job(folder=folder), key=key, drive=False)

    asyncio.run(start())


def count(database: Database, status: str) -> int:
    """How many runs have a status, while the server is there."""
    return int(database.execute("SELECT count(*) FROM runs WHERE status = %s", status)[0][0])


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)


def test_a_fleet_that_is_killed_stopped_and_cut_off_does_everything_once(
    own: Database, fleet: Callable[[str, int], Fleet], tmp_path: Path
) -> None:
    own.execute("CREATE TABLE effects (run TEXT, node TEXT, pid INTEGER)")
    keys = [f"k{number}" for number in range(RUNS)]
    leave(own.url, paid, tmp_path, *keys)
    chance, workers = random.Random(11), fleet(own.url, 3)
    stops, restarts, woken = [0.1], [0.3, 0.6], 0.0
    stopped: int | None = None
    deadline = time.monotonic() + PATIENCE
    while (done := count(own, "done")) < RUNS or stopped is not None:
        assert time.monotonic() < deadline, own.execute("SELECT status, note, count(*) FROM runs GROUP BY 1, 2")
        assert not count(own, "failed"), own.execute("SELECT key, note FROM runs WHERE status = 'failed'")
        assert not count(own, "dead"), own.execute("SELECT key, note FROM runs WHERE status = 'dead'")
        if stopped is not None and time.monotonic() > woken:
            workers.send(stopped, signal.SIGCONT)
            stopped = None
        if stops and done >= stops[0] * RUNS:
            stops.pop(0)
            stopped, woken = 0, time.monotonic() + LEASE + 1.5  # past its lease
            workers.send(stopped, signal.SIGSTOP)
        if restarts and done >= restarts[0] * RUNS:
            restarts.pop(0)
            own.server.restart("immediate")
        workers.replace(chance.choice([place for place in range(3) if place != stopped]))
        time.sleep(1.0)
    assert (stops, restarts) == ([], [])
    assert workers.killed >= 3
    wanted = {(key, f"s{n}") for key in keys for n in range(STEPS)}
    rows = own.execute("SELECT run, node FROM effects")
    assert len(rows) == len(wanted)
    assert set(rows) == wanted  # each exactly once
    elsewhere = effects(tmp_path)
    assert {(run, name) for run, name, _ in elsewhere} == wanted  # at least once
    assert len(elsewhere) == len(wanted)  # and with one key
    finished = own.execute("SELECT run, count(*) FROM events WHERE kind = 'NodeFinished' GROUP BY run")
    assert {number for _, number in finished} == {STEPS}


def test_one_that_is_stopped_past_its_lease_is_replaced_and_writes_nothing_when_it_wakes(
    shared: Database, fleet: Callable[[str, int], Fleet], tmp_path: Path
) -> None:
    leave(shared.url, held, tmp_path, "k")
    (tmp_path / "effects").unlink(missing_ok=True)
    workers = fleet(shared.url, 1)

    def owners() -> list[str]:
        return [run for run, *_ in _lines(tmp_path)]

    until(owners)
    workers.send(0, signal.SIGSTOP)
    began = time.monotonic()
    other = fleet(shared.url, 1)
    until(lambda: len(owners()) == 2)
    assert time.monotonic() - began < LEASE + 6  # a lease and a look, and the start of a process
    first, second = [pid for _, pid in _lines(tmp_path)]
    assert (first, second) == (str(workers.processes[0].pid), str(other.processes[0].pid))
    before = shared.execute("SELECT max(seq) FROM events")
    workers.send(0, signal.SIGCONT)
    (tmp_path / "go").touch()  # both would go on
    until(lambda: count(shared, "done"))
    body = shared.execute("SELECT body FROM events WHERE kind = 'NodeFinished'")
    assert len(body) == 1
    assert second in body[0][0]
    assert before[0][0] + 2 == shared.execute("SELECT max(seq) FROM events")[0][0]  # the node, and the end


def test_a_takeover_while_the_old_owner_is_in_a_transaction_leaves_that_without_effect(
    shared: Database, fleet: Callable[[str, int], Fleet], tmp_path: Path
) -> None:
    shared.execute("CREATE TABLE effects (run TEXT, node TEXT, pid INTEGER)")
    leave(shared.url, slow, tmp_path, "k")
    old = fleet(shared.url, 1)
    until(lambda: len(_lines(tmp_path)) == 1)
    old.send(0, signal.SIGSTOP)
    new = fleet(shared.url, 1)
    until(lambda: len(_lines(tmp_path)) == 2)
    old.send(0, signal.SIGCONT)
    (tmp_path / "go").touch()  # both come to the end of their blocks
    until(lambda: count(shared, "done"))
    old.processes[0].join(0.5)  # it lives, and has had time to do harm
    assert old.processes[0].is_alive()
    assert shared.execute("SELECT run, node, pid FROM effects") == [("k", "pay_slowly", new.processes[0].pid)]


def test_a_server_that_is_away_for_longer_than_a_lease_costs_no_run(
    own: Database, fleet: Callable[[str, int], Fleet], tmp_path: Path
) -> None:
    keys = [f"k{number}" for number in range(40)]  # more than one of them takes
    leave(own.url, held, tmp_path, *keys)
    workers = fleet(own.url, 2)
    until(lambda: len({pid for _, pid in _lines(tmp_path)} & {str(p.pid) for p in workers.processes}) == 2)
    own.server.stop("immediate")
    time.sleep(LEASE + 1.5)
    own.server.start()
    (tmp_path / "go").touch()
    until(lambda: count(own, "done") == len(keys))
    finished = own.execute("SELECT run, count(*) FROM events WHERE kind = 'NodeFinished' GROUP BY run")
    assert [number for _, number in finished] == [1] * len(keys)


def _lines(folder: Path) -> list[list[str]]:
    path = folder / "effects"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def start_five(url: str, folder: str, gate: Any) -> None:
    """Start a run five times, at the same time as others."""

    async def main() -> None:
        async with Engine(url, graphs=[job]) as engine:
            await asyncio.to_thread(gate.wait, 60)
            runs = await asyncio.gather(*(engine.start(job, Job(folder=Path(folder)), key="one") for _ in range(5)))
            await asyncio.gather(*(run.result() for run in runs))

    asyncio.run(main())


def test_fifty_starters_in_ten_processes_have_one_run(shared: Database, tmp_path: Path) -> None:
    gate = PROCESSES.Barrier(10)
    starters = [PROCESSES.Process(target=start_five, args=(shared.url, str(tmp_path), gate)) for _ in range(10)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(60)
    assert [starter.exitcode for starter in starters] == [0] * 10
    assert shared.execute("SELECT key, status FROM runs") == [("one", "done")]
    assert set(effects(tmp_path).values()) == {1}
