# looking at a small file does not disturb a test's event loop

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph.errors import RunOwned, StoreError
from orchestra_graph.store import open_store
from orchestra_graph.store.base import Append, CachedRow, Fenced, Store
from orchestra_graph.store.door import sqlite_connection
from orchestra_graph.store.sqlite import SqliteStore, _Open
from orchestra_graph.store.statements import SQLITE
from orchestra_graph.store.writer import Durability, Writer
from orchestra_graph.testing.contract import Place, StoreContract, TransactionsContract
from orchestra_graph.testing.contract.common import asked, bodies, new_run, question, row, started


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


def writer_of(store: SqliteStore) -> Writer:
    assert isinstance(store._open, _Open)
    return store._open.writer


async def trace(store: SqliteStore) -> list[str]:
    """From now on, every statement of the writing connection."""
    seen: list[str] = []
    await writer_of(store).ask(lambda database: database.set_trace_callback(seen.append))
    return seen


class TestSqliteStore(StoreContract, TransactionsContract):
    @pytest.fixture
    def place(self, url: str) -> Place:
        def another() -> Store:
            return SqliteStore(url)

        return another

    async def kill(self, store: Store) -> None:
        assert isinstance(store, SqliteStore)
        opened = store._now()
        assert isinstance(opened, _Open)
        opened.identity.abandon()


@pytest.mark.asyncio
async def test_a_closed_store_leaves_one_file(url: str, tmp_path: Path) -> None:
    async with SqliteStore(url) as store:
        await started(store)
        assert len(list(tmp_path.glob("runs.db-owner-*.lock"))) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["runs.db"]


@pytest.mark.asyncio
async def test_a_large_value_its_use_and_its_row_are_stored_in_one_transaction(url: str) -> None:
    """So that no kill leaves a row whose value is missing."""
    async with SqliteStore(url) as store:
        run = await started(store)
        seen = await trace(store)
        await store.append(
            Append(run=run, epoch=1, rows=[row(1)], blobs={"h": "x"}, cached=[CachedRow("c", "y")]),
        )
        words = [line.split(" (")[0].replace(" OR IGNORE", "") for line in seen]
        begin = next(i for i, line in enumerate(words) if line.startswith("BEGIN"))
        end = words.index("COMMIT")
        inside = [line for line in words[begin + 1 : end] if line.startswith("INSERT")]
        assert inside == [f"INSERT INTO {table}" for table in ("blobs", "blob_uses", "events", "node_cache")]
        assert words.count("COMMIT") == 1


@pytest.mark.asyncio
async def test_a_cached_result_that_was_put_anew_meanwhile_is_not_removed(url: str) -> None:
    async with SqliteStore(url) as store:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, cached=[CachedRow("c", "new", 200.0)]))
        assert store._open is not None
        await writer_of(store).submit(store._open.ledger.drop_cached, ("c", 150.0))
        assert await store.cached("c", 150.0) == "new"


@pytest.mark.asyncio
async def test_a_store_that_only_reads_owns_nothing(url: str, tmp_path: Path) -> None:
    async with SqliteStore(url) as store:
        await started(store)
    before = (tmp_path / "runs.db").read_bytes()
    async with SqliteStore(url) as store:
        assert len(await store.runs()) == 1
        assert not list(tmp_path.glob("*.lock"))
    assert (tmp_path / "runs.db").read_bytes() == before


