"""Replays: the log folded once more says the same, or says where not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestra_graph import Engine, Graph, Run, node, until
from orchestra_graph.core.snapshot import freeze
from orchestra_graph.runtime import scribe
from orchestra_graph.store.base import Append, Snapshot
from tests.graph.programs import Case, write

from .common import Sheet, both_stores, chain, done, failed, url_of, virtual
from .virtual import in_virtual_time

limit = {"value": 3}


@node(writes="total")
async def turn(total: int) -> int:
    return 1


def loop() -> Graph[Sheet]:
    graph = Graph(Sheet, name="loop")
    graph.start(turn)
    graph.edge(turn, turn, when=lambda total: total < limit["value"])
    return graph


async def append(engine: Engine, run: Run[Any], **change: Any) -> None:
    row = await engine.store.claim(run._row.number)
    await engine.store.append(Append(run=row.number, epoch=row.epoch, release=True, **change))


@both_stores
@pytest.mark.asyncio
async def test_a_run_replays_to_the_same_with_every_choice(place: str, tmp_path: Path) -> None:
    graph = loop()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        done(await run.wait())
        before = await engine.store.log(run._row.number), await engine.store.find("k")
        replay = await run.replay()
        assert (replay.same, replay.rows, replay.choices, replay.status) == (True, 5, 3, "done")
        assert str(replay) == "run k replays to the same: 5 rows, 3 choices, done"
        assert (await engine.store.log(run._row.number), await engine.store.find("k")) == before


@pytest.mark.asyncio
async def test_a_condition_that_says_something_else_now_is_found() -> None:
    graph = loop()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        done(await run.wait())
        limit["value"] = 2
        try:
            replay = await run.replay()
        finally:
            limit["value"] = 3
        assert not replay.same
        assert replay.differences == ("row 2, turn@1: where it goes: ['turn'] was recorded, ['END'] comes out now",)
        assert str(replay).startswith("run k does not replay to the same: ")


@pytest.mark.asyncio
async def test_a_condition_that_raises_now_is_found() -> None:
    said: list[object] = [1, 1, 1]

    @node(writes="ok")
    async def one() -> bool:
        return True

    @node(writes="text")
    async def two() -> str:
        return "two"

    def on(ok: bool) -> bool:
        return bool(said[0])

    graph = Graph(Sheet, name="line")
    graph.start(one)
    graph.edge(one, two, when=on)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        done(await run.wait())
        said.clear()
        (difference,) = (await run.replay()).differences
        assert difference == "row 1, one: choosing again raised IndexError: list index out of range"


@in_virtual_time
async def test_what_an_until_was_told_is_asked_again() -> None:
    holds = {"value": True}

    def branch(name: str) -> Any:
        @node(name=name, writes="log")
        async def run() -> str:
            await asyncio.sleep(ord(name))  # b is later than a
            return name

        return run

    def enough(log: list[str]) -> bool:
        return holds["value"] and bool(log)

    a, b, c = branch("a"), branch("b"), branch("c")
    graph = Graph(Sheet, name="join")
    graph.start([a, b])
    graph.edge([a, b], c)
    graph.join(c, until(enough))
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        done(await run.wait())
        assert (await run.replay()).same
        holds["value"] = False
        differences = (await run.replay()).differences
        assert any("whether enough has come: True was recorded, False comes out now" in d for d in differences)


@pytest.mark.asyncio
async def test_a_snapshot_and_a_status_that_are_not_of_the_log_are_found() -> None:
    @node(writes="text")
    async def fails() -> str:
        raise ValueError("no")

    graph = chain(turn, fails)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        failed(await run.wait())
        assert (await run.replay()).same
        state = await run._load()
        body = freeze(state)
        await append(engine, run, snapshot=Snapshot(state.seq - 1, body))
        assert (await run.replay()).same
        other = body.replace('"steps":1', '"steps":7').replace('["ValueError","no"]', '["ValueError","yes"]')
        assert other != body
        await append(engine, run, snapshot=Snapshot(state.seq - 1, other))
        differences = (await run.replay()).differences
        assert any(d.startswith("the numbers of rows, steps and turns") for d in differences)
        assert any(d.startswith("fails: how it stands") for d in differences)
        await append(engine, run, status="done", snapshot=Snapshot(state.seq - 1, body))
        assert (await run.replay()).differences == ("status: 'failed' by the log, 'done' in the database",)


@pytest.mark.asyncio
@pytest.mark.parametrize("seeds", [range(25), range(25, 50)], ids=str)
async def test_random_programs_replay_to_the_same_with_snapshots_often(
    seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", 3)
    monkeypatch.setattr(scribe, "_SNAPSHOT_GROWTH", 0)
    rows = 0
    for seed in seeds:
        graph = write(Random(seed), more=seed % 2 == 0).accepted()
        if graph is None:
            continue
        async with virtual(graph) as engine:
            run = await engine.start(graph, Case())
            await run.wait()
            replay = await run.replay()
            assert replay.same, (seed, str(replay))
            rows += replay.rows
    assert rows > 100
