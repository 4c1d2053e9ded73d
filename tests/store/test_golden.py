"""Databases that older releases made open, are read, go on and replay. How they were made: `golden/make.py`."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import Cancelled, Engine, Failed, Waiting
from orchestra_graph.runtime.run import Run
from orchestra_graph.store.examine import examine
from orchestra_graph.store.migrate import APPLICATION_ID, PAGE_SIZE, known_revisions
from orchestra_graph.store.sqlite import SqliteStore
from tests.store.golden import graphs, graphs_2

GOLDEN = Path(__file__).parent / "golden"
RELEASES = ["schema-0001", "schema-0002"]
LAST_TO_DIE = {"schema-0001": "died behind a snapshot", "schema-0002": "died inside"}
"""What the others owned that had died was free when the next process came."""

each_release = pytest.mark.parametrize("release", RELEASES)


def restored(release: str, folder: Path) -> str:
    """A copy of a golden database, as the release left it; its URL."""
    path = folder / "runs.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(gzip.decompress((GOLDEN / f"{release}.sql.gz").read_bytes()).decode())
    return f"sqlite:///{path}"


def engine_on(url: str) -> Engine:
    return Engine(url, graphs=[graphs.orders, graphs.counting, graphs_2.papers])


async def order_of(run: Run[Any]) -> graphs.Order:
    state = await run.state()
    assert isinstance(state, graphs.Order)
    return state


def test_the_golden_databases_are_small_and_name_no_machine() -> None:
    assert sorted(path.name for path in GOLDEN.glob("*.gz")) == [f"{release}.sql.gz" for release in RELEASES]
    for release in RELEASES:
        packed = (GOLDEN / f"{release}.sql.gz").read_bytes()
        assert len(packed) < 100_000
        said = gzip.decompress(packed).decode()
        assert f"INSERT INTO \"alembic_version\" VALUES('{release[-4:]}')" in said
        assert str(Path.cwd()) not in said


@each_release
@pytest.mark.asyncio
async def test_it_is_brought_up_to_date_by_who_opens_it(tmp_path: Path, release: str) -> None:
    url = restored(release, tmp_path)
    assert examine(url).revision == release[-4:]
    async with SqliteStore(url) as store:
        runs = {run.key: run for run in await store.runs()}
        assert runs["done"].status == "done"
        assert {(run.claims, run.pinned, run.origin) for run in runs.values() if run.status != "running"} == {
            (0, False, None)
        }
        assert {run.status for key, run in runs.items() if key.startswith("died")} == {"running"}
        assert [key for key, run in runs.items() if run.owner is not None] == [LAST_TO_DIE[release]]
    found = examine(url)
    assert (found.revision, found.damage) == (known_revisions()[-1], ())


@each_release
@pytest.mark.asyncio
async def test_runs_that_rest_are_read_as_they_were(tmp_path: Path, release: str) -> None:
    async with engine_on(restored(release, tmp_path)) as engine:
        done = await engine.get("done", graphs.orders)
        state = await done.state()
        assert (state.prices, state.total, state.tries) == ([10, 20, 30, 40], 100, 3)
        assert (state.approved, state.reply) == (True, "paid 100")
        assert state.notes == ["4 items", "try 0 of 100", "try 1 of 100", "try 2 of 100"]
        history = await done.history()
        assert [step.number for step in history] == list(range(len(history)))
        assert len(history) > 10
        record = await done.record()
        assert {activation.node for activation in record.activations} == {
            "begin",
            "price",
            "sum_up",
            "improve",
            "approve",
            "answer",
        }
        assert isinstance(await (await engine.get("cancelled")).wait(), Cancelled)
        assert isinstance(await (await engine.get("failed")).wait(), Failed)


@each_release
@pytest.mark.asyncio
async def test_a_question_of_an_older_release_takes_its_answer(tmp_path: Path, release: str) -> None:
    async with engine_on(restored(release, tmp_path)) as engine:
        run = await engine.get("waiting", graphs.orders)
        assert isinstance(await run.wait(), Waiting)
        [question] = await run.questions()
        assert (question.prompt, question.details) == ("Pay 100?", {"total": 100})
        await run.answer(question.id, False)
        assert (await run.result()).reply == "refused 100"


@each_release
@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["died in an each", "died in a loop"])
async def test_a_run_whose_owner_died_goes_on(tmp_path: Path, release: str, key: str) -> None:
    async with engine_on(restored(release, tmp_path)) as engine:
        run = await engine.get(key, graphs.orders)
        before = len(await run.history())
        await run.resume()
        assert isinstance(await run.wait(), Waiting)
        [question] = await run.questions()
        await run.answer(question.id, True)
        state = await run.result()
        assert (state.prices, state.tries, state.reply) == ([10, 20, 30, 40], 3, "paid 100")
        assert state.notes == ["4 items", "try 0 of 100", "try 1 of 100", "try 2 of 100"]
        assert len(await run.history()) > before > 3


@each_release
@pytest.mark.asyncio
async def test_a_snapshot_of_an_older_release_is_gone_on_from(tmp_path: Path, release: str) -> None:
    url = restored(release, tmp_path)
    async with SqliteStore(url) as store:
        row = await store.find("died behind a snapshot")
        assert row is not None
        snapshot = await store.snapshot(row.number)
        assert snapshot is not None
        assert 500 <= snapshot.seq < (await store.log(row.number))[-1].seq
    async with engine_on(url) as engine:
        run = await engine.get("died behind a snapshot", graphs.counting)
        state = await run.result()
        assert state.n == 700
        assert state.seen == list(range(700))


@each_release
@pytest.mark.asyncio
async def test_the_logs_replay(tmp_path: Path, release: str) -> None:
    async with engine_on(restored(release, tmp_path)) as engine:
        for run in await engine.find():
            replay = await run.replay()
            assert replay.same, (run.key, replay)


@each_release
@pytest.mark.asyncio
async def test_a_run_that_failed_is_tried_again(tmp_path: Path, release: str) -> None:
    async with engine_on(restored(release, tmp_path)) as engine:
        run = await engine.get("failed", graphs.orders)
        before = len(await run.history())
        await run.retry()
        outcome = await run.wait()
        assert isinstance(outcome, Failed)
        assert "not to be summed up" in repr(outcome)
        assert len(await run.history()) > before


@each_release
@pytest.mark.asyncio
async def test_an_owner_that_died_is_counted(tmp_path: Path, release: str) -> None:
    async with SqliteStore(restored(release, tmp_path)) as store:
        due = await store.due({"orders": "1", "counting": "1", "papers": "1"}, now=0.0)
        died = [run for run in await store.runs() if run.key.startswith("died")]
        assert {run.key for run in due} == {run.key for run in died}
        for run in died:
            claimed = await store.claim(run.number)
            assert (claimed.claims, claimed.epoch) == (int(run.key == LAST_TO_DIE[release]), run.epoch + 1)


@pytest.mark.asyncio
async def test_large_values_and_cached_results_of_an_older_release_are_used(tmp_path: Path) -> None:
    async with engine_on(restored("schema-0002", tmp_path)) as engine:
        run = await engine.get("large and waiting", graphs_2.papers)
        [question] = await run.questions()
        await run.answer(question.id, True)
        state = await run.result()
        assert state.upper == graphs_2.LARGE.upper()
        assert (state.words, state.agreed) == (8000, True)
        again = await engine.start(graphs_2.papers, graphs_2.Papers(text=graphs_2.LARGE), key="again")
        assert isinstance(await again.wait(), Waiting)
        blobs = (await engine.store.sizes())["blobs"]
        assert blobs.rows == 2, "the input and the result are the same as before"
        cached = (await engine.store.sizes())["cached"]
        assert cached.rows > 0


@pytest.mark.asyncio
async def test_a_run_whose_owner_died_in_a_graph_in_a_graph_goes_on(tmp_path: Path) -> None:
    async with engine_on(restored("schema-0002", tmp_path)) as engine:
        run = await engine.get("died inside", graphs_2.papers)
        await run.resume()
        assert isinstance(await run.wait(), Waiting)
        state = await run.state()
        assert (state.upper, state.words) == ("A FEW WORDS", 3)


@each_release
@pytest.mark.asyncio
async def test_old_runs_are_removed(tmp_path: Path, release: str) -> None:
    url = restored(release, tmp_path)
    async with SqliteStore(url) as store:
        kept = {run.key for run in await store.runs() if run.status not in ("done", "cancelled", "waiting", "failed")}
        gone = await store.prune(before=1e12, status=["done", "cancelled", "waiting", "failed"])
        assert {"done", "waiting", "failed", "cancelled"} <= set(gone)
        await store.tidy(now=1e12)
        assert {run.key for run in await store.runs()} == kept
        await store.compact()
    async with engine_on(url) as engine:
        run = await engine.get("died in a loop", graphs.orders)
        assert isinstance(await run.wait(), Waiting)
