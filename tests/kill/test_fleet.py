"""A fleet of real processes over one SQLite file."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import Engine, Graph
from tests.kill.fleet import PATIENCE, ROOT, WorkerProcess, effects, workers
from tests.kill.jobs import STEPS, Job, deadly, held, job, stubborn
from tests.kill.processes import PROCESSES

pytestmark = [pytest.mark.kill, pytest.mark.timeout(180)]

JOBS = "tests.kill.jobs:"


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder}/runs.db"


def leave(folder: Path, graph: Graph[Job], *keys: str) -> None:
    """Start runs that a worker is to drive."""

    async def start() -> None:
        async with Engine(url_in(folder), graphs=[graph]) as engine:
            for key in keys:
                await engine.start(graph, Job(folder=folder), key=key, drive=False)

    asyncio.run(start())


def statuses(folder: Path) -> dict[str, str]:
    async def read() -> dict[str, str]:
        async with Engine(url_in(folder)) as engine:
            return {run.key: await run.status() for run in await engine.find(limit=1000)}

    return asyncio.run(read())


def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)


def orchestra(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "orchestra_graph", *words, "--db", url_in(folder)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


def held_by(folder: Path) -> list[int]:
    """The processes that have begun the node `hold`, in order."""
    path = folder / "effects"
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith("held ")]


def test_three_workers_of_which_one_is_killed_again_and_again_end_all_runs(tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(60)]
    leave(tmp_path, job, *keys)
    chance, words = random.Random(4), (f"{JOBS}job", "--concurrency", "10")
    with workers(url_in(tmp_path), *words, count=3) as fleet:
        for round_ in itertools.count():
            assert round_ < 300
            time.sleep(0.3)
            if set(statuses(tmp_path).values()) == {"done"}:
                break
            if round_ % 4 == 3:  # time for the new one to come up
                victim = chance.randrange(3)
                fleet[victim].kill()
                fleet[victim] = WorkerProcess(url_in(tmp_path), *words)
    found = effects(tmp_path)
    assert {(run, name) for run, name, _ in found} == {(key, f"s{n}") for key in keys for n in range(STEPS)}
    assert len(found) == len(keys) * STEPS  # each node has one idempotency key, however often it ran
    assert asyncio.run(finished(tmp_path, keys)) == dict.fromkeys(keys, STEPS)


async def finished(folder: Path, keys: list[str]) -> dict[str, int]:
    """How many nodes of each run have ended, by its log."""
    found = {}
    async with Engine(url_in(folder)) as engine:
        for key in keys:
            rows = await engine.store.log((await engine.get(key))._row.number)
            assert [row.seq for row in rows] == list(range(len(rows)))
            found[key] = sum(row.kind == "NodeFinished" for row in rows)
    return found


def test_sigterm_hands_over_at_once(tmp_path: Path) -> None:
    leave(tmp_path, held, "k")
    words = (f"{JOBS}held", f"{JOBS}job", "--poll", "60")
    with workers(url_in(tmp_path), *words) as fleet:
        fleet[0].says("k", "taken")
        until(lambda: fleet[0].process.pid in held_by(tmp_path))
        fleet.append(WorkerProcess(url_in(tmp_path), *words))
        fleet[0].send(signal.SIGSTOP)
        leave(tmp_path, job, "other")
        fleet[1].says("other", "rests")  # it is up, and has nothing to do
        fleet[0].send(signal.SIGCONT)
        began = time.monotonic()
        fleet[0].send(signal.SIGTERM)
        assert fleet[1].says("k", "taken")["graph"] == "held"
        assert time.monotonic() - began < 10  # its own next look would be in a minute
        assert fleet[0].ends() == 0
        assert fleet[0].says("k", "rests")["status"] == "running"
        (tmp_path / "go").touch()
        assert fleet[1].says("k", "rests")["status"] == "done"
        fleet[1].send(signal.SIGINT)
        assert fleet[1].ends() == 0


def test_a_second_signal_ends_it_whatever_its_nodes_do(tmp_path: Path) -> None:
    leave(tmp_path, stubborn, "k")
    with workers(url_in(tmp_path), f"{JOBS}stubborn") as fleet:
        until(lambda: ("refuses", str(fleet[0].process.pid)) in effects(tmp_path))
        fleet[0].send(signal.SIGTERM)
        until(lambda: ("was", "cancelled") in effects(tmp_path))
        assert fleet[0].process.poll() is None
        fleet[0].send(signal.SIGTERM)
        assert fleet[0].ends() == 128 + signal.SIGTERM


def test_one_that_is_stopped_keeps_its_runs_for_its_lock_lives(tmp_path: Path) -> None:
    leave(tmp_path, held, "k")
    with workers(url_in(tmp_path), f"{JOBS}held", count=1) as fleet:
        fleet[0].says("k", "taken")
        until(lambda: fleet[0].process.pid in held_by(tmp_path))
        fleet[0].send(signal.SIGSTOP)
        other = WorkerProcess(url_in(tmp_path), f"{JOBS}held", "--until-idle")
        assert other.ends() == 0
        other.kill()
        assert statuses(tmp_path) == {"k": "running"}
        fleet[0].send(signal.SIGCONT)
        (tmp_path / "go").touch()
        assert fleet[0].says("k", "rests")["status"] == "done"
        assert set(held_by(tmp_path)[-1:]) == {fleet[0].process.pid}


def test_a_node_that_kills_its_process_parks_its_run_and_a_retry_revives_it(tmp_path: Path) -> None:
    url = url_in(tmp_path)
    killed = orchestra(tmp_path, "run", f"{JOBS}deadly", "--input", f"folder={tmp_path}", "--key", "k")
    assert killed.returncode == -signal.SIGKILL
    deaths = 1
    while True:
        worker = WorkerProcess(url, f"{JOBS}deadly", "--until-idle")
        code = worker.ends()
        worker.kill()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        deaths += 1
    assert deaths == 6
    assert statuses(tmp_path) == {"k": "dead"}
    shown = orchestra(tmp_path, "show", "k").stdout
    assert "was running `kill` when 6 owners in a row died" in shown
    assert "orchestra retry k" in shown
    resumed = orchestra(tmp_path, "resume", "k", "--target", f"{JOBS}deadly")
    assert resumed.returncode == 7
    assert "k is dead: was running `kill` when 6 owners in a row died" in resumed.stdout
    (tmp_path / "mended").touch()
    assert orchestra(tmp_path, "retry", "k", "--target", f"{JOBS}deadly").returncode == 0
    assert statuses(tmp_path) == {"k": "done"}


def test_cancel_reaches_a_worker_in_another_process(tmp_path: Path) -> None:
    leave(tmp_path, held, "k")
    with workers(url_in(tmp_path), f"{JOBS}held") as fleet:
        fleet[0].says("k", "taken")
        cancelled = orchestra(tmp_path, "cancel", "k")
        assert (cancelled.returncode, cancelled.stdout) == (
            0,
            f"k was cancelled: orchestra show k --db {url_in(tmp_path)}\n",
        )
        assert fleet[0].says("k", "rests")["status"] == "cancelled"


# -- one key -----------------------------------------------------------------------------------------


def start_five(url: str, folder: str, gate: Any) -> None:
    """Start a run five times, at the same time as others."""

    async def main() -> None:
        async with Engine(url, graphs=[job, deadly, held, stubborn]) as engine:
            await asyncio.to_thread(gate.wait, PATIENCE)
            runs = await asyncio.gather(*(engine.start(job, Job(folder=Path(folder)), key="one") for _ in range(5)))
            await asyncio.gather(*(run.result() for run in runs))

    asyncio.run(main())


def test_fifty_starters_in_ten_processes_have_one_run(tmp_path: Path) -> None:
    gate = PROCESSES.Barrier(10)
    starters = [PROCESSES.Process(target=start_five, args=(url_in(tmp_path), str(tmp_path), gate)) for _ in range(10)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(PATIENCE)
    assert [starter.exitcode for starter in starters] == [0] * 10
    assert statuses(tmp_path) == {"one": "done"}
    assert set(effects(tmp_path).values()) == {1}
    assert len(effects(tmp_path)) == STEPS
