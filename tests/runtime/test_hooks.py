"""Hooks: told everything, in order, after it is durable; never heard of by a run."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import Context, Engine, Question, ask, events, node

from .common import Sheet, asked, both_stores, chain, database, done, url_of


@node(writes="text")
async def hello(text: str, ctx: Context) -> str:
    ctx.emit("hi")
    return f"hello {text}"


@ask(writes="ok")
async def confirm(text: str) -> Question[bool]:
    return Question("Well?")


letter = chain(hello, confirm, name="letter")


@both_stores
@pytest.mark.asyncio
async def test_hooks_are_told_every_event_in_order_sync_and_async(place: str, tmp_path: Path) -> None:
    told: list[events.RunEvent] = []
    awaited: list[events.RunEvent] = []
    stored: list[bool] = []

    async def slow(event: events.RunEvent) -> None:
        await asyncio.sleep(0)
        if not isinstance(event, events.LiveEvent):
            seq = int(event.cursor.split(".")[1])
            stored.append(bool(await engine.store.log(1, after=seq - 1, upto=seq)))
        awaited.append(event)

    async with Engine(url_of(place, tmp_path), graphs=[letter], hooks=[told.append, slow]) as engine:
        large = "ada" * 10_000  # kept as a blob
        run = await engine.start(letter, Sheet(text=large))
        asked(await run.wait())
        await run.answer("confirm", True)
        done(await run.wait())
        whole = [event async for event in run.events()]
    assert told == awaited
    assert isinstance(told[0], events.RunStarted)
    assert told[0].input["text"] == large
    assert all(stored)
    assert [e for e in told if not isinstance(e, events.Emitted)] == whole
    [said] = [e for e in told if isinstance(e, events.Emitted)]
    assert told[told.index(said) - 1].cursor == said.cursor


@pytest.mark.asyncio
async def test_a_hook_that_fails_is_logged_and_the_others_and_the_run_go_on(caplog: Any) -> None:
    told: list[str] = []

    def wrong(event: events.RunEvent) -> None:
        raise ValueError("a hook")

    async def wrong_later(event: events.RunEvent) -> None:
        await asyncio.sleep(0)
        raise KeyError("later")

    def right(event: events.RunEvent) -> None:
        told.append(type(event).__name__)

    graph = chain(hello)
    with caplog.at_level(logging.ERROR, "orchestra_graph.hooks"):
        async with Engine(graphs=[graph], hooks=[wrong, wrong_later, right]) as engine:
            done(await (await engine.start(graph, Sheet())).wait())
    assert told == ["RunStarted", "NodeStarted", "Emitted", "NodeFinished", "RunEnded"]
    assert len(caplog.records) == 2 * len(told)
    assert "wrong failed on a RunStarted of run" in caplog.text


@pytest.mark.asyncio
async def test_a_hook_that_hangs_holds_no_run_up() -> None:
    let_go = asyncio.Event()

    async def hangs(event: events.RunEvent) -> None:
        await let_go.wait()

    graph = chain(hello)
    async with Engine(graphs=[graph], hooks=[hangs]) as engine, asyncio.timeout(20):
        done(await (await engine.start(graph, Sheet())).wait())
        let_go.set()


@pytest.mark.asyncio
async def test_hooks_are_told_what_their_engine_drives_and_nothing_else(tmp_path: Path) -> None:
    first: list[events.RunEvent] = []
    second: list[events.RunEvent] = []
    async with Engine(database(tmp_path), graphs=[letter], hooks=[first.append]) as engine:
        asked(await (await engine.start(letter, Sheet(text="ada"), key="k")).wait())
    async with Engine(database(tmp_path), graphs=[letter], hooks=[second.append]) as engine:
        run = await engine.get("k", letter)
        await run.answer("confirm", True)
        assert second == []
        done(await run.wait())
        whole = [event async for event in run.events()]
    assert [e for e in first + second if not isinstance(e, events.Emitted)] == whole
    assert isinstance(first[-1], events.Waiting)
    assert isinstance(second[0], events.RunResumed)


@pytest.mark.asyncio
async def test_a_run_that_is_cancelled_where_it_rests_is_told_too() -> None:
    told: list[events.RunEvent] = []
    async with Engine(graphs=[letter], hooks=[told.append]) as engine:
        run = await engine.start(letter, Sheet(text="ada"))
        asked(await run.wait())
        await run.cancel()
        whole = [event async for event in run.events()]
    assert [e for e in told if not isinstance(e, events.Emitted)] == whole


def test_what_is_no_function_is_no_hook() -> None:
    with pytest.raises(TypeError, match=r"a hook is a function of an event, not 3"):
        Engine(hooks=[3])  # type: ignore[list-item]
