"""What every store promises of several engines on the same runs: who owns a run, and which ones wait for somebody."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import RunOwned, StoreClosed
from orchestra_graph.store.base import Append, Fenced, Store
from orchestra_graph.testing.contract.common import (
    Place,
    Stores,
    asked,
    bodies,
    found,
    message,
    new_run,
    question,
    row,
    started,
)

__all__ = ["FleetsContract"]


async def due(store: Store, now: float = 500.0, **graphs: str) -> list[str]:
    """The keys of the runs that wait for somebody to drive them."""
    return [run.key for run in await store.due(graphs or {"g": "1"}, now=now)]


async def rests(store: Store, run: int, epoch: int = 1, *, due_at: float | None = None) -> None:
    """Let a run wait, driven by nobody."""
    await store.append(Append(run=run, epoch=epoch, status="waiting", due_at=due_at, release=True))


class FleetsContract(Stores):
    """One test for each promise about owners that live, die and hand over."""

    # -- who owns a run ------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_two_stores_are_two_owners(self, store: Store, other: Store) -> None:
        run = await asked(store, question())
        with pytest.raises(RunOwned, match="'k'"):
            await other.claim(run)
        with pytest.raises(Fenced):
            await other.append(Append(run=run, epoch=1, rows=[row(2)]))
        assert (await other.answer(run, "approve@0", "true", 110.0)).status == "answered"
        assert (await store.answer(run, "approve@0", "false", 110.0)).answer == "true"
        there, created = await other.create(new_run())
        assert not created
        assert there.number == run
        await store.append(Append(run=run, epoch=1, rows=[row(2)], release=True))
        assert (await other.claim(run)).epoch == 2
        with pytest.raises(Fenced):
            await store.append(Append(run=run, epoch=1, rows=[row(3)]))

    @pytest.mark.asyncio
    async def test_a_dead_owner_is_replaced_and_writes_nothing_any_more(self, store: Store, other: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(1, "kept")]))
        await self.kill(store)
        taken = await other.claim(run)
        assert (taken.epoch, taken.claims) == (2, 1)
        assert taken == await found(other)
        with pytest.raises((Fenced, StoreClosed)):
            await store.append(Append(run=run, epoch=1, rows=[row(2, "late")], status="done", release=True))
        await other.append(Append(run=run, epoch=2, rows=[row(2, "new")]))
        assert await bodies(other, run) == ["kept", "new"]
        assert (await found(other)).status == "running"

    @pytest.mark.asyncio
    async def test_of_several_that_would_replace_a_dead_owner_one_does(self, place: Place, store: Store) -> None:
        run = await started(store)
        await self.kill(store)
        async with place() as first, place() as second, place() as third:
            claims = await asyncio.gather(*(s.claim(run) for s in (first, second, third)), return_exceptions=True)
            won = [claim for claim in claims if not isinstance(claim, BaseException)]
            assert [(claim.epoch, claim.claims) for claim in won] == [(2, 1)]
            assert sorted(type(claim).__name__ for claim in claims) == ["RunOwned", "RunOwned", "RunRow"]

    @pytest.mark.asyncio
    async def test_owners_that_died_are_counted_until_something_moves(self, place: Place, store: Store) -> None:
        run = await started(store)
        await self.kill(store)
        async with place() as second:
            assert (await second.claim(run)).claims == 1
            await second.append(Append(run=run, epoch=2, rows=[row(1)]))
            await self.kill(second)
            async with place() as third:
                assert (await third.claim(run)).claims == 2
                assert (await third.claim(run)).claims == 2
                await third.append(Append(run=run, epoch=3, rows=[row(2)], moved=True))
                assert (await found(third)).claims == 0
                await self.kill(third)
                async with place() as fourth:
                    assert (await fourth.claim(run)).claims == 1

    @pytest.mark.asyncio
    async def test_owners_that_give_up_are_not_counted(self, place: Place, store: Store, other: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, release=True))
        async with place() as second:
            assert (await second.claim(run)).claims == 0
        assert (await other.claim(run)).claims == 0
        assert (await found(other)).epoch == 3

    @pytest.mark.asyncio
    async def test_what_is_refused_because_the_owner_changed_leaves_nothing(self, store: Store, other: Store) -> None:
        run = await asked(store, question())
        await store.send(message(run=run))
        await self.kill(store)
        await other.claim(run)
        late = Append(
            run=run,
            epoch=1,
            rows=[row(2)],
            blobs={"late": "x"},
            closed=[("approve@0", "withdrawn")],
            taken=[("m", 2)],
            moved=True,
            status="waiting",
            due_at=1.0,
        )
        with pytest.raises((Fenced, StoreClosed)):
            await store.append(late)
        with pytest.raises(Fenced):
            await other.append(late)
        assert await other.blobs(["late"]) == {}
        assert len(await other.questions(run)) == len(await other.inbox(run)) == 1
        assert (await found(other)).claims == 1

    # -- which runs wait for somebody ----------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_a_run_that_is_driven_waits_for_nobody(self, store: Store, other: Store) -> None:
        run = await started(store)
        assert await due(store) == await due(other) == []
        await store.append(Append(run=run, epoch=1, release=True))
        assert await due(store) == await due(other) == ["k"]
        await other.claim(run)
        assert await due(store) == await due(other) == []

    @pytest.mark.asyncio
    @pytest.mark.parametrize("status", ["done", "failed", "cancelled", "stopped", "dead"])
    async def test_a_run_that_ended_waits_for_nobody(self, store: Store, status: RunStatus) -> None:
        run = await asked(store, question())
        await store.append(Append(run=run, epoch=1, status=status, release=True))
        await store.answer(run, "approve@0", "true", 110.0)
        assert await due(store) == []

    @pytest.mark.asyncio
    async def test_what_a_dead_engine_drove_waits_for_another(self, store: Store, other: Store) -> None:
        await started(store)
        await self.kill(store)
        assert await due(other) == ["k"]

    @pytest.mark.asyncio
    async def test_an_answer_makes_a_run_that_waits_due(self, store: Store, other: Store) -> None:
        run = await asked(store, question("a"), question("b"))
        await rests(store, run)
        assert await due(store) == []
        await other.answer(run, "a", "true", 110.0)
        assert await due(store) == await due(other) == ["k"]
        await other.claim(run)
        await rests(other, run, 2)
        assert await due(store) == [], "it was known from the claim on"
        await other.answer(run, "a", "false", 111.0)
        assert await due(store) == [], "an answer that came second says nothing"

    @pytest.mark.asyncio
    async def test_an_answer_that_comes_just_before_a_run_rests_is_not_lost(self, store: Store, other: Store) -> None:
        run = await asked(store, question())
        await other.answer(run, "approve@0", "true", 110.0)
        await rests(store, run)
        assert await due(other) == ["k"]

    @pytest.mark.asyncio
    async def test_an_answer_after_a_claim_is_news_again(self, store: Store, other: Store) -> None:
        run = await asked(store, question("a"), question("b"))
        await rests(store, run)
        await store.answer(run, "a", "1", 110.0)
        await other.claim(run)
        await store.answer(run, "b", "2", 111.0)
        await rests(other, run, 2)
        assert await due(store) == ["k"]
        await store.claim(run)
        await store.claim(run)
        await rests(store, run, 3)
        assert await due(store) == []

    @pytest.mark.asyncio
    async def test_what_the_owner_itself_claims_again_is_known_too(self, store: Store) -> None:
        run = await asked(store, question())
        await store.answer(run, "approve@0", "true", 110.0)
        await store.claim(run)
        await rests(store, run)
        assert await due(store) == []

    @pytest.mark.asyncio
    async def test_a_message_makes_a_run_that_waits_due(self, store: Store, other: Store) -> None:
        run = await started(store)
        await rests(store, run)
        await other.send(message(run=run))
        assert await due(store) == ["k"]
        await store.claim(run)
        await rests(store, run, 2)
        assert await due(store) == []
        await other.send(message(run=run))
        assert await due(store) == [], "it was the same message"

    @pytest.mark.asyncio
    async def test_an_answer_whose_finder_died_is_looked_at_by_another(self, store: Store, other: Store) -> None:
        run = await asked(store, question())
        await rests(store, run)
        await store.answer(run, "approve@0", "true", 110.0)
        await store.claim(run)
        await self.kill(store)
        assert await due(other) == ["k"]
        assert (await other.claim(run)).claims == 1

    @pytest.mark.asyncio
    async def test_an_answer_whose_finder_lets_go_is_looked_at_by_another(self, store: Store, other: Store) -> None:
        run = await asked(store, question())
        await rests(store, run)
        await other.answer(run, "approve@0", "true", 110.0)
        claimed = await store.claim(run)  # and what it was claimed for could not be read
        await store.append(Append(run=run, epoch=claimed.epoch, release=True))
        assert await due(other) == ["k"]

    @pytest.mark.asyncio
    async def test_an_answer_whose_finder_closed_is_looked_at_by_another(self, place: Place, other: Store) -> None:
        async with place() as store:
            run = await asked(store, question())
            await rests(store, run)
            await store.answer(run, "approve@0", "true", 110.0)
            await store.claim(run)
        assert await due(other) == ["k"]

    @pytest.mark.asyncio
    async def test_a_run_can_wait_for_a_time(self, store: Store) -> None:
        run = await started(store)
        await rests(store, run, due_at=300.0)
        assert await due(store, 299.9) == []
        assert await due(store, 300.0) == ["k"]
        await store.claim(run)
        await rests(store, run, 2)
        assert await due(store, 1e12) == [], "the time is that of the status before"

    @pytest.mark.asyncio
    async def test_due_are_the_runs_of_the_graphs_that_one_has(self, store: Store) -> None:
        for key, graph, version, pinned in (
            ("free", "g", "1", False),
            ("pinned", "g", "1", True),
            ("newer", "g", "2", True),
            ("another", "h", "1", False),
        ):
            new = replace(new_run(key, graph=graph), version=version, pinned=pinned)
            run, _ = await store.create(new)
            assert (run.version, run.pinned) == (version, pinned)
            await store.append(Append(run=run.number, epoch=1, release=True))
        assert await due(store) == ["free", "pinned"]
        assert await due(store, g="2") == ["free", "newer"]
        assert await due(store, g="3") == ["free"]
        assert sorted(await due(store, g="2", h="1")) == ["another", "free", "newer"]
        assert await store.due({}, now=500.0) == []

    @pytest.mark.asyncio
    async def test_those_that_have_waited_longest_come_first(self, store: Store) -> None:
        for key, at in (("second", 200.0), ("third", 300.0), ("first", 100.0)):
            run, _ = await store.create(new_run(key, at=at))
            await store.append(Append(run=run.number, epoch=1, release=True))
        assert await due(store) == ["first", "second", "third"]
        assert [run.key for run in await store.due({"g": "1"}, now=500.0, limit=2)] == ["first", "second"]

    @pytest.mark.asyncio
    async def test_what_is_due_is_given_as_it_is_listed(self, store: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, release=True))
        assert await store.due({"g": "1"}, now=500.0) == await store.runs()