@pytest.mark.asyncio
async def test_a_relative_path_is_of_the_directory_where_the_store_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("sqlite+aiosqlite:///here.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    async with store:
        await started(store)
    assert (tmp_path / "here.db").is_file()


@pytest.mark.asyncio
async def test_a_link_to_the_file_is_the_same_store(url: str, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "runs.db")
    async with SqliteStore(url) as store, SqliteStore(f"sqlite:///{tmp_path}/link.db") as other:
        run = await started(store)
        with pytest.raises(RunOwned):
            await other.claim(run)


@pytest.mark.parametrize(
    ("url", "mend"),
    [
        ("sqlite://", "memory://"),
        ("sqlite:///", "memory://"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///runs.db?mode=ro", "Leave them out:   sqlite:///runs.db"),
        ("mysql://localhost/runs", "There are   sqlite:///runs.db"),
        ("runs.db", "There are   sqlite:///runs.db"),
        ("sqlite:runs.db", "sqlite:///runs.db"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, mend: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert mend in str(caught.value)


def test_a_url_chooses_the_store(url: str) -> None:
    assert isinstance(open_store(url), SqliteStore)
    assert open_store().url == open_store("memory://").url == "memory://"


@pytest.mark.asyncio
async def test_what_is_queued_meanwhile_goes_into_one_transaction(url: str) -> None:
    async with SqliteStore(url) as store:
        runs = [await started(store, f"k{n}") for n in range(20)]
        seen = await trace(store)
        await asyncio.gather(*(store.append(Append(run=run, epoch=1, rows=[row(1)])) for run in runs))
        assert seen.count("COMMIT") == 2  # the first alone, and all that were queued meanwhile


@pytest.mark.asyncio
async def test_a_row_that_the_database_refuses_sinks_no_other(url: str) -> None:
    async with SqliteStore(url) as store:
        runs = [await started(store, f"k{n}") for n in range(6)]
        bad: Any = object()
        changes = [Append(run=run, epoch=1, rows=[row(1, bad if run == runs[3] else "good")]) for run in runs]
        changes.insert(4, Append(run=runs[3], epoch=1, status="done"))  # behind the bad one
        results = await asyncio.gather(*map(store.append, changes), return_exceptions=True)
        assert [type(r) for r in results] == [type(None)] * 3 + [StoreError] * 2 + [type(None)] * 2
        assert [await bodies(store, run) for run in runs] == [["good"]] * 3 + [[]] + [["good"]] * 2
        found = await store.find("k3")
        assert found is not None
        assert found.status == "running"


@pytest.mark.asyncio
async def test_what_is_queued_behind_a_failure_in_flight_fails_with_it(url: str) -> None:
    async with SqliteStore(url) as store:
        run, other = await started(store), await started(store, "other")
        bad: Any = object()
        changes = [
            Append(run=run, epoch=1, rows=[row(1, bad)]),  # in flight at once
            Append(run=run, epoch=1, status="done"),  # queued
            Append(run=other, epoch=1, status="done"),
        ]
        results = await asyncio.gather(*map(store.append, changes), return_exceptions=True)
        assert [type(r) for r in results] == [StoreError, StoreError, type(None)]
        assert results[0] is not results[1]
        assert [r.status for r in await store.runs()] == ["done", "running"]


@pytest.mark.asyncio
async def test_one_who_is_fenced_sinks_no_other(url: str) -> None:
    async with SqliteStore(url) as store:
        runs = [await started(store, f"k{n}") for n in range(4)]
        changes = [Append(run=run, epoch=2 if run == runs[2] else 1, rows=[row(1)]) for run in runs]

        async def fenced(change: Append) -> bool:
            try:
                await store.append(change)
            except Fenced:
                return True
            return False

        seen = await trace(store)
        assert await asyncio.gather(*map(fenced, changes)) == [False, False, True, False]
        assert "ROLLBACK" not in seen


def _syncs(statements: Sequence[str]) -> list[str]:
    return [s.removeprefix("PRAGMA synchronous = ") for s in statements if s.startswith(("PRAGMA sync", "COMMIT"))]


@pytest.mark.asyncio
async def test_what_must_survive_a_power_loss_is_synced(url: str) -> None:
    async with SqliteStore(url) as store:
        run = await asked(store, question())
        seen = await trace(store)
        await store.append(Append(run=run, epoch=1, rows=[row(2)]))
        await store.append(Append(run=run, epoch=1, rows=[row(3)], sync=True))
        await store.append(Append(run=run, epoch=1, rows=[row(4)]))
        await store.answer(run, "approve@0", "true", 110.0)
        assert _syncs(seen) == ["COMMIT", "FULL", "COMMIT", "NORMAL", "COMMIT", "FULL", "COMMIT"]


@pytest.mark.asyncio
@pytest.mark.parametrize(("durability", "level"), [("normal", 1), ("full", 2)])
async def test_the_durability_is_that_of_every_commit(url: str, durability: Durability, level: int) -> None:
    async with SqliteStore(url, durability=durability) as store:
        await started(store)
        found = await writer_of(store).ask(lambda database: database.execute("PRAGMA synchronous").fetchone()[0])
        assert found == level


@pytest.mark.asyncio
async def test_what_is_due_is_found_without_looking_at_all_that_ended(url: str) -> None:
    async with SqliteStore(url) as store:
        plan = await store._read(f"EXPLAIN QUERY PLAN {SQLITE.DUE}", 1.0, "[]", "[]", 1)
        assert "SEARCH runs USING INDEX ix_runs_status (status=?)" in {step[-1] for step in plan}


@pytest.mark.asyncio
async def test_who_looks_for_what_is_due_writes_nothing(url: str) -> None:
    async with SqliteStore(url) as store, SqliteStore(url) as other:
        await started(other)
        assert await store.changes(5.0)
        seen = await trace(store)
        assert await store.due({"g": "1"}, now=1.0) == []
        assert [word for line in seen if (word := line.split()[0]) in ("INSERT", "UPDATE", "DELETE")] == []
        assert not await store.changes(0.12)


@pytest.mark.asyncio
async def test_a_file_becomes_smaller_when_it_is_compacted(url: str, tmp_path: Path) -> None:
    async with SqliteStore(url) as store:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(n, "x" * 10_000) for n in range(1, 200)], status="done"))
        await store.append(Append(run=run, epoch=1, release=True))
        assert await store.prune(before=1e12, status=["done"]) == ["k"]
        await store.compact()
        assert (tmp_path / "runs.db").stat().st_size < 500_000
        assert (tmp_path / "runs.db-wal").stat().st_size == 0
        assert (await store.create(new_run()))[0].number == run + 1


@pytest.mark.asyncio
async def test_a_file_is_compacted_when_a_transaction_is_over(url: str) -> None:
    async with SqliteStore(url) as store:
        run = await started(store)
        tx = await store.begin(run, 1)
        await tx.execute("CREATE TABLE mine (n INTEGER)")
        compacting = asyncio.create_task(store.compact())
        await asyncio.sleep(0.02)
        await store.append(Append(run=run, epoch=1, rows=[row(1)], within=tx))
        await compacting
        await store.append(Append(run=run, epoch=1, rows=[row(2)]))
        assert len(await store.log(run)) == 3


@pytest.mark.asyncio
async def test_readers_cannot_write(url: str) -> None:
    async with SqliteStore(url) as store:
        assert store._open is not None
        for _ in range(4):  # whichever of them it is given to
            with pytest.raises(StoreError, match="readonly"):
                await store._open.readers.read("DELETE FROM runs")


@pytest.mark.asyncio
async def test_a_claim_that_is_refused_is_no_news(url: str) -> None:
    async with SqliteStore(url) as store, SqliteStore(url) as other:
        run = await started(store)
        assert await other.changes(5.0)
        with pytest.raises(RunOwned):
            await other.claim(run)
        assert not await other.changes(0.12)


@pytest.mark.asyncio
async def test_changes_of_others_are_noticed(url: str) -> None:
    async with SqliteStore(url) as store, SqliteStore(url) as other:
        run = await started(other)
        assert await store.changes(5.0)  # it happened while nobody waited
        assert not await store.changes(0.12)
        waiting = asyncio.create_task(store.changes(30.0))
        assert await asyncio.wait_for(waiting, 5.0)  # a new task does not know about the first one
        await other.append(Append(run=run, epoch=1, rows=[row(1)]))
        assert await store.changes(5.0)


@pytest.mark.asyncio
async def test_what_others_write_may_be_an_answer(url: str) -> None:
    async with SqliteStore(url) as store, SqliteStore(url) as other:
        run = await asked(store, question())
        assert not await store.answers(0.0)
        waiting = asyncio.create_task(store.answers(30.0))
        await asyncio.sleep(0)
        await other.answer(run, "approve@0", "true", 110.0)
        assert await asyncio.wait_for(waiting, 5.0)
        assert [q.answer for q in await store.news({run: ["approve@0"]})] == ["true"]


@pytest.mark.asyncio
async def test_an_opening_that_is_cancelled_leaves_nothing_open(url: str, tmp_path: Path) -> None:
    for turns in range(0, 40, 3):
        opening = asyncio.create_task(SqliteStore(url).__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert not list(tmp_path.glob("*-wal"))


@pytest.mark.asyncio
async def test_a_closing_that_is_cancelled_is_carried_out(url: str, tmp_path: Path) -> None:
    store = await SqliteStore(url).__aenter__()
    await started(store)
    closing = asyncio.create_task(store.__aexit__())
    for _ in range(5):
        await asyncio.sleep(0)
        closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert [p.name for p in tmp_path.iterdir()] == ["runs.db"]


@pytest.mark.asyncio
async def test_reads_that_are_cancelled_break_nothing(url: str) -> None:
    async with SqliteStore(url) as store:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(n) for n in range(1, 500)]))
        for turns in range(30):
            reading = asyncio.create_task(store.log(run))
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
        logs = await asyncio.gather(*(store.log(run) for _ in range(20)))
        assert {len(log) for log in logs} == {500}


