"""What goes wrong with a database, and what it leaves behind."""

# looking at a small file does not disturb a test's event loop

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from orchestra_graph.errors import StoreBroken, StoreBusy, StoreError, StoreFull, StoreNewer
from orchestra_graph.store.base import Append
from orchestra_graph.store.sqlite import SqliteStore, _Open
from orchestra_graph.testing.contract.common import asked, bodies, new_run, question, row, started

from .processes import line, process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def made(url: str) -> None:
    """A database with one run of some length."""
    async with SqliteStore(url) as store:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(n, "x" * 5000) for n in range(1, 50)]))


async def refusal(url: str, path: Path) -> StoreError:
    """The error of opening a file that must not be touched."""
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    with pytest.raises(StoreError) as caught:
        async with SqliteStore(url):
            pass
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before
    assert caught.value.url == url
    return caught.value


# -- files that are not ours -------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("content", [b"x", b"name,age\n" * 200, bytes(range(256)) * 64], ids=["short", "text", "bytes"])
async def test_a_file_that_is_no_database_is_broken(url: str, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    error = await refusal(url, path)
    assert type(error) is StoreBroken
    assert "is no SQLite database" in str(error)


@pytest.mark.asyncio
@pytest.mark.parametrize("length", [16, 50, 100, 1000, 8191, 8192, 8192 + 100, 5 * 8192])
async def test_a_file_that_was_cut_off_is_broken(url: str, path: Path, length: int) -> None:
    await made(url)
    content = path.read_bytes()
    path.write_bytes(content[:length])
    error = await refusal(url, path)
    assert type(error) is StoreBroken
    assert "damaged" in str(error)


@pytest.mark.asyncio
async def test_damage_that_is_found_later_is_broken(url: str, path: Path) -> None:
    await made(url)
    content = bytearray(path.read_bytes())
    content[20 * 8192 :] = b"\xff" * (len(content) - 20 * 8192)
    path.write_bytes(content)
    async with SqliteStore(url) as store:
        with pytest.raises(StoreBroken, match="damaged"):
            await store.log(1)


@pytest.mark.asyncio
async def test_a_database_of_somebody_else_is_left_alone(url: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE customers (name TEXT)")
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
    error = await refusal(url, path)
    assert type(error) is StoreBroken
    assert "its tables: alembic_version, customers" in str(error)


@pytest.mark.asyncio
async def test_a_database_of_a_newer_release_is_left_alone(url: str, path: Path) -> None:
    await made(url)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    error = await refusal(url, path)
    assert type(error) is StoreNewer
    assert "its schema is 9999" in str(error)
    assert "pip install --upgrade orchestra-graph" in str(error)


@pytest.mark.asyncio
async def test_a_database_that_names_no_revision_is_broken(url: str, path: Path) -> None:
    await made(url)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM alembic_version")
    assert type(await refusal(url, path)) is StoreBroken


@pytest.mark.asyncio
async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"does not exist. Make it:   mkdir -p .*/data"):
        async with SqliteStore(f"sqlite:///{tmp_path}/data/runs.db"):
            pass


@pytest.mark.asyncio
async def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a directory"):
        async with SqliteStore(f"sqlite:///{tmp_path}"):
            pass


@pytest.mark.asyncio
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a directory that not even root can write to")
async def test_a_directory_that_takes_no_file_is_an_error() -> None:
    with pytest.raises(StoreError, match=r"/proc.* cannot be (made|written)"):
        async with SqliteStore("sqlite:////proc/runs.db"):
            pass


# -- no room -----------------------------------------------------------------------------------------


async def limit_pages(store: SqliteStore, more: int) -> None:
    """Let the database grow by so many pages only."""
    assert isinstance(store._open, _Open)

    def limit(database: sqlite3.Connection) -> None:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages + more}").fetchone()

    await store._open.writer.ask(limit)


@pytest.mark.asyncio
async def test_a_full_disk_loses_nothing_that_was_stored(url: str) -> None:
    async with SqliteStore(url) as store:
        run = await started(store)
        await limit_pages(store, 3)

        async def fill() -> None:
            for n in range(1, 100):
                await store.append(Append(run=run, epoch=1, rows=[row(n, "x" * 5000)], status="waiting", note=str(n)))

        with pytest.raises(StoreFull, match="no room"):
            await fill()
        stored = await store.log(run)
        assert len(stored) > 1
        found = await store.find("k")
        assert found is not None
        assert found.note == str(len(stored) - 1)  # nothing of the change that did not fit

        await limit_pages(store, 1000)
        await store.append(Append(run=run, epoch=1, rows=[row(len(stored), "x" * 5000)]))
    async with SqliteStore(url) as store:
        assert [r.seq for r in await store.log(run)] == list(range(len(stored) + 1))


