"""A graph that fails inside of another one, and the edge that takes its failure."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from orchestra_graph import (
    Context,
    Engine,
    Graph,
    GraphError,
    RunFailed,
    State,
    append,
    ask,
    first,
    later,
    node,
)
from orchestra_graph import Question as Asked


class Log(State):
    log: Annotated[list[str], append] = []
    text: str = ""


class Inner(State):
    log: Annotated[list[str], append] = []
    mine: str = "fresh"
    sure: str = later()


@node(writes="log")
async def before(ctx: Context) -> str:
    return ctx.id


@node
async def breaks() -> None:
    raise ValueError("no")


@node(writes="log")
async def mend(ctx: Context) -> str:
    return f"{ctx.id}: {ctx.error}"


@node(writes="log")
async def after(ctx: Context) -> str:
    return ctx.id


@ask(writes="mine")
async def question() -> Asked[str]:
    return Asked("well?")


def inner() -> Graph[Inner]:
    made = Graph(Inner, name="inner")
    made.start([before, question])
    made.chain(before, breaks)
    return made


@pytest.mark.asyncio
async def test_a_failure_inside_goes_out_by_the_edge_of_the_graph_and_the_rest_is_withdrawn() -> None:
    graph = Graph(Log, name="outer")
    graph.start(inner())
    graph.edge("inner", after)
    graph.edge("inner", mend, on_error=ValueError)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Log())
        state = await run.result()

        assert state.log == ["inner/before", "mend: ValueError: no"]
        assert await run.questions() == []
        rows = await engine.store.questions(1, status=())
        assert [row.status for row in rows] == ["withdrawn"]


@pytest.mark.asyncio
async def test_another_error_is_not_taken() -> None:
    graph = Graph(Log, name="outer")
    graph.start(inner())
    graph.edge("inner", mend, on_error=KeyError)

    with pytest.raises(RunFailed, match="inner/breaks"):
        await graph.run(Log())


@pytest.mark.asyncio
async def test_an_edge_inside_comes_before_that_of_the_graph() -> None:
    made = inner()
    made.edge(breaks, mend, on_error=ValueError)
    quiet = Graph(Log, name="outer")
    quiet.start(made)
    quiet.edge("inner", after, on_error=Exception)
    async with Engine(graphs=[quiet]) as engine:
        run = await engine.start(quiet, Log())
        await run.wait()
        [asked] = await run.questions()
        await run.answer(asked.id, "well")

        assert (await run.result()).log == ["inner/before", "inner/mend: ValueError: no"]


@pytest.mark.asyncio
async def test_a_failure_goes_out_through_several_graphs() -> None:
    class Middle(State):
        log: Annotated[list[str], append] = []

    middle = Graph(Middle, name="middle")
    middle.start(inner())
    middle.edge("inner", after, on_error=KeyError)
    outer = Graph(Log, name="outer")
    outer.start(middle)
    outer.edge("middle", mend, on_error=ValueError)

    assert (await outer.run(Log())).log == ["middle/inner/before", "mend: ValueError: no"]


@pytest.mark.asyncio
async def test_what_goes_into_a_graph_may_fail_too() -> None:
    def wrong(text: str) -> str:
        raise KeyError(text)

    graph = Graph(Log, name="outer")
    graph.start(graph.add(inner(), inputs={"mine": wrong}))
    graph.edge("inner", mend, on_error=KeyError)

    assert (await graph.run(Log(text="x"))).log == ["mend: KeyError: 'x'"]


@pytest.mark.asyncio
async def test_in_a_loop_each_call_fails_by_itself() -> None:
    @node(writes="mine")
    async def look(mine: str) -> str:
        return mine + "!"

    @node(writes="sure")
    async def third(log: list[str]) -> str:
        if len(log) < 2:
            raise ValueError(len(log))
        return "yes"

    made = Graph(Inner, name="inner")
    made.start(look)
    made.chain(look, third)
    graph = Graph(Log, name="outer")
    graph.start(made)
    graph.edge("inner", mend, on_error=ValueError)
    graph.edge(mend, "inner")
    graph.edge("inner", after)

    assert (await graph.run(Log())).log == ["mend@0: ValueError: 0", "mend@1: ValueError: 1", "after~2"]


@pytest.mark.asyncio
async def test_a_join_inside_that_can_do_without_comes_first() -> None:
    made = Graph(Inner, name="inner")
    made.start([before, breaks])
    made.edge([before, breaks], after)
    made.join(after, first(1))
    graph = Graph(Log, name="outer")
    graph.start(made)
    graph.edge("inner", mend, on_error=Exception)

    assert (await graph.run(Log())).log == ["inner/before", "inner/after"]


@pytest.mark.asyncio
async def test_a_join_that_cannot_do_without_leaves_it_to_the_edge_of_the_graph_around() -> None:
    """`innermost` has another node at work, so its end cannot simply be left out before the join."""
    lasting = asyncio.Event()

    @node
    async def lasts() -> None:
        await lasting.wait()

    innermost = Graph(Inner, name="innermost")
    innermost.start([breaks, lasts])
    made = Graph(Inner, name="inner")
    made.start([innermost, lasts])
    made.edge([innermost, lasts], after)
    made.join(after, first(1))
    graph = Graph(Log, name="outer")
    graph.start(made)
    graph.edge("inner", mend, on_error=ValueError)

    assert (await graph.run(Log())).log == ["mend: ValueError: no"]


@pytest.mark.asyncio
async def test_it_goes_on_after_a_resume(tmp_path: Any) -> None:
    graph = Graph(Log, name="outer")
    graph.start(inner())
    graph.edge("inner", question_outside, on_error=ValueError)
    graph.edge("question_outside", mend)
    url = f"sqlite:///{tmp_path}/runs.db"
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, Log(), key="k")
        await run.wait()
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        [asked] = await run.questions()
        assert asked.id == "question_outside"
        await run.answer(asked.id, "go on")

        state = await run.result()
        assert (state.text, state.log) == ("go on", ["inner/before", "mend: None"])


@ask(writes="text")
def question_outside() -> Asked[str]:
    return Asked("and now?")


def test_what_is_only_written_inside_is_not_sure_behind_a_failure() -> None:
    class Shared(State):
        sure: str = later()

    @node(writes="sure")
    async def write() -> str:
        return "yes"

    @node
    async def read(sure: str) -> None: ...

    made = Graph(Shared, name="inner")
    made.start(write)
    graph = Graph(Shared, name="outer")
    graph.start(made)
    graph.edge("inner", read, on_error=Exception)

    with pytest.raises(GraphError, match="nothing has written it"):
        graph.compile()
