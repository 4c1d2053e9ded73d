"""What every store promises of what is removed, and of what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestra_graph.core.record import RunStatus
from orchestra_graph.store.base import Append, CachedRow, Form, Size, Snapshot, Store
from orchestra_graph.testing.contract.common import Stores, asked, found, message, new_run, question, row, started

__all__ = ["RetentionContract"]


async def ended(store: Store, key: str, at: float, status: RunStatus = "done", *, graph: str = "g") -> int:
    """A run that ended at some time; its number."""
    run = await started(store, key, graph=graph)
    last = replace(row(1), at=at)
    await store.append(Append(run=run, epoch=1, rows=[last], status=status, release=True))
    return run


def naming(*hashes: str) -> str:
    """The body of a result that names large values."""
    named = ",".join(f'"f{n}":"{name}"' for n, name in enumerate(hashes))
    return f'{{"writes":{{}},"blobs":{{"writes":{{{named}}}}}}}'


class RetentionContract(Stores):
    """One test for each promise about removing."""

    # -- prune ---------------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_old_runs_are_removed_the_oldest_first(self, store: Store) -> None:
        for key, at in (("b", 300.0), ("c", 400.0), ("a", 200.0)):
            await ended(store, key, at)
        assert await store.prune(before=400.0, status=["done"]) == ["a", "b"]
        assert [run.key for run in await store.runs()] == ["c"]
        assert await store.prune(before=400.0, status=["done"]) == []

    @pytest.mark.asyncio
    async def test_only_runs_of_the_named_kind_are_removed(self, store: Store) -> None:
        await ended(store, "done", 200.0)
        await ended(store, "failed", 200.0, "failed")
        await ended(store, "waiting", 200.0, "waiting")
        await ended(store, "cancelled", 200.0, "cancelled")
        await ended(store, "of h", 200.0, graph="h")
        assert await store.prune(before=1e12, status=["done"], graph="no") == []
        assert await store.prune(before=1e12, status=["done", "cancelled"], graph="g") == ["done", "cancelled"]
        assert await store.prune(before=1e12, status=[]) == []
        assert {run.key for run in await store.runs()} == {"failed", "waiting", "of h"}
        assert await store.prune(before=1e12, status=["waiting"]) == ["waiting"]

    @pytest.mark.asyncio
    async def test_a_run_that_somebody_drives_is_never_removed(self, store: Store, other: Store) -> None:
        run = await started(store)
        all_of_them: Sequence[RunStatus] = ("running", "waiting", "done")
        assert await other.prune(before=1e12, status=all_of_them) == []
        await store.append(Append(run=run, epoch=1, status="done"))
        assert await other.prune(before=1e12, status=all_of_them) == []
        await store.append(Append(run=run, epoch=1, release=True))
        assert await other.prune(before=1e12, status=all_of_them) == ["k"]

    @pytest.mark.asyncio
    async def test_a_run_that_is_running_is_never_removed(self, store: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, release=True))
        assert await store.prune(before=1e12, status=["running"]) == []
        assert (await store.claim(run)).epoch == 2

    @pytest.mark.asyncio
    async def test_runs_are_removed_in_batches(self, store: Store) -> None:
        for n in range(7):
            await ended(store, f"k{n}", 200.0 + n)
        batches = [await store.prune(before=1e12, status=["done"], limit=3) for _ in range(4)]
        assert batches == [["k0", "k1", "k2"], ["k3", "k4", "k5"], ["k6"], []]

    @pytest.mark.asyncio
    async def test_with_a_run_goes_all_that_belongs_to_it(self, store: Store) -> None:
        run = await asked(store, question())
        stays = await asked(store, question(), key="stays")
        for number in (run, stays):
            await store.send(message(run=number))
            full = Append(run=number, epoch=1, rows=[row(2)], snapshot=Snapshot(2, "S"), blobs={f"h{number}": "x"})
            await store.append(full)
        before = await store.sizes()
        await store.append(Append(run=run, epoch=1, status="done", release=True))
        assert await store.prune(before=1e12, status=["done"]) == ["k"]
        after = await store.sizes()
        for kind, rows in {"runs": 1, "events": 3, "snapshots": 1, "questions": 1, "messages": 1}.items():
            assert (before[kind].rows, after[kind].rows) == (2 * rows, rows), kind
        assert await store.find("k") is None
        assert await store.log(run) == []
        assert await store.inbox(run, taken=True) == []
        assert await store.questions(run, status=()) == []
        assert await store.snapshot(run) is None
        assert [q.key for q in await store.questions()] == ["stays"]
        assert [m.run for m in await store.inbox()] == [stays]
        assert await store.news({run: ["approve@0"]}) == []
        assert (await store.create(new_run()))[1], "the key is free"
        assert len(await store.log(stays)) == 3

    @pytest.mark.asyncio
    async def test_the_number_of_a_run_that_was_removed_is_never_given_to_another(self, store: Store) -> None:
        numbers = [await ended(store, f"k{n}", 200.0) for n in range(3)]
        for key in ("a", "b"):
            await store.prune(before=1e12, status=["done"])
            number = await ended(store, key, 200.0)
            assert number > max(numbers)
            numbers.append(number)
            assert len(await store.log(number)) == 2

    # -- tidy ----------------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_a_large_value_stays_as_long_as_a_run_names_it(self, store: Store) -> None:
        run, another = await started(store), await started(store, "another")
        await store.append(Append(run=run, epoch=1, rows=[row(1)], blobs={"h": "shared", "mine": "x"}))
        await store.append(Append(run=another, epoch=1, rows=[row(1)], blobs={"h": "shared"}))
        await store.append(Append(run=run, epoch=1, status="done", release=True))
        assert await store.tidy(now=1e9) == 0
        await store.prune(before=1e12, status=["done"])
        assert await store.tidy(now=1e9) == 1
        assert await store.blobs(["h", "mine"]) == {"h": "shared"}
        await store.append(Append(run=another, epoch=1, rows=[row(2)], blobs={"mine": "again"}))
        assert await store.blobs(["mine"]) == {"mine": "again"}

    @pytest.mark.asyncio
    async def test_a_large_value_stays_as_long_as_a_cached_result_names_it(self, store: Store) -> None:
        run = await started(store)
        cached = [CachedRow("long", naming("a", "b"), 500.0), CachedRow("short", naming("b", "c"), 200.0)]
        change = Append(run=run, epoch=1, rows=[row(1)], blobs={name: name for name in "abcd"}, cached=cached)
        await store.append(change)
        await store.append(Append(run=run, epoch=1, status="done", release=True))
        await store.prune(before=1e12, status=["done"])
        await store.tidy(now=300.0)
        assert await store.cached("long", 300.0) == naming("a", "b")
        assert sorted(await store.blobs("abcd")) == ["a", "b"]
        await store.tidy(now=500.0)
        assert await store.blobs("abcd") == {}
        assert await store.cached("long", 400.0) is None

    @pytest.mark.asyncio
    async def test_cached_results_whose_time_is_over_go(self, store: Store) -> None:
        run = await started(store)
        rows = [CachedRow("a", "1", 110.0), CachedRow("b", "2", 120.0), CachedRow("c", "3")]
        await store.append(Append(run=run, epoch=1, cached=rows))
        assert await store.tidy(now=110.0) == 1
        assert (await store.sizes())["cached"] == Size(2, 2)
        assert await store.cached("b", 110.0) == "2"
        assert await store.cached("c", 1e12) == "3"

    @pytest.mark.asyncio
    async def test_forms_that_no_run_has_go(self, store: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, form=Form("2", "f2", "{}")))
        assert await store.tidy(now=1e9) == 1
        assert await store.shape("f") is None
        assert await store.shape("f2") == "{}"
        assert (await started(store, "another")) != run
        assert await store.shape("f") == '{"nodes": []}'

    @pytest.mark.asyncio
    async def test_it_is_tidied_in_batches(self, store: Store) -> None:
        run = await started(store)
        cached = [CachedRow(f"c{n}", "x", 110.0) for n in range(3)]
        await store.append(Append(run=run, epoch=1, blobs={f"h{n}": "x" for n in range(4)}, cached=cached))
        await store.append(Append(run=run, epoch=1, status="done", release=True))
        await store.prune(before=1e12, status=["done"])
        counts = [await store.tidy(now=1e9, limit=2) for _ in range(5)]  # and the form of the graph
        assert counts == [2, 2, 2, 2, 0]

    # -- how much there is ---------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_sizes_are_of_every_kind(self, store: Store) -> None:
        kinds = {"runs", "events", "snapshots", "questions", "messages", "blobs", "cached"}
        empty = await store.sizes()
        assert set(empty) == kinds
        assert {size.rows for size in empty.values()} == {0}
        run = await asked(store, question())
        await store.send(message(run=run))
        snapshot, cached = Snapshot(2, "S" * 500), [CachedRow("c", "x" * 300)]
        much = Append(run=run, epoch=1, rows=[row(2, "ä" * 1000)], snapshot=snapshot, blobs={"h": "x" * 700})
        await store.append(replace(much, cached=cached))
        sizes = await store.sizes()
        rows = {"runs": 1, "events": 3, "snapshots": 1, "questions": 1, "messages": 1, "blobs": 1, "cached": 1}
        assert {kind: size.rows for kind, size in sizes.items()} == rows
        least = {"events": 2000, "snapshots": 500, "blobs": 700, "cached": 300, "messages": 7}
        for kind, bytes_ in least.items():
            found = sizes[kind].bytes
            assert found is None or bytes_ <= found <= bytes_ + 100, kind

    @pytest.mark.asyncio
    async def test_compacting_loses_nothing(self, store: Store, other: Store) -> None:
        await ended(store, "old", 200.0)
        run = await started(store)
        await store.prune(before=1e12, status=["done"])
        await store.compact()
        await store.append(Append(run=run, epoch=1, rows=[row(1)]))
        assert len(await other.log(run)) == 2
        assert (await found(other)).epoch == 1
