"""What a store in an SQL database promises of the transactions of nodes: all that is done in one, or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from orchestra_graph.errors import EngineBug, StoreError
from orchestra_graph.store.base import Append, Fenced, Store
from orchestra_graph.testing.contract.common import Stores, bodies, found, message, row, started

__all__ = ["TransactionsContract"]

_EFFECTS = sa.Table("effects", sa.MetaData(), sa.Column("name", sa.Text), sa.Column("amount", sa.Integer))
_INSERT = "INSERT INTO effects (name, amount) VALUES (:name, :amount)"


async def with_table(store: Store) -> int:
    """A new run, and a table of somebody who uses the library; the run's number."""
    run = await started(store)
    tx = await store.begin(run, 1)
    await tx.execute("CREATE TABLE effects (name TEXT UNIQUE, amount INTEGER)")
    await store.append(Append(run=run, epoch=1, within=tx))
    return run


async def effects(store: Store, run: int) -> list[str]:
    """What is in that table."""
    tx = await store.begin(run, 1)
    try:
        return [found.name for found in await tx.execute("SELECT name FROM effects ORDER BY name")]
    finally:
        await tx.rollback()


class TransactionsContract(Stores):
    """One test for each promise about transactions of nodes."""

    @pytest.mark.asyncio
    async def test_what_a_node_does_is_stored_with_its_result(self, store: Store, other: Store) -> None:
        run = await with_table(store)
        await store.send(message("m", run))
        tx = await store.begin(run, 1)
        await tx.execute(_INSERT, {"name": "a", "amount": 3})
        await tx.check()
        change = Append(run=run, epoch=1, rows=[row(1, "result")], taken=[("m", 1)], status="waiting", within=tx)
        await store.append(change)
        assert await effects(store, run) == ["a"]
        assert await bodies(other, run) == ["result"]
        assert await other.inbox(run) == []
        assert (await found(other)).status == "waiting"

    @pytest.mark.asyncio
    async def test_what_is_rolled_back_never_was(self, store: Store) -> None:
        run = await with_table(store)
        tx = await store.begin(run, 1)
        await tx.execute(_INSERT, {"name": "a", "amount": 3})
        await tx.rollback()
        await tx.rollback()
        with pytest.raises(StoreError):
            await tx.execute(_INSERT, {"name": "b", "amount": 3})
        with pytest.raises(StoreError):
            await store.append(Append(run=run, epoch=1, rows=[row(1)], within=tx))
        assert await effects(store, run) == []
        assert await bodies(store, run) == []
        await store.append(Append(run=run, epoch=1, rows=[row(1)]))

    @pytest.mark.asyncio
    @pytest.mark.parametrize("change", [{"epoch": 2, "rows": [row(1)]}, {"epoch": 1, "rows": [row(7)]}], ids=str)
    async def test_where_the_result_is_refused_nothing_is_done(self, store: Store, change: Any) -> None:
        run = await with_table(store)
        tx = await store.begin(run, 1)
        await tx.execute(_INSERT, {"name": "a", "amount": 3})
        with pytest.raises((Fenced, EngineBug)):
            await store.append(Append(run=run, within=tx, **change))
        await tx.rollback()
        assert await effects(store, run) == []
        assert await bodies(store, run) == []

    @pytest.mark.asyncio
    async def test_who_does_not_own_the_run_begins_nothing(self, store: Store, other: Store) -> None:
        run = await with_table(store)
        for refused, epoch in ((store, 2), (other, 1)):
            with pytest.raises(Fenced):
                await refused.begin(run, epoch)
        await store.append(Append(run=run, epoch=1, rows=[row(1)]))
        assert await effects(store, run) == []

    @pytest.mark.asyncio
    async def test_statements_have_named_values_and_give_named_rows(self, store: Store) -> None:
        run = await with_table(store)
        tx = await store.begin(run, 1)
        many = [{"name": name, "amount": at} for at, name in enumerate("abc")]
        assert await tx.execute(_INSERT, many) == []
        await tx.execute(_EFFECTS.insert(), {"name": "d", "amount": 9})
        await tx.execute(_EFFECTS.update().where(_EFFECTS.c.name == "a").values(amount=5))
        query = sa.select(_EFFECTS.c.name, _EFFECTS.c.amount).where(_EFFECTS.c.amount > 1).order_by(_EFFECTS.c.name)
        rows = await tx.execute(query)
        assert [(found.name, found.amount) for found in rows] == [("a", 5), ("c", 2), ("d", 9)]
        assert [tuple(found) for found in await tx.execute("SELECT count(*) FROM effects")] == [(4,)]
        await tx.rollback()

    @pytest.mark.asyncio
    async def test_after_a_statement_that_failed_nothing_is_stored(self, store: Store) -> None:
        run = await with_table(store)
        tx = await store.begin(run, 1)
        await tx.execute(_INSERT, {"name": "a", "amount": 1})
        with pytest.raises(StoreError):
            await tx.execute(_INSERT, {"name": "a", "amount": 2})
        with pytest.raises(StoreError):
            await tx.check()
        await tx.rollback()
        assert await effects(store, run) == []
        await store.append(Append(run=run, epoch=1, rows=[row(1)]))

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        "statement", ["SELECT nothing FROM nowhere", "UPDATE runs SET epoch = 9", "DELETE FROM events", "COMMIT"]
    )
    async def test_what_a_node_must_not_do_is_refused(self, store: Store, statement: str) -> None:
        run = await with_table(store)
        tx = await store.begin(run, 1)
        with pytest.raises(StoreError):
            await tx.execute(statement)
        await tx.rollback()
        assert (await found(store)).epoch == 1
        assert len(await store.log(run)) == 1

    @pytest.mark.asyncio
    async def test_others_go_on_when_it_is_over(self, store: Store) -> None:
        run, another = await with_table(store), await started(store, "another")
        tx = await store.begin(run, 1)
        appending = asyncio.create_task(store.append(Append(run=another, epoch=1, rows=[row(1, "another")])))
        second = asyncio.create_task(store.begin(another, 1))
        await tx.execute(_INSERT, {"name": "a", "amount": 1})
        await store.append(Append(run=run, epoch=1, rows=[row(1)], within=tx))
        await asyncio.wait_for(appending, 30)
        later = await asyncio.wait_for(second, 30)
        await later.execute(_INSERT, {"name": "b", "amount": 1})
        await store.append(Append(run=another, epoch=1, rows=[row(2)], within=later))
        assert await effects(store, run) == ["a", "b"]
        assert await bodies(store, another) == ["another", "{}"]

    @pytest.mark.asyncio
    async def test_a_beginning_that_is_cancelled_leaves_nothing_open(self, store: Store) -> None:
        run = await with_table(store)
        for turns in range(12):
            beginning = asyncio.create_task(store.begin(run, 1))
            for _ in range(turns):
                await asyncio.sleep(0)
            beginning.cancel()
            try:
                tx = await beginning
            except asyncio.CancelledError:
                pass
            else:
                await tx.rollback()
            change = Append(run=run, epoch=1, rows=[row(turns + 1)])
            await asyncio.wait_for(store.append(change), 30)
        assert len(await bodies(store, run)) == 12

    @pytest.mark.asyncio
    async def test_a_transaction_of_another_store_is_refused(self, store: Store, other: Store) -> None:
        run, another = await with_table(store), await started(other, "another")
        tx = await store.begin(run, 1)
        with pytest.raises((StoreError, EngineBug)):
            await other.append(Append(run=another, epoch=1, rows=[row(1)], within=tx))
        await tx.rollback()
        assert await bodies(other, another) == []
