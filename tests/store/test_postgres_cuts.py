"""What a lost connection, a killed one and a restarted server leave behind: everything once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import pytest_asyncio

from orchestra_graph.errors import StoreError, StoreLost
from orchestra_graph.store.base import Append, Store
from orchestra_graph.store.postgres import PostgresStore
from orchestra_graph.testing.contract.common import asked, bodies, message, new_run, question, row, started
from orchestra_graph.testing.postgres import Database, throwaway_postgres

from .proxy import Proxy


@pytest.fixture(scope="module")
def module_database() -> Iterator[Database]:
    with throwaway_postgres() as database:
        yield database


@pytest.fixture
def database(module_database: Database) -> Database:
    module_database.clear()
    return module_database


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    with Proxy(database.url) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def store(proxy: Proxy) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(proxy.url) as store:
        yield store


# -- the connection is lost around the commit --------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("warm", [0, 8])  # the statements have names of their own on the server by then
async def test_an_append_whose_commit_was_not_heard_of_is_stored_once(
    store: PostgresStore, proxy: Proxy, warm: int
) -> None:
    run = await started(store)
    for at in range(warm):
        await store.append(Append(run=run, epoch=1, rows=[row(at + 1, "before")]))
    proxy.cut_behind_a_commit()
    await store.append(Append(run=run, epoch=1, rows=[row(warm + 1, "this")]))
    assert proxy.cuts == 1
    await store.append(Append(run=run, epoch=1, rows=[row(warm + 2, "next")]))
    assert await bodies(store, run) == ["before"] * warm + ["this", "next"]


@pytest.mark.asyncio
@pytest.mark.parametrize("word", [1, 2])
async def test_an_append_that_was_cut_off_before_its_commit_is_stored_once(
    store: PostgresStore, proxy: Proxy, word: int
) -> None:
    run = await started(store)
    proxy.cut_before_word(word)
    await store.append(Append(run=run, epoch=1, rows=[row(1, "this")]))
    assert proxy.cuts == 1
    assert await bodies(store, run) == ["this"]


@pytest.mark.asyncio
async def test_a_release_whose_commit_was_not_heard_of_is_no_fence(store: PostgresStore, proxy: Proxy) -> None:
    """Tried again it would find that the run is nobody's."""
    run = await started(store)
    proxy.cut_behind_a_commit()
    await store.append(Append(run=run, epoch=1, rows=[row(1)], status="done", release=True))
    found = await store.find("k")
    assert found is not None
    assert (found.status, found.owner) == ("done", None)


@pytest.mark.asyncio
async def test_who_created_a_run_is_told_so_though_the_commit_was_not_heard_of(
    store: PostgresStore, proxy: Proxy
) -> None:
    proxy.cut_behind_a_commit()
    run, created = await store.create(new_run())
    assert created
    await store.append(Append(run=run.number, epoch=run.epoch, rows=[row(1)]))
    assert not (await store.create(new_run()))[1]


@pytest.mark.asyncio
async def test_an_answer_and_a_message_whose_commit_was_not_heard_of_stand(store: PostgresStore, proxy: Proxy) -> None:
    run = await asked(store, question())
    proxy.cut_behind_a_commit()
    assert (await store.answer(run, "approve@0", "true", 110.0)).answer == "true"
    proxy.cut_behind_a_commit()
    _, new = await store.send(message("m", run))
    assert new
    assert proxy.cuts == 2
    assert [m.id for m in await store.inbox(run)] == ["m"]


@pytest.mark.asyncio
async def test_many_runs_in_one_transaction_are_all_stored_once(store: PostgresStore, proxy: Proxy) -> None:
    runs = [await started(store, f"k{n}") for n in range(20)]
    proxy.cut_behind_a_commit()
    await asyncio.gather(*(store.append(Append(run=run, epoch=1, rows=[row(1, "once")])) for run in runs))
    assert proxy.cuts == 1
    assert [await bodies(store, run) for run in runs] == [["once"]] * 20


_SLOW_COMMIT = """
CREATE FUNCTION wait_for_it() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.body = 'slow') EXECUTE FUNCTION wait_for_it();
"""


@pytest.mark.asyncio
async def test_a_commit_that_is_still_on_its_way_is_waited_for(proxy: Proxy, store: PostgresStore) -> None:
    with psycopg.connect(store.url, autocommit=True) as other:
        other.execute(_SLOW_COMMIT)
        other.execute("SELECT pg_advisory_lock(77)")
        run = await started(store)
        append = asyncio.create_task(store.append(Append(run=run, epoch=1, rows=[row(1, "slow")])))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = "
        while other.execute(f"{waiting}'advisory'").fetchall() == [(0,)]:
            await asyncio.sleep(0.01)
        own = store._here().door._connection
        assert own is not None
        own.pgconn.finish()  # on this side only: the server knows of nothing, and goes on
        while other.execute(f"{waiting}'transactionid'").fetchall() == [(0,)]:
            await asyncio.sleep(0.01)
        assert not append.done()
        other.execute("SELECT pg_advisory_unlock(77)")
        await append
        assert await bodies(store, run) == ["slow"]
        other.execute("DROP TRIGGER slow ON events; DROP FUNCTION wait_for_it")


