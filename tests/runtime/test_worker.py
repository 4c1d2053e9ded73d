"""Workers on one database: who takes what, when, and what none of them does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Annotated, Any

import pytest

from orchestra_graph import Dead, Engine, Graph, Question, Resource, RunDead, RunEnded, ask, node
from orchestra_graph.errors import GraphChanged, StoreBusy
from orchestra_graph.runtime.worker import Told, Worker
from orchestra_graph.store.base import Append
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import MemoryDatabase

from .common import Sheet, chain, done, events
from .virtual import LoopClock, elapsed, in_virtual_time

LEASE = 30.0


class Store(MemoryStore):
    """Notes what is written through it, and refuses when it is told to."""

    def __init__(self, database: MemoryDatabase):
        super().__init__(database, clock=LoopClock(), lease=LEASE)
        self.refuses: dict[str, int] = {}  # how often, by method
        self.appends: list[Append] = []
        self.looks = 0

    def _maybe(self, method: str) -> None:
        if self.refuses.get(method, 0) > 0:
            self.refuses[method] -= 1
            raise StoreBusy(self.url, f"{method} is too much")

    async def append(self, change: Append) -> None:
        self._maybe("append")
        await super().append(change)
        self.appends.append(change)

    async def due(self, *args: Any, **more: Any) -> Any:
        self.looks += 1
        self._maybe("due")
        return await super().due(*args, **more)


class Site:
    """One database, and engines on it."""

    def __init__(self) -> None:
        self.database = MemoryDatabase(clock=LoopClock())

    def engine(self, *graphs: Graph[Any], **more: Any) -> Engine:
        return Engine(Store(self.database), graphs=graphs, clock=LoopClock(), **more)

    @asynccontextmanager
    async def worker(
        self, *graphs: Graph[Any], poll: float = 1.0, most: int = 100, **more: Any
    ) -> AsyncIterator[tuple[Engine, list[Told]]]:
        """An engine that works, and all that its worker says."""
        said: list[Told] = []
        async with self.engine(*graphs, **more) as engine:
            working = asyncio.create_task(Worker(engine, poll=poll, most=most, tell=said.append).go(until_idle=False))
            yield engine, said
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    def status(self, key: str) -> str:
        return self.database.by_key[key].row.status

    async def until(self, holds: Callable[[], object], within: float = 300.0) -> None:
        """Let time pass until something holds."""
        async with asyncio.timeout(within):
            while not holds():
                await asyncio.sleep(0.05)


def store_of(engine: Engine) -> Store:
    assert isinstance(engine.store, Store)
    return engine.store


def crash(engine: Engine) -> None:
    """The process of an engine is killed: it writes nothing more, and what it ran ends with it."""
    store_of(engine).crash()
    for driven in engine._driving.values():
        driven.task.cancel()


class Nodes:
    """A node that hangs until it is told to go on, and one that comes after it."""

    def __init__(self) -> None:
        self.go, self.began, self.cancelled = asyncio.Event(), 0, 0
        outer = self

        @node(writes="left")
        async def hang() -> str:
            outer.began += 1
            try:
                await outer.go.wait()
            except asyncio.CancelledError:
                outer.cancelled += 1
                raise
            return "left"

        @node(writes="right")
        async def after() -> str:
            return "right"

        self.graph = chain(hang, after, name="hanging")


@ask(writes="ok")
async def confirm() -> Question[bool]:
    return Question("Well?", expires_in=timedelta(hours=1))


asking = chain(confirm, name="asking")


def words(said: list[Told]) -> list[str]:
    return [f"{told.run} {told.what} {told.status or ''}".strip() for told in said]


# -- taking ------------------------------------------------------------------------------------------


@in_virtual_time
async def test_what_one_lets_go_another_takes_at_once() -> None:
    site, nodes = Site(), Nodes()
    async with site.worker(nodes.graph, poll=1000.0) as (_, said):
        await asyncio.sleep(50)
        async with site.engine(nodes.graph) as first:
            await first.start(nodes.graph, Sheet(), key="k")
            await site.until(lambda: nodes.began == 1)
        left = elapsed()
        await site.until(lambda: nodes.began == 2)
        assert elapsed() - left < 1  # long before its next look
        nodes.go.set()
        await site.until(lambda: site.status("k") == "done")
        assert words(said) == ["k taken", "k rests done"]


@in_virtual_time
async def test_the_runs_of_a_dead_engine_are_taken_when_its_lease_is_over_and_not_before() -> None:
    site, nodes = Site(), Nodes()
    async with site.worker(nodes.graph) as (_, said), site.engine(nodes.graph) as first:
        await first.start(nodes.graph, Sheet(), key="k")
        await site.until(lambda: nodes.began == 1)
        died = elapsed()
        crash(first)
        await site.until(lambda: nodes.began == 2)
        assert LEASE * 2 / 3 <= elapsed() - died <= LEASE + 1.1  # a lease and a look
        nodes.go.set()
        await site.until(lambda: site.status("k") == "done")
        assert words(said) == ["k taken", "k rests done"]


@in_virtual_time
async def test_a_run_is_driven_by_one_of_many_workers() -> None:
    site, ran = Site(), list[str]()

    @node
    async def work(text: str) -> None:
        ran.append(text)
        await asyncio.sleep(1)

    graph = chain(work, name="work")
    async with site.engine(graph) as first:
        for number in range(60):
            await first.start(graph, Sheet(text=str(number)), key=f"k{number}")
    ran.clear()
    async with site.worker(graph) as (_, one), site.worker(graph) as (_, two), site.worker(graph) as (_, three):
        await site.until(lambda: all(site.status(f"k{number}") == "done" for number in range(60)))
    assert sorted(ran, key=int) == [str(number) for number in range(60)]
    taken = [told.run for told in (*one, *two, *three) if told.what == "taken"]
    assert len(taken) == len(set(taken)) == 60


@in_virtual_time
async def test_no_more_are_driven_at_once_than_allowed_and_all_come_to_their_turn() -> None:
    site, running, highest = Site(), 0, 0

    @node
    async def work() -> None:
        nonlocal running, highest
        running += 1
        highest = max(highest, running)
        await asyncio.sleep(5)
        running -= 1

    graph = chain(work, name="work")
    async with site.engine(graph) as first:
        for number in range(7):
            await first.start(graph, Sheet(), key=f"k{number}")
    running = highest = 0
    async with site.worker(graph, most=2, poll=1000.0):
        await site.until(lambda: all(site.status(f"k{number}") == "done" for number in range(7)))
        assert elapsed() < 30  # whoever ends makes room at once
    assert highest == 2


@in_virtual_time
async def test_an_answer_wakes_a_worker_and_no_other_word_is_needed() -> None:
    site = Site()
    async with site.engine(asking) as first:
        await (await first.start(asking, Sheet(), key="k")).wait()
    async with site.worker(asking, poll=1000.0) as (_, said), site.engine() as person:
        await asyncio.sleep(10)
        assert said == []
        await (await person.get("k")).answer("confirm", True)
        answered = elapsed()
        await site.until(lambda: site.status("k") == "done")
        assert elapsed() - answered < 1
        assert words(said) == ["k taken", "k rests done"]


@in_virtual_time
async def test_a_question_that_expires_moves_its_run_though_nobody_says_anything() -> None:
    site = Site()
    async with site.engine(asking) as first:
        await (await first.start(asking, Sheet(), key="k")).wait()
    async with site.worker(asking, poll=60.0) as (_, said):
        await asyncio.sleep(3590)
        assert said == []
        await site.until(lambda: site.status("k") == "failed")
        assert elapsed() < 3600 + 61
        assert words(said) == ["k taken", "k rests failed"]


@in_virtual_time
async def test_one_that_waits_for_the_later_of_two_questions_is_taken_for_the_earlier_and_rests_again() -> None:
    @ask(writes="left")
    async def soon() -> Question[str]:
        return Question("?", expires_in=timedelta(minutes=10))

    @ask(writes="right")
    async def late() -> Question[str]:
        return Question("?", expires_in=timedelta(minutes=20))

    @node(writes="text")
    async def instead() -> str:
        return "nobody answered"

    graph, site = Graph(Sheet, name="two"), Site()
    graph.start([soon, late])
    graph.edge(soon, instead, on_error=Exception)
    graph.edge(late, instead, on_error=Exception)
    async with site.engine(graph) as first:
        await (await first.start(graph, Sheet(), key="k")).wait()
    async with site.worker(graph, poll=30.0) as (engine, said):
        await asyncio.sleep(15 * 60)
        assert words(said) == ["k taken", "k rests waiting"]
        await site.until(lambda: site.status("k") == "done", within=400)
        assert elapsed() < 20 * 60 + 31
        assert done(await (await engine.get("k", graph)).wait()).text == "nobody answered"


@in_virtual_time
async def test_until_idle_ends_when_only_people_can_move_what_is_left() -> None:
    site, nodes = Site(), Nodes()
    nodes.go.set()
    async with site.engine(asking) as first:
        await (await first.start(asking, Sheet(), key="asks")).wait()
    async with site.engine(nodes.graph) as first:
        await first.start(nodes.graph, Sheet(), key="k")
        crash(first)
    async with site.engine(nodes.graph, asking) as engine:
        await asyncio.sleep(LEASE + 1)
        await asyncio.wait_for(engine.work(until_idle=True), 60)
        assert (site.status("k"), site.status("asks")) == ("done", "waiting")
        row = await engine.store.find("k")
        assert row is not None
        assert (row.owner, row.claims) == (None, 0)


@in_virtual_time
async def test_who_stops_working_goes_on_driving_until_the_engine_is_left() -> None:
    site, nodes = Site(), Nodes()
    async with site.engine(nodes.graph) as first:
        await first.start(nodes.graph, Sheet(), key="k")
    async with site.engine(nodes.graph) as engine:
        working = asyncio.create_task(engine.work())
        await site.until(lambda: "k" in [d.drive.row.key for d in engine._driving.values()])
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        nodes.go.set()
        assert done(await (await engine.get("k", nodes.graph)).wait()).right == "right"


# -- leaving alone -----------------------------------------------------------------------------------


@in_virtual_time
async def test_a_run_that_the_code_does_not_fit_is_said_once_and_the_others_go_on() -> None:
    site, nodes = Site(), Nodes()
    nodes.go.set()

    @node
    async def another() -> None: ...

    @node
    async def fine() -> None: ...

    before, now, other = chain(confirm, fine, name="g"), chain(another, name="g"), chain(fine, name="fine")
    keys = [f"old{number}" for number in range(3)]
    async with site.engine(before) as first, site.engine() as person:
        for key in keys:
            await (await first.start(before, Sheet(), key=key)).wait()
            await (await person.get(key)).answer("confirm", True)
    async with site.worker(now, other, most=1) as (_, said):
        await asyncio.sleep(5)
        async with site.engine(other) as starter:
            await starter.start(other, Sheet(), key="new")
            crash(starter)
        await asyncio.sleep(500)
        assert site.status("new") == "done"
        assert sorted(told.run for told in said if told.what == "left") == keys  # each of them said once
        assert all("form of its graph" in told.why for told in said if told.what == "left")
        assert words(said)[-2:] == ["new taken", "new rests done"]


@in_virtual_time
async def test_a_run_without_its_resource_is_left_alone_and_does_not_keep_others_from_being_seen() -> None:
    site = Site()

    class Service:
        async def call(self) -> str:
            return "called"

    @node(writes="text")
    async def needs(service: Annotated[Service, Resource]) -> str:
        return await service.call()

    @node(writes="text")
    async def plain() -> str:
        return "plain"

    with_service, without = chain(confirm, needs, name="with"), chain(confirm, plain, name="without")
    async with site.engine(with_service, without, resources=[Service()]) as first:
        for number in range(5):
            await (await first.start(with_service, Sheet(), key=f"w{number}")).wait()
        await (await first.start(without, Sheet(), key="k")).wait()
    async with site.engine() as person:
        for key in [*(f"w{number}" for number in range(5)), "k"]:
            await (await person.get(key)).answer("confirm", True)
    async with site.worker(with_service, without, most=1) as (engine, said):
        await site.until(lambda: site.status("k") == "done")
        await asyncio.sleep(300)
        left = [told.run for told in said if told.what == "left"]
        assert sorted(left) == [f"w{number}" for number in range(5)]
        assert store_of(engine).appends == [a for a in store_of(engine).appends if a.run == 6]
    async with site.worker(with_service, without, resources=[Service()]):
        await site.until(lambda: all(site.status(f"w{number}") == "done" for number in range(5)))


@in_virtual_time
async def test_a_pinned_run_is_driven_by_its_version_only() -> None:
    site, nodes = Site(), Nodes()
    later = Graph(Sheet, name="hanging", version="2")

    @node(writes="left")
    async def hang() -> str:
        return "of version 2"

    @node(writes="right")
    async def after() -> str:
        return "right"

    later.start(hang)
    later.edge(hang, after)
    async with site.engine(nodes.graph) as first:
        await first.start(nodes.graph, Sheet(), key="pinned", pinned=True)
        await first.start(nodes.graph, Sheet(), key="free")
    async with site.worker(later) as (engine, _):
        await site.until(lambda: site.status("free") == "done")
        await asyncio.sleep(100)
        assert site.status("pinned") == "running"
        with pytest.raises(GraphChanged, match="pinned to version '1', and the code has version '2'"):
            await (await engine.get("pinned", later)).resume()
        assert (await (await engine.get("pinned", later)).state()).text == ""  # it can be read
    nodes.go.set()
    async with site.worker(nodes.graph):
        await site.until(lambda: site.status("pinned") == "done")


@in_virtual_time
async def test_an_idle_worker_looks_at_its_interval_and_a_busy_one_not_at_each_step() -> None:
    site = Site()

    @node(writes="count")
    async def step(count: int) -> int:
        return count + 1

    graph = Graph(Sheet, name="loop")
    graph.start(step)
    graph.edge(step, step, when=lambda count: count < 300)
    async with site.worker(graph, poll=10.0) as (engine, _):
        await asyncio.sleep(1000)
        assert 90 <= store_of(engine).looks <= 110
        before = store_of(engine).looks
        await (await engine.start(graph, Sheet(), key="k")).result()
        assert store_of(engine).looks - before < 10


# -- a store that fails ------------------------------------------------------------------------------


@in_virtual_time
async def test_a_store_that_fails_is_asked_again() -> None:
    site, nodes = Site(), Nodes()
    nodes.go.set()
    async with site.worker(nodes.graph, poll=5.0) as (engine, _):
        store_of(engine).refuses["due"] = 6
        async with site.engine(nodes.graph) as first:
            await first.start(nodes.graph, Sheet(), key="k")
            crash(first)
        await site.until(lambda: site.status("k") == "done")


@in_virtual_time
async def test_a_run_whose_step_could_not_be_stored_is_driven_on_in_the_same_epoch() -> None:
    site, nodes = Site(), Nodes()
    async with site.engine(nodes.graph) as first:
        await first.start(nodes.graph, Sheet(), key="k")
        await site.until(lambda: nodes.began == 1)
    async with site.worker(nodes.graph) as (engine, said):
        await site.until(lambda: nodes.began == 2)
        epoch = site.database.by_key["k"].row.epoch
        store_of(engine).refuses["append"] = 3
        nodes.go.set()
        await site.until(lambda: site.status("k") == "done")
        row = site.database.by_key["k"].row
        assert (row.epoch, row.claims) == (epoch, 0)
        assert [told.what for told in said] == ["taken", "later", "taken", "taken", "taken", "rests"]
        assert "append is too much" in said[1].why  # said once


# -- losing ------------------------------------------------------------------------------------------


@in_virtual_time
async def test_who_is_stopped_past_its_lease_has_its_nodes_cancelled_when_it_wakes_and_writes_nothing() -> None:
    site, nodes = Site(), Nodes()
    async with site.engine(nodes.graph) as stopped:
        run = await stopped.start(nodes.graph, Sheet(), key="k")
        await site.until(lambda: nodes.began == 1)
        store_of(stopped).pause()
        async with site.worker(nodes.graph):
            await site.until(lambda: nodes.began == 2)
            assert nodes.cancelled == 0
            store_of(stopped).resume()
            await site.until(lambda: nodes.cancelled == 1)
            assert stopped._driving == {}
            nodes.go.set()
            assert done(await run.wait()).right == "right"
            assert not any(append.rows for append in store_of(stopped).appends)


@in_virtual_time
async def test_a_result_that_comes_before_the_news_of_the_loss_is_refused() -> None:
    site, nodes = Site(), Nodes()
    async with site.engine(nodes.graph) as stopped:
        run = await stopped.start(nodes.graph, Sheet(), key="k")
        await site.until(lambda: nodes.began == 1)
        store_of(stopped).pause()
        async with site.worker(nodes.graph):
            await site.until(lambda: nodes.began == 2)
            nodes.go.set()
            await site.until(lambda: site.status("k") == "done")
            assert stopped._driving == {}
            assert store_of(stopped).appends == []
            assert done(await run.wait()).right == "right"
        assert await events(run, "NodeFinished") == ["NodeFinished", "NodeFinished"]


@in_virtual_time
async def test_a_worker_that_may_have_lost_its_runs_and_has_not_takes_them_again() -> None:
    site, nodes = Site(), Nodes()
    async with site.engine(nodes.graph) as first:
        await first.start(nodes.graph, Sheet(), key="k")
    async with site.worker(nodes.graph) as (engine, said):
        await site.until(lambda: nodes.began == 2)
        epoch = site.database.by_key["k"].row.epoch
        assert engine.store.lost is not None
        engine.store.lost([site.database.by_key["k"].row.number, 99])  # the store could not be reached for a while
        await site.until(lambda: nodes.began == 3)
        assert nodes.cancelled == 2
        nodes.go.set()
        await site.until(lambda: site.status("k") == "done")
        assert site.database.by_key["k"].row.epoch == epoch
        assert words(said) == ["k taken", "k rests running", "k taken", "k rests done"]


# -- killers -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_run_that_kills_each_of_its_owners_is_parked_and_a_retry_revives_it() -> None:
    site, nodes = Site(), Nodes()
    async with site.engine(nodes.graph) as first:
        await first.start(nodes.graph, Sheet(), key="k")
        await site.until(lambda: nodes.began == 1)
        crash(first)
    for death in range(2, 4):
        async with site.worker(nodes.graph, max_claims=2) as (engine, said):
            await site.until(lambda: nodes.began == death)  # noqa: B023
            crash(engine)
    async with site.worker(nodes.graph, max_claims=2) as (engine, said):
        await site.until(lambda: site.status("k") == "dead")
        await asyncio.sleep(200)
        assert nodes.began == 3
        assert words(said) == ["k rests dead"]
        run = await engine.get("k", nodes.graph)
        outcome = await run.wait()
        assert isinstance(outcome, Dead)
        assert (outcome.reason, outcome.deaths) == ("was running `hang` when 3 owners in a row died", 3)
        assert "was running `hang` when 3 owners in a row died" in str(await run.explain())
        with pytest.raises(RunDead, match="is dead: was running `hang`"):
            await run.result()
        row = await engine.store.find("k")
        assert row is not None
        assert (row.owner, row.claims) == (None, 0)
        told = [event async for event in run.events()]
        assert getattr(told[-1], "status", None) == "dead"
        assert "3 owners" in getattr(told[-1], "reason", "")
        nodes.go.set()
        await run.retry()
        assert (await run.result()).right == "right"


@in_virtual_time
async def test_owners_that_die_while_the_run_gets_on_are_forgotten() -> None:
    site, began = Site(), 0

    def step(name: str) -> Any:
        @node(name=name)
        async def work() -> None:
            nonlocal began
            if name == "a1":
                began += 1
                await asyncio.Event().wait()

        return work

    graph = chain(*(step(f"a{number}") for number in range(2)), name="line")
    async with site.engine(graph) as first:
        await first.start(graph, Sheet(), key="k")
        crash(first)
    for death in range(1, 4):
        async with site.worker(graph, max_claims=2) as (engine, _):
            await site.until(lambda: began == death)  # noqa: B023
            # The first one that took it has brought it one node farther, so its own death is the first one again.
            assert site.database.by_key["k"].row.claims == death - 1
            crash(engine)
    async with site.worker(graph, max_claims=2):
        await site.until(lambda: site.status("k") == "dead")
    assert began == 3


# -- cancelling --------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_run_that_another_engine_drives_is_cancelled_by_a_message() -> None:
    site, nodes = Site(), Nodes()
    async with site.engine(nodes.graph) as owner, site.engine() as other:
        run = await owner.start(nodes.graph, Sheet(text="kept"), key="k")
        await site.until(lambda: nodes.began == 1)
        await asyncio.gather(other.cancel("k"), other.cancel("k"), return_exceptions=True)
        assert elapsed() < 1
        assert nodes.cancelled == 1
        assert (await run.state()).text == "kept"
        assert site.status("k") == "cancelled"
        assert set(await events(run, "RunCancelled")) == {"RunCancelled"}
        [wish, *_] = await owner.store.inbox(run._row.number, taken=True)
        rows = await owner.store.log(run._row.number)
        assert wish.taken is not None
        assert rows[wish.taken].kind == "RunCancelled"
        with pytest.raises(RunEnded):
            await other.cancel("k")


@in_virtual_time
async def test_a_wish_to_cancel_whose_owner_dies_is_carried_out_by_whoever_wished() -> None:
    site, nodes = Site(), Nodes()
    async with site.engine(nodes.graph) as owner, site.engine() as other:
        await owner.start(nodes.graph, Sheet(), key="k")
        await site.until(lambda: nodes.began == 1)
        crash(owner)
        await other.cancel("k")
        assert elapsed() > LEASE / 2
        run = await other.get("k")
        assert await run.status() == "cancelled"
        assert await other.store.inbox(run._row.number) == []


@in_virtual_time
async def test_a_wish_to_cancel_whose_wisher_is_gone_is_heard_by_the_next_owner() -> None:
    site, nodes = Site(), Nodes()
    async with site.engine(nodes.graph) as owner, site.engine() as other:
        await owner.start(nodes.graph, Sheet(), key="k")
        await site.until(lambda: nodes.began == 1)
        crash(owner)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.cancel("k"), 2)
    async with site.worker(nodes.graph) as (_, said):
        await site.until(lambda: site.status("k") == "cancelled")
        assert words(said) == ["k taken", "k rests cancelled"]
    assert nodes.began <= 2


# -- one key -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_fifty_who_start_one_key_have_one_run() -> None:
    site, nodes = Site(), Nodes()
    nodes.go.set()
    async with site.engine(nodes.graph) as one, site.engine(nodes.graph) as two:
        runs = await asyncio.gather(
            *((one, two)[number % 2].start(nodes.graph, Sheet(text="same"), key="k") for number in range(50))
        )
        states = await asyncio.gather(*(run.result() for run in runs))
    assert {state.right for state in states} == {"right"}
    assert nodes.began == 1
    assert len(site.database.runs) == 1