@pytest.mark.asyncio
async def test_a_full_disk_stores_what_still_fits(url: str) -> None:
    async with SqliteStore(url) as store:
        big, small, first = [await started(store, key) for key in ("big", "small", "first")]
        await limit_pages(store, 2)
        changes = [
            Append(run=first, epoch=1, rows=[row(1)]),
            Append(run=big, epoch=1, rows=[row(1, "x" * 100_000)]),
            Append(run=big, epoch=1, rows=[row(2)]),  # would fit, and would leave a gap
            Append(run=small, epoch=1, rows=[row(1)]),
        ]
        results = await asyncio.gather(*map(store.append, changes), return_exceptions=True)
        assert [type(r) for r in results] == [type(None), StoreFull, StoreFull, type(None)]
        assert [len(await bodies(store, run)) for run in (first, big, small)] == [1, 0, 1]


@pytest.mark.asyncio
async def test_a_full_disk_takes_no_new_run_and_no_answer_by_half(url: str) -> None:
    async with SqliteStore(url) as store:
        run = await asked(store, question())
        await limit_pages(store, 0)

        async def fill() -> None:
            for n in range(1000):
                await started(store, f"k{n}" * 50)

        with pytest.raises(StoreFull):
            await fill()
        with pytest.raises(StoreFull):
            await store.answer(run, "approve@0", "x" * 20_000, 110.0)
        assert len(await store.questions(run)) == 1
        runs = await store.runs(limit=10_000)
        assert all([len(await store.log(r.number)) for r in runs])
        await limit_pages(store, 100)
        assert (await store.answer(run, "approve@0", "true", 110.0)).status == "answered"


# -- locked ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_lock_that_is_held_too_long_is_busy(url: str, path: Path) -> None:
    async with SqliteStore(url, busy_timeout=0.05) as store:
        runs = [await started(store, key) for key in ("a", "b", "c")]
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            changes = [store.append(Append(run=run, epoch=1, rows=[row(1)])) for run in runs]
            results = await asyncio.gather(*changes, return_exceptions=True)
            assert [type(r) for r in results] == [StoreBusy] * 3
            assert "another process holds the write lock" in str(results[0])
            assert len(await store.log(runs[0])) == 1  # reading needs no lock
            other.execute("ROLLBACK")
        await asyncio.gather(*(store.append(Append(run=run, epoch=1, rows=[row(1)])) for run in runs))


@pytest.mark.asyncio
async def test_a_lock_that_is_given_up_in_time_is_waited_for(url: str, path: Path) -> None:
    async with SqliteStore(url) as store:
        run = await started(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            appending = asyncio.create_task(store.append(Append(run=run, epoch=1, rows=[row(1)])))
            await asyncio.sleep(0)
            assert not appending.done()
            other.execute("ROLLBACK")
            await appending


@pytest.mark.asyncio
async def test_a_store_closes_while_another_process_writes(url: str, path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        async with SqliteStore(url, busy_timeout=0.05) as store:
            await started(store)
            other.execute("BEGIN IMMEDIATE")
        assert not list(tmp_path.glob("*.lock"))
        other.execute("ROLLBACK")
    async with SqliteStore(url) as store:
        assert (await store.claim(1)).epoch == 2


# -- the first use -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_many_new_files_may_be_opened_at_once(tmp_path: Path) -> None:
    async def first_use(number: int) -> None:
        async with SqliteStore(f"sqlite:///{tmp_path}/{number % 5}.db") as store:
            await store.create(new_run())

    await asyncio.gather(*map(first_use, range(10)))
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{n}.db" for n in range(5)]


@pytest.mark.kill
def test_many_processes_may_be_the_first(url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        children = [stack.enter_context(process("open_and_create", url)) for _ in range(10)]
        for child in children:
            assert line(child) == "ready"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("now\n")
            child.stdin.flush()
        assert sorted(line(child) for child in children) == ["created"] + ["found"] * 9
        for child in children:
            assert child.wait() == 0
    assert [p.name for p in tmp_path.iterdir()] == ["runs.db"]


@pytest.mark.kill
@pytest.mark.asyncio
async def test_a_first_use_that_was_killed_is_mended_by_the_next(url: str, path: Path) -> None:
    with process("die_migrating", url) as child:
        assert child.wait() == -9
        assert child.stdout is not None
        assert child.stdout.read() == ""
    assert path.exists()
    async with SqliteStore(url) as store:
        await started(store)
    assert [p.name for p in path.parent.iterdir()] == ["runs.db"]