@pytest.mark.asyncio
async def test_killed_backends_lose_nothing(database: Database) -> None:
    """Whatever moment it hits: the log has no gap and nothing twice."""
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'orchestra %'"
    chance = random.Random(1)
    async with (
        PostgresStore(database.url) as store,
        await psycopg.AsyncConnection.connect(database.url, autocommit=True) as killer,
    ):
        run = await started(store)
        for seq in range(1, 31):
            append = asyncio.create_task(store.append(Append(run=run, epoch=1, rows=[row(seq, str(seq))])))
            await asyncio.sleep(chance.uniform(0, 0.01))
            await killer.execute(kill)
            await append
        assert await bodies(store, run) == [str(seq) for seq in range(1, 31)]


@pytest.mark.asyncio
async def test_a_read_whose_connection_was_lost_is_read_again(store: PostgresStore, proxy: Proxy) -> None:
    run = await started(store)
    proxy.cut()
    assert [r.seq for r in await store.log(run)] == [0]


# -- the server is away ------------------------------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[Database]:
    with throwaway_postgres(private=True, fsync=True) as database:
        yield database


@pytest.mark.asyncio
@pytest.mark.kill
async def test_a_restarted_server_is_waited_for(own_server: Database) -> None:
    """Both kinds of it, one after the other, in the middle of what many runs write."""
    done = 0

    async def drive(store: Store, run: int) -> None:
        nonlocal done
        for seq in range(1, 41):
            await store.append(Append(run=run, epoch=1, rows=[row(seq, str(seq))]))
            done += 1

    async with PostgresStore(own_server.url) as store:
        runs = [await started(store, f"k{n}") for n in range(10)]
        driving = [asyncio.create_task(drive(store, run)) for run in runs]
        for at, mode in ((60, "immediate"), (180, "fast")):
            while done < at:
                await asyncio.sleep(0.001)
            await asyncio.to_thread(own_server.server.restart, mode)  # type: ignore[arg-type]
        await asyncio.gather(*driving)
        for run in runs:
            assert await bodies(store, run) == [str(seq) for seq in range(1, 41)]


@pytest.mark.asyncio
@pytest.mark.kill
async def test_a_server_that_stays_away_is_given_up(own_server: Database) -> None:
    async with PostgresStore(own_server.url, lease=1.0) as store:
        run = await started(store)
        lost: list[int] = []
        store.lost = lost.extend
        await asyncio.to_thread(own_server.server.stop)
        began = time.monotonic()
        with pytest.raises(StoreLost, match="could not for 1 seconds"):
            await store.append(Append(run=run, epoch=1, rows=[row(1)]))
        with pytest.raises(StoreLost):
            await store.find("k")
        assert time.monotonic() - began < 10
        assert lost == [run]  # whoever drove it has been told
        await asyncio.to_thread(own_server.server.start)
        claimed = await store.claim(run)
        await store.append(Append(run=run, epoch=claimed.epoch, rows=[row(1, "later")]))
        assert await bodies(store, run) == ["later"]


@pytest.mark.asyncio
async def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(StoreLost, match="cannot be reached"):
        async with PostgresStore("postgresql://orchestra@127.0.0.1:1/nothing"):
            pass


# -- transactions of nodes ---------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_transaction_whose_commit_was_not_heard_of_is_stored_once(
    store: PostgresStore, proxy: Proxy, database: Database
) -> None:
    database.execute("CREATE TABLE IF NOT EXISTS effects (run BIGINT)")
    database.execute("DELETE FROM effects")
    run = await started(store)
    tx = await store.begin(run, 1)
    await tx.execute("INSERT INTO effects VALUES (:run)", {"run": run})
    proxy.cut_behind_a_commit()
    await store.append(Append(run=run, epoch=1, rows=[row(1, "with it")], within=tx))
    assert proxy.cuts == 1
    assert database.execute("SELECT run FROM effects") == [(run,)]
    assert await bodies(store, run) == ["with it"]


@pytest.mark.asyncio
async def test_a_transaction_that_was_cut_off_is_stored_not_at_all(
    store: PostgresStore, proxy: Proxy, database: Database
) -> None:
    database.execute("CREATE TABLE IF NOT EXISTS effects (run BIGINT)")
    database.execute("DELETE FROM effects")
    run = await started(store)
    tx = await store.begin(run, 1)
    await tx.execute("INSERT INTO effects VALUES (:run)", {"run": run})
    proxy.cut()
    with pytest.raises(StoreError):
        await store.append(Append(run=run, epoch=1, rows=[row(1)], within=tx))
    assert database.execute("SELECT run FROM effects") == []
    await store.append(Append(run=run, epoch=1, rows=[row(1, "again")]))
    assert await bodies(store, run) == ["again"]
