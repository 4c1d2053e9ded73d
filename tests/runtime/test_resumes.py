"""Every construct, interrupted behind each of its commits and taken up from a snapshot: it ends as if undisturbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest

from orchestra_graph import (
    END,
    Context,
    Engine,
    Graph,
    Item,
    Question,
    Run,
    State,
    append,
    ask,
    batches,
    each_one,
    first,
    later,
    node,
    until,
)
from orchestra_graph.runtime import scribe
from orchestra_graph.runtime.outcomes import Outcome, Waiting

from .common import database
from .stage import Board, note


@ask(writes="ok")
def agree() -> Question[bool]:
    return Question("Well?")


@node
async def begin() -> None: ...


def fails(name: str) -> Any:
    @node(writes="log", name=name)
    async def work() -> str:
        raise ValueError(name)

    return work


def board(name: str) -> Graph[Board]:
    return Graph(Board, name=name)


def until_in_a_loop() -> Graph[Board]:
    """A join that is asked at each arrival; the third branch is a person."""
    graph = board("until")
    graph.start(note("fork"))
    graph.edge("fork", [note("a"), note("b"), agree])
    graph.edge(["a", "b", agree], note("join"))
    graph.join("join", until(lambda log: sum(i[0] in "ab" for i in log) % 2 == 0, cancel_rest=True))
    graph.edge("join", "fork", when=lambda log: "join@1" not in log)
    return graph


def excused_in_an_each() -> Graph[Board]:
    """One of two branches of every element fails, and is not needed; both stand in a graph of its own."""
    inner = board("inner")
    inner.start([note("good"), fails("bad")])
    inner.edge(["good", "bad"], note("join"))
    inner.join("join", first())
    graph = board("excused")
    graph.start(begin)
    graph.each(begin, "items", inner, collect=note("collect"), limit=2)
    return graph


def race_with_a_graph() -> Graph[Board]:
    """In every turn a graph of one node against a question."""
    inner = board("inner")
    inner.start(note("one"))
    inner.edge("one", note("two"))
    graph = board("race")
    graph.start(note("fork"))
    graph.edge("fork", [inner, agree])
    graph.race(inner, agree)
    graph.edge([inner, agree], note("meet"))
    graph.edge("meet", "fork", when=lambda log: "meet@1" not in log)
    return graph


def handled() -> Graph[Board]:
    """A failure whose handler asks a person and comes back to the main line."""
    graph = board("handled")
    graph.start([fails("risky"), note("beside")])
    graph.edge("risky", note("fine"))
    graph.edge("risky", agree, on_error=ValueError)
    graph.edge(["fine", agree, "beside"], note("meet"))
    return graph


def limited_twice() -> Graph[Board]:
    """A loop with a limit on steps around one with a limit on turns."""
    graph = board("limits")
    graph.start(note("outer"))
    graph.edge("outer", note("inner"))
    graph.edge("inner", "inner")
    graph.limit("inner", steps=3, then=note("out"))
    graph.edge("out", "outer")
    graph.limit("outer", turns=3, then=note("last"))
    return graph


def limited_in_an_each() -> Graph[Board]:
    @node(writes="log")
    async def work(item: Item[str], ctx: Context) -> str:
        return f"{item} {ctx.id}"

    graph = board("limit in each")
    collect = note("collect")
    graph.start(begin)
    graph.each(begin, "items", work, collect=collect, limit=2)
    graph.edge(work, work)
    graph.limit(work, turns=2, then=note("enough"))
    graph.edge("enough", collect)
    return graph


def terminated_inside() -> Graph[Board]:
    inner = board("inner")
    inner.start([note("a"), agree])
    inner.edge("a", note("stop"))
    inner.terminate("stop")
    graph = board("terminate")
    graph.start([inner, note("beside")])
    graph.edge([inner, "beside"], note("meet"))
    return graph


class Word(State):
    word: Item[str]
    log: Annotated[list[str], append] = []
    letters: list[str] = ["x", "y"]
    seen: Annotated[list[str], append] = []
    agreed: bool = later()


def graph_in_an_each() -> Graph[Board]:
    """With an each, a loop and a question of its own, and private fields with and without a reducer."""

    @node(writes="seen")
    async def look(word: str, letter: Item[str]) -> str:
        return word + letter

    @node(writes="log")
    async def tell(seen: list[str], ctx: Context) -> str:
        return f"{ctx.id}: {', '.join(seen)}"

    inner = Graph(Word, name="word")
    inner.start(begin)
    inner.each(begin, "letters", look, collect=tell)
    inner.edge(tell, begin, when=lambda seen: len(seen) < 4)
    inner.edge(tell, inner.add(agree, outputs="agreed"), otherwise=True)
    graph = board("graph in each")
    graph.start(note("start"))
    graph.each("start", "items", inner, collect=note("collect"), limit=2)
    return graph


class Asked(State):
    log: Annotated[list[str], append] = []
    agreed: bool = later()


def calls_side_by_side() -> Graph[Board]:
    inner = Graph(Asked, name="inner")
    inner.start(note("one"))
    inner.edge("one", inner.add(agree, outputs="agreed"))
    graph = board("side by side")
    graph.start([note("a"), note("b")])
    graph.edge(["a", "b"], inner)
    graph.join(inner, each_one())
    graph.edge(inner, note("after"))
    graph.edge("after", END)
    return graph


def in_batches() -> Graph[Board]:
    @node(writes="log")
    async def work(item: Item[str]) -> str:
        return item

    graph = board("batches")
    collect = note("collect")
    graph.start(begin)
    graph.each(begin, "items", work, collect=collect)
    graph.join(collect, batches(2))
    return graph


class Risk(State):
    element: Item[str]
    log: Annotated[list[str], append] = []
    own: str = ""


def failing_graph_in_an_each() -> Graph[Board]:
    """Of one element the graph fails, while beside it a node of its own has ended and a person is asked."""

    @node(writes="own")
    async def risky(element: str) -> str:
        if element == "b":
            raise ValueError(element)
        return element

    @node(writes="log")
    async def mend(ctx: Context) -> str:
        return f"{ctx.id}: {ctx.error}"

    inner = Graph(Risk, name="inner")
    inner.start(note("first"))
    inner.edge("first", [note("beside"), note("slow")])
    inner.edge("slow", risky)
    inner.edge(risky, note("last"))
    graph = board("failing")
    graph.start(begin)
    collect = note("collect")
    graph.each(begin, "items", inner, collect=collect)
    graph.edge(inner, collect)
    graph.edge(inner, mend, on_error=ValueError)
    graph.edge(mend, collect)
    return graph


CONSTRUCTS: Mapping[str, Callable[[], Graph[Board]]] = {
    make.__name__: make
    for make in (
        until_in_a_loop,
        excused_in_an_each,
        race_with_a_graph,
        handled,
        limited_twice,
        limited_in_an_each,
        terminated_inside,
        graph_in_an_each,
        calls_side_by_side,
        in_batches,
        failing_graph_in_an_each,
    )
}


@pytest.fixture(autouse=True)
def snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every few rows, whatever they cost."""
    monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", 2)
    monkeypatch.setattr(scribe, "_SNAPSHOT_GROWTH", 0)


