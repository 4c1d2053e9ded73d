"""Who owns a run on PostgreSQL, and how stores hear of each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from orchestra_graph.errors import RunOwned, StoreError
from orchestra_graph.store import open_store
from orchestra_graph.store.base import Append, Fenced
from orchestra_graph.store.pg_migrate import upgrade
from orchestra_graph.store.postgres import PostgresStore
from orchestra_graph.testing.contract.common import asked, bodies, found, message, question, row, started
from orchestra_graph.testing.postgres import Database, throwaway_postgres

from .test_postgres import end_lease, stop_the_heart


@pytest.fixture(scope="module")
def module_database() -> Iterator[Database]:
    with throwaway_postgres() as database:
        yield database


@pytest.fixture
def database(module_database: Database) -> Database:
    module_database.clear()
    return module_database


@pytest_asyncio.fixture
async def store(database: Database) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(database.url) as store:
        yield store


@pytest_asyncio.fixture
async def other(database: Database) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(database.url) as store:
        yield store


async def until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


# -- leases ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_owner_that_beats_is_not_replaced_however_long_it_takes(database: Database) -> None:
    def lease() -> float:
        [(until_,)] = database.execute("SELECT lease_until FROM engines")
        return float(until_)

    async with PostgresStore(database.url, lease=0.9) as store, PostgresStore(database.url) as other:
        run = await started(store)
        first = lease()
        await until(lambda: lease() > first + 1.0)  # by its first lease it would be dead by now
        with pytest.raises(RunOwned):
            await other.claim(run)
        assert await other.due({"g": "1"}, now=200.0) == []
        await store.append(Append(run=run, epoch=1, rows=[row(1, "mine")]))


@pytest.mark.asyncio
async def test_an_owner_that_stands_still_is_replaced_when_its_lease_is_over_and_not_before(
    store: PostgresStore, other: PostgresStore
) -> None:
    run = await started(store)
    await stop_the_heart(store)
    with pytest.raises(RunOwned):
        await other.claim(run)
    await asyncio.to_thread(end_lease, store)
    assert (await other.claim(run)).epoch == 2
    with pytest.raises(Fenced):  # it wakes up
        await store.append(Append(run=run, epoch=1, rows=[row(1, "late")]))
    assert await bodies(other, run) == []


@pytest.mark.asyncio
async def test_who_wakes_up_is_told_what_it_lost(store: PostgresStore, other: PostgresStore) -> None:
    taken, kept = await started(store, "taken"), await started(store, "kept")
    await stop_the_heart(store)
    await asyncio.to_thread(end_lease, store)
    await other.claim(taken)
    lost: list[int] = []
    store.lost = lost.extend
    await store._here().pulse.start()
    await until(lambda: lost)
    assert lost == [taken]
    await store.append(Append(run=kept, epoch=1, rows=[row(1, "still mine")]))
    assert await bodies(store, kept) == ["still mine"]


@pytest.mark.asyncio
async def test_who_was_buried_gives_up_all_and_lives_again(store: PostgresStore, other: PostgresStore) -> None:
    run = await started(store)
    await stop_the_heart(store)
    await asyncio.to_thread(end_lease, store)
    [due] = await other.due({"g": "1"}, now=200.0)
    assert (due.number, due.owner, due.claims) == (run, None, 1)
    lost: list[int] = []
    store.lost = lost.extend
    await store._here().pulse.start()
    await until(lambda: lost)
    assert lost == [run]
    assert (await store.claim(run)).epoch == 2
    with pytest.raises(RunOwned):
        await other.claim(run)


@pytest.mark.asyncio
async def test_a_store_that_is_closed_hands_over_at_once(database: Database, other: PostgresStore) -> None:
    async with PostgresStore(database.url) as store:
        run = await started(store)
    assert (await other.claim(run)).claims == 0
    assert database.execute("SELECT id FROM engines") == [(other._here().member.id,)]


# -- transactions of nodes ---------------------------------------------------------------------------


@pytest.fixture
def accounts(database: Database) -> Iterator[Database]:
    database.execute("CREATE TABLE accounts (name TEXT PRIMARY KEY, amount INTEGER NOT NULL)")
    database.execute("INSERT INTO accounts VALUES ('ana', 0)")
    yield database
    database.execute("DROP TABLE accounts")


_ADD = "UPDATE accounts SET amount = amount + :more WHERE name = 'ana' RETURNING amount"
_AMOUNT = "SELECT amount FROM accounts"


@pytest.mark.asyncio
async def test_what_a_node_did_is_stored_with_its_result(store: PostgresStore, accounts: Database) -> None:
    run = await started(store)
    tx = await store.begin(run, 1)
    [given] = await tx.execute(_ADD, {"more": 5})
    assert given.amount == 5
    assert accounts.execute(_AMOUNT) == [(0,)]
    await tx.check()
    await store.append(Append(run=run, epoch=1, rows=[row(1, "paid")], within=tx))
    assert accounts.execute(_AMOUNT) == [(5,)]
    assert await bodies(store, run) == ["paid"]


@pytest.mark.asyncio
async def test_the_takeover_wins_over_an_open_transaction(
    store: PostgresStore, other: PostgresStore, accounts: Database
) -> None:
    """It neither waits for it, nor is anything of it stored; and it gets the rows that the other one had locked."""
    run = await started(store)
    tx = await store.begin(run, 1)
    await tx.execute(_ADD, {"more": 5})
    await stop_the_heart(store)
    await asyncio.to_thread(end_lease, store)
    assert (await other.claim(run)).epoch == 2
    again = await other.begin(run, 2)
    await asyncio.wait_for(again.execute(_ADD, {"more": 7}), 20)
    with pytest.raises((StoreError, Fenced)):
        await store.append(Append(run=run, epoch=1, rows=[row(1, "late")], within=tx))
    await other.append(Append(run=run, epoch=2, rows=[row(1, "paid")], within=again))
    assert accounts.execute(_AMOUNT) == [(7,)]
    assert await bodies(other, run) == ["paid"]


@pytest.mark.asyncio
async def test_a_transaction_that_is_still_open_after_a_takeover_is_fenced(
    store: PostgresStore, other: PostgresStore, accounts: Database
) -> None:
    run = await started(store)
    tx = await store.begin(run, 1)
    await tx.execute(_ADD, {"more": 5})
    accounts.execute("UPDATE runs SET epoch = 2, owner = %s", other._here().member.id)
    with pytest.raises(Fenced):
        await store.append(Append(run=run, epoch=1, rows=[row(1, "late")], within=tx))
    assert accounts.execute(_AMOUNT) == [(0,)]
    assert await bodies(store, run) == []


@pytest.mark.asyncio
async def test_appends_of_a_run_keep_their_order_around_a_transaction(store: PostgresStore, accounts: Database) -> None:
    run = await started(store)
    tx = await store.begin(run, 1)
    await tx.execute(_ADD, {"more": 5})
    changes = [
        Append(run=run, epoch=1, rows=[row(1, "before")]),
        Append(run=run, epoch=1, rows=[row(2, "within")], within=tx),
        Append(run=run, epoch=1, rows=[row(3, "after")]),
    ]
    await asyncio.gather(*map(store.append, changes))
    assert await bodies(store, run) == ["before", "within", "after"]


@pytest.mark.asyncio
async def test_a_statement_that_fails_leaves_nothing(store: PostgresStore, accounts: Database) -> None:
    run = await started(store)
    tx = await store.begin(run, 1)
    await tx.execute(_ADD, {"more": 5})
    with pytest.raises(StoreError, match="nowhere"):
        await tx.execute("SELECT * FROM nowhere")
    with pytest.raises(StoreError, match="nowhere"):
        await store.append(Append(run=run, epoch=1, rows=[row(1)], within=tx))
    await tx.rollback()
    assert accounts.execute(_AMOUNT) == [(0,)]


@pytest.mark.asyncio
@pytest.mark.parametrize("statement", ["COMMIT", "/* x */ rollback", "SELECT 1; COMMIT", "DO 'BEGIN COMMIT; END'"])
async def test_a_statement_cannot_end_the_transaction(store: PostgresStore, accounts: Database, statement: str) -> None:
    run = await started(store)
    tx = await store.begin(run, 1)
    await tx.execute(_ADD, {"more": 5})
    with pytest.raises(StoreError, match=r"may not be|multiple commands|invalid transaction termination"):
        await tx.execute(statement)
    with pytest.raises(StoreError):
        await store.append(Append(run=run, epoch=1, rows=[row(1)], within=tx))
    await tx.rollback()
    assert accounts.execute(_AMOUNT) == [(0,)]
    assert await bodies(store, run) == []


@pytest.mark.asyncio
async def test_more_transactions_than_connections_wait_for_their_turn(store: PostgresStore, accounts: Database) -> None:
    runs = [await started(store, f"k{n}") for n in range(20)]

    async def pay(run: int) -> None:
        tx = await store.begin(run, 1)
        await tx.execute(_ADD, {"more": 1})
        await store.append(Append(run=run, epoch=1, rows=[row(1, "paid")], within=tx))

    await asyncio.wait_for(asyncio.gather(*map(pay, runs)), 60)
    assert accounts.execute(_AMOUNT) == [(20,)]


@pytest.mark.asyncio
async def test_an_undone_transaction_stops_what_it_was_at(store: PostgresStore) -> None:
    run = await started(store)
    tx = await store.begin(run, 1)
    sleeping = asyncio.create_task(tx.execute("SELECT pg_sleep(600)"))
    await asyncio.sleep(0.05)
    sleeping.cancel()
    await asyncio.wait_for(tx.rollback(), 20)


# -- hearing of each other ---------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_others_write_is_heard_of_at_once(store: PostgresStore, other: PostgresStore) -> None:
    run = await started(store)
    assert await other.changes(10.0)
    waiting = asyncio.create_task(_time(other.changes(10.0)))
    await asyncio.sleep(0.02)
    await store.append(Append(run=run, epoch=1, rows=[row(1)]))
    assert await waiting < 5.0  # long before the next poll; milliseconds where nothing else runs


async def _time(waiting: Any) -> float:
    began = time.monotonic()
    await waiting
    return time.monotonic() - began


@pytest.mark.asyncio
async def test_answers_and_messages_wake_and_other_changes_do_not(store: PostgresStore, other: PostgresStore) -> None:
    run = await asked(store, question())
    assert await other.changes(10.0)
    assert not await other.answers(0.05)
    await store.answer(run, "approve@0", "true", 110.0)
    assert await other.answers(10.0)
    await store.send(message("m", run))
    assert await other.answers(10.0)


@pytest.mark.asyncio
async def test_what_was_written_while_nothing_was_heard_is_news(store: PostgresStore, database: Database) -> None:
    await started(store)
    assert await store.changes(10.0)
    waiting = asyncio.create_task(store.changes(20.0))
    await asyncio.sleep(0)
    assert not waiting.done() or await waiting
    database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'orchestra %'")
    assert await asyncio.wait_for(waiting, 20)


@pytest.mark.asyncio
async def test_two_schemas_of_one_database_do_not_disturb_each_other() -> None:
    with throwaway_postgres(upgraded=False) as database:
        urls = []
        for name in ("one", "two"):
            database.execute(f"CREATE SCHEMA {name}")
            urls.append(f"{database.url}?options=-csearch_path%3D{name}")
            upgrade(urls[-1])
        async with open_store(urls[0]) as one, open_store(urls[1]) as two:
            run = await started(one, "k")
            await started(two, "k")
            assert await two.changes(0.0)
            await one.append(Append(run=run, epoch=1, rows=[row(1)], status="done"))
            assert not await two.changes(0.1)
            assert ((await found(one)).status, (await found(two)).status) == ("done", "running")


# -- group commit ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_is_queued_meanwhile_goes_into_one_transaction(store: PostgresStore, database: Database) -> None:
    runs = [await started(store, f"k{n}") for n in range(20)]

    def transactions() -> int:
        [(number,)] = database.execute("SELECT number FROM attempts")
        return int(number)

    before = transactions()
    await asyncio.gather(*(store.append(Append(run=run, epoch=1, rows=[row(1)])) for run in runs))
    assert transactions() == before + 2  # the first alone, and all that were queued meanwhile


@pytest.mark.asyncio
async def test_a_row_that_the_database_refuses_sinks_no_other(store: PostgresStore) -> None:
    runs = [await started(store, f"k{n}") for n in range(6)]
    bad: Any = object()
    changes = [Append(run=run, epoch=1, rows=[row(1, bad if run == runs[3] else "good")]) for run in runs]
    changes.insert(4, Append(run=runs[3], epoch=1, status="done"))  # behind the bad one
    results = await asyncio.gather(*map(store.append, changes), return_exceptions=True)
    assert [type(r) for r in results] == [type(None)] * 3 + [StoreError] * 2 + [type(None)] * 2
    assert [await bodies(store, run) for run in runs] == [["good"]] * 3 + [[]] + [["good"]] * 2


@pytest.mark.asyncio
async def test_stores_that_write_to_the_same_runs_do_not_wait_in_a_circle(
    store: PostgresStore, other: PostgresStore
) -> None:
    runs = [await asked(store, question(), key=f"k{n}") for n in range(10)]
    for _ in range(5):
        appends = [store.append(Append(run=run, epoch=1, asked=[question(f"q{n}")])) for n, run in enumerate(runs)]
        answers = [other.send(message(f"m{run}", run)) for run in reversed(runs)]
        await asyncio.gather(*appends, *answers)
    assert [len(await store.inbox(run)) for run in runs] == [1] * 10
