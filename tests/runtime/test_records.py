"""What happened in a run, read from the log alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestra_graph import Engine, Graph, Item, Limits, Question, Retry, ask, first, node
from orchestra_graph.errors import StoreBroken
from orchestra_graph.runtime.records import outline, record_of, shape_of

from .common import Sheet, asked, database, done, failed, stopped, until_asked, virtual
from .virtual import EPOCH, in_virtual_time


def wide() -> Graph[Sheet]:
    @node(writes="items")
    async def plan() -> list[int]:
        return [5, 6]

    @node(writes="total", retry=Retry(attempts=2, delay=10, jitter=0))
    async def work(item: Item[int]) -> int:
        if item == 6 and not broke:
            broke.append(item)
            raise ConnectionError("down")
        return item

    @ask(writes="ok")
    async def confirm(total: int) -> Question[bool]:
        return Question("Well?", to="ana")

    @node
    async def never() -> None: ...

    @node(writes="count")
    async def turn(count: int) -> int:
        return count + 1

    broke: list[int] = []
    graph = Graph(Sheet, name="wide", version="7")
    graph.start(plan)
    graph.each(plan, "items", work, collect=confirm)
    graph.switch(confirm, "ok", {True: turn, False: never})
    graph.edge(turn, turn, when=lambda count: count < 2)
    return graph


@in_virtual_time
async def test_a_record_has_every_activation_with_its_times_attempts_and_turns() -> None:
    graph = wide()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        asked(await run.wait())
        record = await run.record()
        assert (record.key, record.graph, record.version, record.status) == ("k", "wide", "7", "waiting")
        assert (record.started, record.ended, record.steps) == (EPOCH, None, 3)
        found = {a.id: a for a in record.activations}
        assert list(found) == ["plan", "work#0", "work#1", "confirm"]
        assert (found["work#1"].attempts, found["work#1"].status, found["work#1"].ended) == (2, "done", EPOCH + 10)
        assert (found["confirm"].status, found["confirm"].waiting_for) == ("waiting", "ana")
        assert found["confirm"].started == EPOCH + 10
        await asyncio.sleep(50)
        await run.answer("confirm", True)
        await run.wait()
        record = await run.record()
        found = {a.id: a for a in record.activations}
        assert (record.status, record.ended, record.steps) == ("done", EPOCH + 60, 6)
        assert (found["confirm"].status, found["confirm"].ended) == ("done", EPOCH + 60)
        assert [(a.id, a.turn) for a in record.activations[-2:]] == [("turn@0", 0), ("turn@1", 1)]
        shape = await shape_of(engine.store, run._row)
        taken = {
            (shape["nodes"][e["from"]]["name"], shape["nodes"][e["to"]]["name"]): record.taken.get(i, 0)
            for i, e in enumerate(shape["edges"])
        }
        assert taken["START", "plan"] == 1
        assert taken["plan", "work"] == 2
        assert taken["work", "confirm"] == 2
        assert taken["confirm", "turn"] == 1
        assert taken["confirm", "never"] == 0
        assert taken["turn", "turn"] == 1


@pytest.mark.asyncio
async def test_a_record_shows_what_runs_what_failed_and_what_waits_for_its_time() -> None:
    go = asyncio.Event()
    broken = [True]

    @node(retry=Retry(attempts=2, delay=1000))
    async def later_again() -> None:
        raise ConnectionError("down")

    @node
    async def wrong() -> None:
        await go.wait()
        if broken:
            raise ValueError("no")

    @node
    async def slow() -> None:
        await go.wait()

    @ask(writes="ok")
    async def confirm() -> Question[bool]:
        return Question("Well?")

    graph = Graph(Sheet, name="g")
    graph.start([later_again, wrong, slow, confirm])
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        await until_asked(run)
        status = {a.id: (a.status, a.attempts) for a in (await run.record()).activations}
        assert status == {
            "later_again": ("retrying", 2),
            "wrong": ("running", 1),
            "slow": ("running", 1),
            "confirm": ("waiting", 1),
        }
        go.set()
        failed(await run.wait())
        record = await run.record()
        found = {a.id: a for a in record.activations}
        assert record.status == "failed"
        assert (found["wrong"].status, found["wrong"].error) == ("failed", "ValueError: no")
        assert found["slow"].status == "done"
        assert found["confirm"].waiting_for == "a person"
        await run.cancel()
        assert {a.status for a in (await run.record()).activations} == {"done", "withdrawn"}


@pytest.mark.asyncio
async def test_what_a_limit_kept_from_starting_is_ready(tmp_path: Path) -> None:
    graph = wide()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k", limits=Limits(steps=1))
        stopped(await run.wait())
        before = await run.record()
    async with Engine(database(tmp_path)) as engine:  # without the code
        run_again = await engine.get("k")
        record = await run_again.record()
    assert record == before
    assert [(a.id, a.status) for a in record.activations] == [
        ("plan", "done"),
        ("work#0", "ready"),
        ("work#1", "ready"),
    ]


@pytest.mark.asyncio
async def test_a_run_whose_form_is_gone_is_broken(tmp_path: Path) -> None:
    graph = wide()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k", limits=Limits(steps=1))
        stopped(await run.wait())

        async def nothing(fingerprint: str) -> None:
            return None

        engine.store.shape = nothing  # type: ignore[method-assign]
        with pytest.raises(StoreBroken, match="the form of the graph of run 'k' is missing"):
            await record_of(engine.store, run._row)


def test_an_outline_has_the_same_regions_as_the_graph_itself() -> None:
    plan = wide().compile()
    made = outline(plan.shape, plan.name, plan.version)
    assert [n.name for n in made.nodes] == [n.name for n in plan.nodes]
    assert made.topology.chain == plan.topology.chain
    assert made.topology.masks == plan.topology.masks
    assert [(e.source, e.target, e.kind) for e in made.edges] == [(e.source, e.target, e.kind) for e in plan.edges]


@pytest.mark.asyncio
async def test_a_failure_that_the_run_went_on_without_is_shown_as_one() -> None:
    """Taken by an edge, or done without by a join; what was only withdrawn is not."""

    @node(writes="text")
    async def handled() -> str:
        raise ValueError("handled")

    @node
    async def spared() -> None:
        raise ValueError("spared")

    @node
    async def quick() -> None: ...

    @node
    async def slow() -> None:
        await asyncio.Event().wait()

    @node
    async def meet() -> None: ...

    @node
    async def mend() -> None: ...

    graph = Graph(Sheet, name="g")
    graph.start([handled, spared, quick, slow])
    graph.edge(handled, mend, on_error=ValueError)
    graph.edge([spared, quick, slow], meet)
    graph.join(meet, first(cancel_rest=True))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        done(await run.wait())
        record = await run.record()
        assert {a.id: a.status for a in record.activations} == {
            "handled": "failed",
            "spared": "failed",
            "quick": "done",
            "slow": "withdrawn",
            "meet": "done",
            "mend": "done",
        }
        assert all(a.ended is not None for a in record.activations)