@pytest.mark.asyncio
async def test_a_long_read_does_not_hold_up_the_small_ones(url: str) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    async with SqliteStore(url) as store:
        await started(store)
        assert store._open is not None
        readers = store._open.readers
        long = asyncio.create_task(readers.read(endless))
        await asyncio.sleep(0)
        found = await asyncio.wait_for(asyncio.gather(*(store.find("k") for _ in range(20))), 20)
        assert all(found)
        assert not long.done()
        [busy] = set(readers._all) - set(readers._free)
        sqlite_connection(busy).interrupt()
        with pytest.raises(StoreError, match="interrupted"):
            await long


@pytest.mark.asyncio
async def test_what_is_being_read_is_read_to_its_end_before_the_store_closes(url: str) -> None:
    async with SqliteStore(url) as store:
        run = await started(store)
        reading = [asyncio.create_task(store.log(run)) for _ in range(20)]
        await asyncio.sleep(0)
    assert {len(log) for log in await asyncio.gather(*reading)} == {1}


@pytest.mark.asyncio
async def test_the_file_is_made_for_appending(url: str, tmp_path: Path) -> None:
    async with SqliteStore(url):
        pass
    database = sqlite3.connect(tmp_path / "runs.db")
    assert database.execute("PRAGMA page_size").fetchone() == (8192,)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
