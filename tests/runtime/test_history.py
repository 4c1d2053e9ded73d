"""The steps of a run, and the state after each."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestra_graph import Engine, Graph, Item, Question, Retry, ask, node
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.run import RunState
from orchestra_graph.errors import UnknownStep
from orchestra_graph.runtime.blobs import read_events
from orchestra_graph.runtime.history import Change, state_so_far

from .common import Sheet, asked, both_stores, chain, database, done, failed, url_of, virtual
from .virtual import EPOCH, in_virtual_time


@node(writes="items")
async def plan() -> list[int]:
    return [5, 6, 7]


@node(writes="total")
async def work(item: Item[int]) -> int:
    return item


@ask(writes="ok")
async def confirm(total: int) -> Question[bool]:
    return Question("Well?", to="ana")


@node(writes="log")
async def turn(log: list[str]) -> str:
    return f"turn {len(log)}" + "x" * 20_000  # kept as a blob


def wide() -> Graph[Sheet]:
    graph = Graph(Sheet, name="wide")
    graph.start(plan)
    graph.each(plan, "items", work, collect=confirm)
    graph.edge(confirm, turn)
    graph.edge(turn, turn, when=lambda log: len(log) < 4)
    return graph


@both_stores
@pytest.mark.asyncio
async def test_the_state_at_each_step_is_the_fold_of_the_log_up_to_it(place: str, tmp_path: Path) -> None:
    graph = wide()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(text="t"), key="k")
        asked(await run.wait())
        await run.answer("confirm", True)
        final = done(await run.wait())
        steps = await run.history()
        rows = await engine.store.log(run._row.number)
        assert [s.number for s in steps] == [row.seq for row in rows] == list(range(len(rows)))
        folded = RunState.of(graph.compile())
        for step, event in zip(steps, await read_events(engine.store, rows, graph.compile()), strict=True):
            evolve(folded, event)
            assert await run.state_at(step.number) == state_so_far(folded)
        assert await run.state_at(0) == Sheet(text="t")
        assert await run.state_at(steps[-1].number) == final == await run.state()


@in_virtual_time
async def test_a_step_says_what_happened_to_whom_and_how_the_run_stood() -> None:
    broke: list[int] = []

    @node(writes="text", retry=Retry(attempts=2, delay=10, jitter=0))
    async def shaky() -> str:
        if not broke:
            broke.append(1)
            raise ConnectionError("down")
        return "x"

    graph = chain(shaky, confirm)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        await run.answer("confirm", False)
        done(await run.wait())
        steps = await run.history()
    assert [(s.what, s.id, s.node, s.writes, s.status, s.error) for s in steps] == [
        ("RunStarted", None, None, ("text", "count", "items", "log", "notes", "total"), "running", None),
        ("NodeFailed", "shaky", "shaky", (), "running", "ConnectionError: down"),
        ("NodeFinished", "shaky", "shaky", ("text",), "running", None),
        ("QuestionAsked", "confirm", "confirm", (), "waiting", None),
        ("RunResumed", None, None, (), "running", None),
        ("Answered", "confirm", "confirm", (), "running", None),
        ("NodeFinished", "confirm", "confirm", ("ok",), "running", None),
        ("RunEnded", None, None, (), "done", None),
    ]
    assert [s.at - EPOCH for s in steps[:4]] == [0, 0, 10, 10]


@pytest.mark.parametrize("step", [-1, 4, 10**9])
@pytest.mark.asyncio
async def test_a_step_that_is_not_there_is_named_with_those_that_are(step: int) -> None:
    graph = chain(plan, turn)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        done(await run.wait())
        with pytest.raises(UnknownStep, match=f"run 'k' has the steps 0 to 3, and no step {step}") as caught:
            await run.state_at(step)
        assert (caught.value.step, caught.value.last) == (step, 3)


@pytest.mark.asyncio
async def test_the_difference_of_two_steps_names_what_is_not_the_same() -> None:
    graph = wide()
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        steps = await run.history()
        planned = next(s.number for s in steps if s.node == "plan")
        asking = steps[-1].number
        assert await run.diff(0, planned) == [Change(field="items", before=[], after=[5, 6, 7])]
        assert await run.diff(planned, asking) == [Change(field="total", before=0, after=18)]
        assert await run.diff(asking, asking) == []
        await run.answer("confirm", True)
        done(await run.wait())
        [ok, log] = await run.diff(asking, (await run.history())[-1].number)
        assert ok == Change(field="ok", after=True, was_written=False)
        assert (log.field, log.before, len(log.after)) == ("log", [], 4)


@pytest.mark.asyncio
async def test_a_state_of_the_past_is_read_with_other_code_too_and_its_history_needs_none(tmp_path: Path) -> None:
    graph = chain(plan, turn, name="g")
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        done(await (await engine.start(graph, Sheet(), key="k")).wait())
    other = chain(turn, name="g")
    async with Engine(database(tmp_path), graphs=[other]) as engine:
        run = await engine.get("k", other)
        assert (await run.state_at(1)).items
        assert [s.node for s in await run.history()] == [None, "plan", "turn", None]


@pytest.mark.asyncio
async def test_the_status_of_a_step_follows_failures_and_retries() -> None:
    broken = [True]

    @node
    async def wrong() -> None:
        await asyncio.sleep(0)
        if broken:
            broken.clear()
            raise ValueError("no")

    graph = chain(wrong)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        failed(await run.wait())
        await run.retry()
        done(await run.wait())
        assert [(s.what, s.status) for s in await run.history()] == [
            ("RunStarted", "running"),
            ("NodeFailed", "running"),
            ("RunEnded", "failed"),
            ("RunRetried", "running"),
            ("NodeFinished", "running"),
            ("RunEnded", "done"),
        ]
