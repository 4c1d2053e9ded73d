"""`terminate`: a node that ends its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import Engine, Graph, Question, RunEnded, StaleAnswer, ask, node

from .common import both_stores, done, failed, until_asked, url_of
from .stage import Board, Stage, ids, note


@ask(writes="ok")
def agree() -> Question[bool]:
    return Question("Well?", to="ana")


def ending(stage: Stage, status: Any = "done") -> Graph[Board]:
    """One node ends the graph; beside it stand a node, a question, a join that waits, and a branch that has ended."""
    graph = Graph(Board, name="ending")
    stop, slow = stage.nodes("stop", "slow")
    graph.start([stop, slow, agree, note("early"), note("came")])
    graph.edge(["came", slow], note("join"))
    graph.terminate(stop, status=status)
    return graph


@both_stores
@pytest.mark.asyncio
async def test_everything_else_is_withdrawn_and_what_has_ended_counts(place: str, tmp_path: Path) -> None:
    stage = Stage()
    graph = ending(stage)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        await stage.begins("slow")
        await stage.end(run, "stop")
        assert sorted(done(await run.wait()).log) == ["came", "early", "stop"]
        assert stage.cancelled == ["slow"]
        [question] = await engine.store.questions(run._row.number, status=())
        assert question.status == "withdrawn"
        with pytest.raises(StaleAnswer):
            await run.answer("agree", True)
        assert sorted(ids(await run.record(), "withdrawn")) == ["agree", "slow"]


@both_stores
@pytest.mark.asyncio
async def test_a_run_may_end_as_failed_and_no_retry_mends_that(place: str, tmp_path: Path) -> None:
    stage = Stage()
    graph = ending(stage, "failed")
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        await stage.begins("slow")
        await stage.end(run, "stop")
        outcome = failed(await run.wait())
        assert (outcome.reason, outcome.final, outcome.errors) == ("'stop' ended the run as failed", True, ())
        assert await run.questions() == []
        with pytest.raises(RunEnded):
            await run.retry()
        assert sorted(outcome.state.log) == ["came", "early", "stop"]


@both_stores
@pytest.mark.asyncio
async def test_inside_of_a_graph_it_ends_that_graph_and_the_run_goes_on(place: str, tmp_path: Path) -> None:
    stage = Stage()
    inner, outside = ending(stage), stage.node("outside")
    graph = Graph(Board, name="outer")
    graph.start([inner, outside])
    graph.edge([inner, outside], note("meet"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        await stage.begins("ending/slow")
        await stage.end(run, "ending/stop")
        assert stage.cancelled == ["ending/slow"]
        assert await run.questions() == []
        await stage.end(run, "outside")
        log = done(await run.wait()).log
    assert sorted(log) == ["ending/came", "ending/early", "ending/stop", "meet", "outside"]


@pytest.mark.asyncio
async def test_a_graph_that_stands_there_may_end_the_one_around_it() -> None:
    stage = Stage()
    last = Graph(Board, name="last")
    last.start(stage.node("one"))
    graph = Graph(Board, name="outer")
    graph.start([last, stage.node("slow")])
    graph.terminate(last)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.begins("slow")
        await stage.end(run, "last/one")
        assert done(await run.wait()).log == ["last/one"]
        assert stage.cancelled == ["slow"]


@pytest.mark.asyncio
async def test_in_an_each_one_element_ends_the_whole_graph() -> None:
    stage = Stage()

    @node
    async def begin() -> None: ...

    graph = Graph(Board, name="elements")
    part = stage.node("part")
    stop = stage.node("stop")
    graph.start(begin)
    graph.each(begin, "items", part, collect=(collect := note("collect")))
    graph.edge(part, collect, when=lambda log: "part#1" not in log)
    graph.edge(part, stop, otherwise=True)
    graph.terminate(stop)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "part#0", "part#1", "stop#1")
        assert sorted(done(await run.wait()).log) == ["part#0", "part#1", "stop#1"]
        assert stage.cancelled == ["part#2"]


@both_stores
@pytest.mark.asyncio
async def test_in_a_graph_in_an_each_every_element_is_ended_by_itself(place: str, tmp_path: Path) -> None:
    stage = Stage()

    @node
    async def begin() -> None: ...

    inner = Graph(Board, name="inner")
    inner.start(stage.nodes("stop", "slow"))
    inner.terminate("stop")
    graph = Graph(Board, name="outer")
    graph.start(begin)
    graph.each(begin, "items", inner, collect=note("collect"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board(items=["a", "b"]))
        await stage.begins("inner/slow#0", "inner/slow#1")
        await stage.end(run, "inner/stop#1")
        assert stage.cancelled == ["inner/slow#1"]
        await stage.end(run, "inner/slow#0", "inner/stop#0")
        log = done(await run.wait()).log
    assert sorted(log) == ["collect", "inner/slow#0", "inner/stop#0", "inner/stop#1"]