async def to_the_end(run: Run[Board]) -> Outcome[Board]:
    """Answer what is asked, until the run has ended."""
    while isinstance(outcome := await run.wait(), Waiting):
        for question in outcome.questions:
            await run.answer(question.id, True)
    return outcome


async def told(run: Run[Board], outcome: Outcome[Board]) -> tuple[Any, ...]:
    """How a run ended: its state, and which nodes came to an end, how often."""
    ended = Counter((a.id, a.status) for a in (await run.record()).activations if a.status in ("done", "failed"))
    return type(outcome), sorted(outcome.state.log), outcome.state.ok, ended


async def cut(graph: Graph[Board], url: str | None, at: int) -> tuple[tuple[Any, ...], bool]:
    """Run a graph; let it go behind the commit number *at*, and take it up again from what is stored."""
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, Board(items=["a", "b"]), key="k")
        drive = engine._driving[run._row.number].drive
        written = 0

        def count(rows: Any) -> None:
            nonlocal written
            written += 1
            if written == at:
                drive.stop()

        drive.scribe.on_durable = count
        outcome = await to_the_end(run)
        return await told(run, outcome), written >= at


@pytest.mark.parametrize("name", CONSTRUCTS)
@pytest.mark.asyncio
async def test_interrupted_behind_every_commit(name: str) -> None:
    graph = CONSTRUCTS[name]()
    whole, _ = await cut(graph, None, 0)
    at, more = 1, True
    while more:
        found, more = await cut(graph, None, at)
        assert found == whole, f"interrupted behind commit {at}"
        at += 1
    assert at > 3


@pytest.mark.parametrize("name", CONSTRUCTS)
@pytest.mark.asyncio
async def test_taken_up_by_another_engine_from_sqlite(name: str, tmp_path: Path) -> None:
    graph = CONSTRUCTS[name]()
    whole, _ = await cut(graph, None, 0)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board(items=["a", "b"]), key="k")
        written = 0
        drive = engine._driving[run._row.number].drive

        def count(rows: Any) -> None:
            nonlocal written
            written += 1
            if written == 3:
                drive.stop()

        drive.scribe.on_durable = count
        await drive_ends(engine, run)
        assert await engine.store.snapshot(run._row.number) is not None
    again = CONSTRUCTS[name]()
    async with Engine(database(tmp_path), graphs=[again]) as engine:
        run = await engine.get("k", again)
        assert await told(run, await to_the_end(run)) == whole


async def drive_ends(engine: Engine, run: Run[Board]) -> None:
    driven = engine._driving.get(run._row.number)
    if driven is not None:
        await driven.task
