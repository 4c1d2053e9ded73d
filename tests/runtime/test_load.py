"""The state of a stored run, and whether the code is still that of the run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from orchestra_graph import END, Engine, Graph, GraphChanged, State, Stopped, append, ask, later, node, reducer
from orchestra_graph.core import snapshot
from orchestra_graph.graph.builder import Graph as Builder
from orchestra_graph.graph.question import Question
from orchestra_graph.runtime import scribe
from orchestra_graph.runtime.load import changes_between, load_run
from orchestra_graph.runtime.moving import check_goes_on

from .common import Sheet, asked, chain, database


class One(State):
    x: int = 0
    y: str = later()


class OtherType(State):
    x: str = ""
    y: str = later()


class OneMore(State):
    x: int = 0
    y: str = later()
    z: int = 0


class OneReduced(State):
    x: Annotated[int, Field(ge=0)] = 0
    y: str = later()


@node(writes="y")
async def write() -> str:
    return "y"


@node
async def after(y: str) -> None: ...


@node
async def extra() -> None: ...


def shape(state: Any = One, *, declare: Any = None, first: Any = write) -> Any:
    graph: Builder[Any] = Graph(state, name="g")
    graph.start(first)
    graph.edge(first, after)
    if declare is not None:
        declare(graph)
    return graph.compile().shape


def test_a_graph_has_not_changed_from_itself() -> None:
    assert changes_between(shape(), shape()) == []


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (lambda: shape(OneMore), "field 'z' is new"),
        (lambda: shape(OtherType), "field 'x': "),
        (lambda: shape(declare=lambda graph: graph.edge(after, write, when="x")), "the edge after -> write (x) is new"),
        (lambda: shape(declare=lambda graph: graph.edge(write, extra)), "node 'extra' is new"),
        (lambda: shape(declare=lambda graph: graph.edge(write, extra)), "the edge write -> extra is new"),
    ],
)
def test_what_differs_is_said_in_a_line_each(now: Any, says: str) -> None:
    changed = changes_between(shape(), now())
    assert any(line.startswith(says) for line in changed), changed


def test_what_is_gone_is_said_too() -> None:
    changed = changes_between(shape(declare=lambda graph: graph.edge(write, extra)), shape())
    assert "node 'extra' is gone" in changed
    assert "the edge write -> extra is gone" in changed


def test_against_a_form_that_is_not_known_everything_is_new() -> None:
    assert "node 'write' is new" in changes_between({}, shape())


@pytest.mark.asyncio
async def test_a_run_of_another_form_is_refused_with_all_that_differs(tmp_path: Path) -> None:
    @ask(writes="ok")
    async def confirm() -> Question[bool]:
        return Question("Well?")

    graph = chain(confirm, name="g")
    changed = chain(extra, name="g")
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        asked(await (await engine.start(graph, Sheet(), key="k")).wait())
        row = await engine.store.find("k")
        assert row is not None
        await check_goes_on(engine.store, graph.compile(), row)
        await check_goes_on(engine.store, chain(confirm, extra, name="g").compile(), row)
        with pytest.raises(GraphChanged) as caught:
            await check_goes_on(engine.store, changed.compile(), row)
        assert {"node 'confirm' is gone", "node 'extra' is new"} <= set(caught.value.changes)
        assert "Nothing was changed" in str(caught.value)


@pytest.mark.asyncio
async def test_a_run_that_a_limit_stopped_goes_on_with_code_that_has_a_higher_one(tmp_path: Path) -> None:
    @node(writes="turns")
    async def again(turns: int) -> int:
        return turns + 1

    def four(turns: int) -> bool:
        return turns < 4

    def limited(turns: int) -> Graph[Turns]:
        graph = Graph(Turns, name="g")
        graph.start(again)
        graph.edge(again, again, when=four)
        graph.edge(again, END, otherwise=True)
        graph.limit(again, turns=turns)
        return graph

    async with Engine(database(tmp_path), graphs=[limited(2)]) as engine:
        stopped = await (await engine.start(limited(2), Turns(), key="k")).wait()
        assert isinstance(stopped, Stopped)
        assert stopped.state.turns == 2
    async with Engine(database(tmp_path), graphs=[higher := limited(9)]) as engine:
        run = await engine.get("k", higher)
        await run.retry()
        assert (await run.result()).turns == 4


def test_a_field_that_is_named_like_a_limit_is_part_of_the_form() -> None:
    assert "field 'turns' is gone" in changes_between(shape(Turns, first=extra, declare=None), shape())


class Turns(State):
    turns: int = 0
    y: str = ""


class Doc(State):
    log: Annotated[list[str], append] = []
    count: int = 0


@pytest.mark.asyncio
async def test_what_had_to_be_replayed_is_counted_from_the_last_snapshot_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", 10)
    held = asyncio.Event()

    @node(writes="count")
    async def step(count: int) -> int:
        if count == 47:
            held.set()
            await asyncio.Event().wait()
        return count + 1

    graph: Graph[Doc] = Graph(Doc, name="g")
    graph.start(step)
    graph.edge(step, step, when=lambda count: count < 50)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        await engine.start(graph, Doc(), key="k")
        await held.wait()
        row = await engine.store.find("k")
        assert row is not None
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        loaded = await load_run(engine.store, graph.compile(), row)
        snapshot = await engine.store.snapshot(row.number)
        assert snapshot is not None
        log = await engine.store.log(row.number, after=snapshot.seq)
        assert 0 < loaded.behind.rows == len(log) < 30
        assert loaded.behind.bytes == sum(len(r.body) for r in log)
        assert loaded.behind.size == len(snapshot.body)
        assert loaded.run.live["step@47"].revision.seen()["count"].value == 47  # type: ignore[union-attr]


@pytest.mark.asyncio
async def test_a_state_that_was_loaded_before_is_brought_up_to_date(tmp_path: Path) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    reached = [asyncio.Event(), asyncio.Event()]

    @node(writes="count")
    async def step(count: int) -> int:
        if count in (3, 6):
            reached[count // 3 - 1].set()
            await gates[count // 3 - 1].wait()
        return count + 1

    graph: Graph[Doc] = Graph(Doc, name="g")
    graph.start(step)
    graph.edge(step, step, when=lambda count: count < 10)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        await engine.start(graph, Doc(), key="k")
        row = await engine.store.find("k")
        assert row is not None
        await reached[0].wait()
        known = await load_run(engine.store, graph.compile(), row)
        assert list(known.run.live) == ["step@3"]
        gates[0].set()
        await reached[1].wait()
        fresh = await load_run(engine.store, graph.compile(), row)
        again = await load_run(engine.store, graph.compile(), row, known)
        assert again is known
        assert list(again.run.live) == list(fresh.run.live) == ["step@6"]
        assert (again.run.seq, again.behind) == (fresh.run.seq, fresh.behind)
        assert again.run.live["step@6"].revision.seen()["count"].value == 6  # type: ignore[union-attr]


@reducer
def counted(acc: dict[str, int], word: str) -> dict[str, int]:
    return {**acc, word: acc.get(word, 0) + 1}


class Words(State):
    words: Annotated[dict[str, int], counted] = {}
    sure: bool = False


@pytest.mark.asyncio
async def test_a_reducer_may_fold_in_another_type_than_its_field_has(tmp_path: Path) -> None:
    @node(writes="words")
    async def say() -> str:
        return "well"

    @ask(writes="sure")
    async def confirm() -> Question[bool]:
        return Question("Well?")

    graph = Graph(Words, name="g")
    graph.start(say)
    graph.chain(say, confirm)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        await (await engine.start(graph, Words(), key="k")).wait()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.get("k", graph)  # read back from the log
        await run.answer("confirm", True)
        assert (await run.result()).words == {"well": 1}


@pytest.mark.asyncio
async def test_a_snapshot_of_another_form_is_left_and_the_log_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", 2)
    monkeypatch.setattr(snapshot, "FORMAT", 1)

    @ask(writes="ok")
    async def confirm() -> Question[bool]:
        return Question("Well?")

    graph = chain(extra, confirm, name="g")
    graph.edge(confirm, extra, when="ok")
    graph.limit(extra, turns=5)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        for _ in range(3):
            [question] = asked(await run.wait())
            await run.answer(question.id, True)
        asked(await run.wait())
        row = await engine.store.find("k")
        assert row is not None
        assert await engine.store.snapshot(row.number) is not None
    monkeypatch.undo()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        loaded = await load_run(engine.store, graph.compile(), row)
        assert loaded.behind.rows == len(await engine.store.log(row.number))
        again = await engine.get("k", graph)
        [question] = asked(await again.wait())
        assert question.id == "confirm@3"
