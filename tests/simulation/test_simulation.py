"""Whole fleets from a seed: the same seed does the same, what is wrong is found, and a thousand seeds find nothing."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from orchestra_graph.core.events import NodeFinished
from orchestra_graph.store.base import Append
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.testing.simulation import Job, SimulationFailure, SimulationReport, simulate
from tests.simulation.bad_seeds import BAD_SEEDS
from tests.simulation.graphs import GRAPHS, Sheet, jobs_of

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "1000"))
PARTS = 20


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Faults are what is tested: they need not be told."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def fleet(seed: int, **more: Any) -> SimulationReport:
    return simulate(jobs_of(seed), seed=seed, **more)


@pytest.mark.properties
@pytest.mark.parametrize("part", range(PARTS))
def test_every_run_ends_as_the_model_says(part: int) -> None:
    events, outcomes = Counter[str](), Counter[str]()
    for seed in range(part, SEEDS, PARTS):
        report = fleet(seed)
        events.update(report.events)
        outcomes.update(report.outcomes.values())
    print(f"{len(range(part, SEEDS, PARTS))} seeds: {dict(outcomes)}; {dict(events)}")
    if SEEDS >= 1000:  # nothing is proved by a fleet that nobody disturbs
        assert min(events[kind] for kind in ("killed", "stopped", "woke", "fault", "answer", "sent")) > 10
        assert outcomes["done"] > 30


@pytest.mark.parametrize("seed", BAD_SEEDS)
def test_seeds_that_were_bad_once(seed: int) -> None:
    fleet(seed)


def test_the_same_seed_gives_the_same_simulation_step_by_step() -> None:
    for seed in range(5):
        one, two = fleet(seed), fleet(seed)
        assert one.digest == two.digest
        assert one.trace == two.trace
    assert fleet(0).digest != fleet(1).digest


def test_so_it_does_in_another_process_whose_hashes_are_not_the_same() -> None:
    code = "from tests.simulation.test_simulation import fleet; print(*(fleet(s).digest for s in range(3)))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {" ".join(fleet(s).digest for s in range(3)) + "\n"}


def test_a_report_says_what_happened() -> None:
    report = fleet(3)
    assert str(report).startswith(f"seed 3: {len(report.outcomes)} runs as they should be after ")
    assert set(report.outcomes) == {f"run-{n}" for n in range(len(report.outcomes))}
    assert report.events["killed"] == sum(" killed " in line for line in report.trace)


def test_without_trouble_nothing_is_called_twice() -> None:
    job = Job(graph=GRAPHS["looped"], input=Sheet(), key="mine")
    report = simulate(job, seed=1, rate=0.0, crashes=0.0, pauses=0.0, skew=0.0)
    called = [line.split()[-1] for line in report.trace if " call " in line]
    assert len(called) == len(set(called)) == 7
    assert report.outcomes == {"mine": "done"}


# -- what is wrong is found ---------------------------------------------------------------------------


def failure_of(seed: int, **more: Any) -> SimulationFailure | None:
    try:
        fleet(seed, **more)
    except SimulationFailure as failure:
        return failure
    return None


def found(**more: Any) -> list[str]:
    """What the first simulations find that find something."""
    problems: list[str] = []
    for seed in range(60):
        failure = failure_of(seed, **more)
        if failure is not None:
            problems += failure.problems
            assert failure.seed == seed
            assert f"seed={seed}" in str(failure)
            again: SimulationFailure = pickle.loads(pickle.dumps(failure))
            assert again.problems == failure.problems
        if len(problems) > 3:
            break
    return problems


def test_a_database_that_does_not_fence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryDatabase, "owns", lambda self, engine, run, epoch: run in self.runs)
    assert found(crashes=0.0, pauses=0.2)


def test_a_database_that_loses_a_row_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: MemoryDatabase, engine: str, change: Append, now: float) -> None:
        kinds = [row.kind for row in change.rows]
        if kinds == [NodeFinished.__name__] and change.rows[0].seq == 3:
            change = replace(change, rows=[replace(change.rows[0], kind="RunResumed", body="{}")])
        append(self, engine, change, now)

    append = MemoryDatabase.append
    monkeypatch.setattr(MemoryDatabase, "append", forgetful)
    assert found()


def test_an_answer_that_does_not_stand_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def overwriting(self: MemoryDatabase, run: int, question: str, answer: str, at: float) -> Any:
        kept = self.runs[run]
        row = kept.questions[question]
        if row.status == "answered":
            kept.questions[question] = row = replace(row, answer=answer)
            return row
        return first(self, run, question, answer, at)

    first = MemoryDatabase.answer
    monkeypatch.setattr(MemoryDatabase, "answer", overwriting)
    assert found()


def test_a_message_that_is_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def losing(self: MemoryDatabase, message: Any, alone: int | None) -> Any:
        sent = send(self, message, alone)
        if not message.channel.startswith("$") and message.id == "message-1":
            del self.runs[message.run].inbox[message.id]
        return sent

    send: Any = MemoryDatabase.send
    monkeypatch.setattr(MemoryDatabase, "send", losing)
    assert any("is lost" in problem or "stuck" in problem for problem in found())


def test_a_run_that_nobody_takes_over_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryDatabase, "due", lambda self, graphs, now, limit: [])
    assert any("is stuck" in problem for problem in found(trouble=30.0))
