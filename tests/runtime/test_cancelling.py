"""A run that nobody drives is cancelled without its code."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestra_graph import Cancelled, Engine, Question, RunEnded, ask, events, node
from orchestra_graph.errors import UnknownRun

from .common import Sheet, asked, both_stores, chain, database, done, url_of


@node(writes="text")
async def hello(text: str) -> str:
    return f"hello {text}"


@ask(writes="ok")
async def confirm(text: str) -> Question[bool]:
    return Question("Well?")


letter = chain(hello, confirm, name="letter")


@pytest.mark.asyncio
async def test_a_run_whose_code_is_not_there_can_be_cancelled(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        asked(await (await engine.start(letter, Sheet(text="ada"), key="k")).wait())
    async with Engine(database(tmp_path)) as engine:
        await engine.cancel("k")
        run = await engine.get("k")
        assert await run.status() == "cancelled"
        assert await run.questions() == []
        told = [type(e).__name__ async for e in run.events()]
        assert told[-4:] == ["RunCancelled", "QuestionWithdrawn", "NodeWithdrawn", "RunEnded"]
        assert {a.status for a in (await run.record()).activations} == {"done", "withdrawn"}
        with pytest.raises(RunEnded, match="cancelled: it cannot be cancelled"):
            await run.cancel()
        row = await engine.store.find("k")
        assert row is not None
        assert row.owner is None
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        outcome = await (await engine.get("k", letter)).wait()
        assert isinstance(outcome, Cancelled)
        assert outcome.state.text == "hello ada"


@both_stores
@pytest.mark.asyncio
async def test_a_run_that_is_driven_here_is_interrupted(place: str, tmp_path: Path) -> None:
    ended = asyncio.Event()

    @node
    async def slow() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    graph = chain(slow)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        async for event in run.events():
            if isinstance(event, events.NodeStarted):
                break
        await asyncio.gather(run.cancel(), run.cancel(), return_exceptions=True)
        assert ended.is_set()
        assert await run.status() == "cancelled"


@pytest.mark.asyncio
async def test_one_that_is_done_or_unknown_is_not(tmp_path: Path) -> None:
    graph = chain(hello)
    async with Engine(database(tmp_path), graphs=[graph]) as engine, Engine(database(tmp_path)) as other:
        run = await engine.start(graph, Sheet(), key="k")
        with pytest.raises(UnknownRun):
            await other.cancel("x")
        done(await run.wait())
        with pytest.raises(RunEnded, match="done"):
            await other.cancel("k")
        row = await other.store.find("k")
        assert row is not None
        assert (row.owner, row.status) == (None, "done")


@pytest.mark.asyncio
async def test_one_that_another_engine_drives_is_ended_by_it(tmp_path: Path) -> None:
    ended = asyncio.Event()

    @node
    async def slow() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    graph = chain(slow)
    async with Engine(database(tmp_path), graphs=[graph]) as engine, Engine(database(tmp_path)) as other:
        run = await engine.start(graph, Sheet(text="kept"), key="k")
        async with asyncio.timeout(20):
            await other.cancel("k")
        assert ended.is_set()
        outcome = await run.wait()
        assert isinstance(outcome, Cancelled)
        assert outcome.state.text == "kept"
        wishes = await other.store.inbox(run._row.number, taken=True)
        assert [wish.taken is None for wish in wishes] == [False]
