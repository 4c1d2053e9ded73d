"""`limit`: of a node, of the loop around it, of a whole graph; and what comes after."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import (
    END,
    Context,
    Engine,
    Graph,
    Item,
    LimitReached,
    Limits,
    Question,
    Retry,
    RunStopped,
    StaleAnswer,
    ask,
    node,
)

from .common import asked, both_stores, database, done, stopped, until_asked, url_of, virtual
from .stage import Board, Stage, ids, note, ran
from .virtual import elapsed, in_virtual_time


@ask(writes="ok")
async def agree() -> Question[bool]:
    return Question("Well?", to="ana")


@node
async def begin() -> None: ...


def waits(name: str, seconds: float) -> Any:
    @node(writes="log", name=name)
    async def wait(ctx: Context) -> str:
        await asyncio.sleep(seconds)
        return ctx.id

    return wait


def round_and_round(*nodes: Any, name: str = "loop") -> Graph[Board]:
    """One after the other, and round again for ever."""
    graph = Graph(Board, name=name)
    graph.start(nodes[0])
    graph.chain(*nodes, nodes[0])
    return graph


def endless(name: str) -> Graph[Board]:
    """A graph of one node that goes round and round; a limit of the graph leads to another one."""
    graph = round_and_round(note("a"), name=name)
    graph.edge("a", END, when="ok")
    graph.limit(steps=2, then=note("rescue"))
    return graph


# -- turns -------------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_turns_say_how_often_a_node_runs(place: str, tmp_path: Path) -> None:
    graph = round_and_round(note("a"), note("b"))
    graph.limit("b", turns=3, then=note("after"))
    log = await ran(graph, url=url_of(place, tmp_path))
    assert log[:-1] == ["a@0", "b@0", "a@1", "b@1", "a@2", "b@2", "a@3"]
    assert log[-1].startswith("after")


@both_stores
@pytest.mark.asyncio
async def test_without_then_the_run_stops_and_a_retry_gives_the_same_again(place: str, tmp_path: Path) -> None:
    graph = round_and_round(note("a"))
    graph.edge("a", END)
    graph.limit("a", turns=5)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        for turns in (5, 10, 15):
            outcome = stopped(await run.wait())
            assert (outcome.limit, outcome.allowed) == ("turns of 'a'", 5)
            assert len(outcome.state.log) == turns
            with pytest.raises(RunStopped) as caught:
                await run.result()
            assert isinstance(caught.value.__cause__, LimitReached)
            await run.retry()


@both_stores
@pytest.mark.asyncio
async def test_a_limit_raised_in_the_code_lets_a_stopped_run_go_on(place: str, tmp_path: Path) -> None:
    def made(turns: int) -> Graph[Board]:
        graph = Graph(Board, name="raised")
        graph.start(note("a"))
        graph.edge("a", note("b"))
        graph.edge("b", "a", when=lambda log: len(log) < 12)
        graph.limit("a", turns=turns)
        return graph

    low, high = made(2), made(100)
    assert low.compile().fingerprint == high.compile().fingerprint
    async with Engine(url_of(place, tmp_path), graphs=[low]) as engine:
        run = await engine.start(low, Board(), key="k")
        assert len(stopped(await run.wait()).state.log) == 4
        again = await engine.get("k", high)
        await again.retry()
        assert len(done(await again.wait()).log) == 12


@pytest.mark.parametrize("kind", ["turns", "steps", "seconds"])
def test_the_number_is_not_in_the_fingerprint_but_the_way_is(kind: str) -> None:
    def made(allowed: int, then: bool) -> str:
        graph = round_and_round(note("a"))
        graph.edge("a", END)
        graph.limit("a", **{kind: allowed}, then=note("after") if then else None)
        return graph.compile().fingerprint

    assert made(3, then=True) == made(4, then=True)
    assert made(3, then=False) == made(4, then=False)
    assert made(3, then=True) != made(3, then=False)


@pytest.mark.asyncio
async def test_a_node_outside_of_loops_is_limited_alone() -> None:
    graph = Graph(Board, name="alone")
    graph.start([note("a"), note("b")])
    graph.limit("a", steps=5, then=note("after"))
    assert sorted(await ran(graph)) == ["a", "b"]


@pytest.mark.asyncio
async def test_what_runs_in_the_loop_is_withdrawn_and_then_sees_all_that_was_there() -> None:
    """Also what a branch did that had not come back to the head."""
    stage, seen = Stage(), []

    @node
    async def after(log: list[str]) -> None:
        seen.append(log)

    graph = Graph(Board, name="wide")
    slow, quick = stage.node("slow"), note("quick")
    graph.start(note("head"))
    graph.edge("head", [quick, note("one")])
    graph.edge("one", slow)
    graph.edge([quick, slow], "head")
    graph.limit("head", steps=3, then=after)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        done(await run.wait())
        assert sorted(seen[0]) == ["head@0", "one@0", "quick@0"]
        assert ids(await run.record(), "withdrawn") == ["slow@0"]


@both_stores
@pytest.mark.asyncio
async def test_a_question_in_the_loop_is_withdrawn(place: str, tmp_path: Path) -> None:
    stage = Stage()
    graph = Graph(Board, name="asking")
    graph.start(note("head"))
    graph.edge("head", [agree, stage.node("work")])
    graph.edge([agree, "work"], "head")
    graph.limit("head", steps=2, then=note("after"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        await stage.end(run, "work@0")
        log = done(await run.wait()).log
        assert log[:2] == ["head@0", "work@0"]
        assert len(log) == 3
        [row] = await engine.store.questions(run._row.number, status=())
        assert row.status == "withdrawn"
        with pytest.raises(StaleAnswer):
            await run.answer("agree@0", True)


@pytest.mark.asyncio
async def test_work_beside_the_loop_goes_on() -> None:
    stage = Stage()
    graph = Graph(Board, name="beside")
    graph.start([note("a"), stage.node("beside")])
    graph.edge("a", "a")
    graph.limit("a", turns=2, then=note("after"))
    graph.edge(["after", "beside"], note("meet"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.begins("beside")
        await stage.end(run, "beside")
        log = done(await run.wait()).log
    assert sorted(i.split("~")[0] for i in log) == ["a@0", "a@1", "after", "beside", "meet"]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.asyncio
async def test_a_limit_may_end_the_branch(whole: bool) -> None:
    graph = round_and_round(note("a"))
    graph.edge("a", END, when="ok")
    if whole:
        graph.limit(steps=2, then=END)
    else:
        graph.limit("a", turns=2, then=END)
    assert await ran(graph) == ["a@0", "a@1"]


# -- steps and seconds ---------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_steps_count_what_finishes_in_the_loop(place: str, tmp_path: Path) -> None:
    graph = Graph(Board, name="steps")
    graph.start(note("before"))
    graph.chain("before", note("a"), note("b"), "a")
    graph.limit("a", steps=5, then=note("after"))
    log = await ran(graph, url=url_of(place, tmp_path))
    assert log[:-1] == ["before", "a@0", "b@0", "a@1", "b@1", "a@2"]


@pytest.mark.asyncio
async def test_steps_stop_a_run_again_and_again() -> None:
    graph = round_and_round(note("a"), note("b"))
    graph.edge("b", END)
    graph.limit("a", steps=5)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        for steps in (5, 10, 15):
            outcome = stopped(await run.wait())
            assert (outcome.limit, outcome.allowed, len(outcome.state.log)) == ("steps of 'a'", 5, steps)
            await run.retry()


@in_virtual_time
async def test_seconds_say_how_long_a_loop_may_take() -> None:
    graph = Graph(Board, name="seconds")
    graph.start(waits("before", 100))
    graph.chain("before", waits("a", 10), "a")
    graph.limit("a", seconds=35, then=note("after"))
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        log = done(await run.wait()).log
        assert log[:-1] == ["before", "a@0", "a@1", "a@2"]
        assert elapsed() == 135


@in_virtual_time
async def test_seconds_stop_a_run_and_a_retry_has_as_many_again() -> None:
    graph = round_and_round(waits("a", 10))
    graph.edge("a", END)
    graph.limit("a", seconds=35)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        for turns in (3, 6, 9):
            outcome = stopped(await run.wait())
            assert (outcome.limit, outcome.allowed, len(outcome.state.log)) == ("seconds of 'a'", 35, turns)
            assert elapsed() == 35 * turns / 3
            await run.retry()


@in_virtual_time
async def test_waits_for_people_do_not_count() -> None:
    graph = round_and_round(waits("a", 10), agree)
    graph.limit("a", seconds=25, then=note("after"))
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        for turn in (0, 1):
            [question] = asked(await run.wait())
            assert question.id == f"agree@{turn}"
            await asyncio.sleep(1000)
            await run.answer(question.id, True)
        log = done(await run.wait()).log
        assert log[:-1] == ["a@0", "a@1"]
        assert elapsed() == 2025


@in_virtual_time
async def test_waits_between_attempts_do_count() -> None:
    @node(retry=Retry(attempts=99, delay=10, factor=1, jitter=0, on=(ValueError,)))
    async def flaky() -> None:
        raise ValueError

    graph = round_and_round(flaky)
    graph.limit(flaky, seconds=25, then=note("after"))
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        assert len(done(await run.wait()).log) == 1
        assert elapsed() == 25


@in_virtual_time
async def test_a_loop_that_is_left_in_time_is_not_limited() -> None:
    graph = Graph(Board, name="in time")
    graph.start(waits("a", 10))
    graph.edge("a", "a", when=lambda log: len(log) < 2)
    graph.edge("a", waits("last", 100), otherwise=True)
    graph.limit("a", seconds=25, then=note("after"))
    async with virtual(graph) as engine:
        assert done(await (await engine.start(graph, Board())).wait()).log == ["a@0", "a@1", "last~1"]


# -- whole graphs ---------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_whole_graph_by_time() -> None:
    """What has come to its end counts; everything else is withdrawn."""
    graph = Graph(Board, name="whole")
    graph.start([waits("quick", 5), waits("slow", 100)])
    graph.edge("slow", note("never"))
    graph.limit(seconds=20, then=note("after"))
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        assert done(await run.wait()).log == ["quick", "after"]
        assert elapsed() == 20


@both_stores
@pytest.mark.asyncio
async def test_a_whole_graph_by_steps(place: str, tmp_path: Path) -> None:
    graph = round_and_round(note("a"), note("b"))
    graph.edge("b", END)
    graph.limit(steps=3, then=note("after"))
    assert await ran(graph, url=url_of(place, tmp_path)) == ["a@0", "b@0", "a@1", "after"]


@pytest.mark.asyncio
async def test_a_whole_graph_without_then_stops() -> None:
    graph = round_and_round(note("a"), note("b"))
    graph.edge("b", END)
    graph.limit(steps=3)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        outcome = stopped(await run.wait())
        assert (outcome.limit, outcome.allowed) == ("steps of the run", 3)
        await run.retry()
        assert len(stopped(await run.wait()).state.log) == 6


@both_stores
@pytest.mark.asyncio
async def test_of_a_graph_in_a_graph_only_that_is_cut_off(place: str, tmp_path: Path) -> None:
    stage = Stage()
    inner = endless("inner")
    graph = Graph(Board, name="outer")
    graph.start([inner, stage.node("beside")])
    graph.edge([inner, "beside"], note("meet"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "beside")
        assert sorted(done(await run.wait()).log) == ["beside", "inner/a@0", "inner/a@1", "inner/rescue", "meet"]


@pytest.mark.asyncio
async def test_a_graph_is_limited_each_time_that_it_is_entered() -> None:
    inner = endless("inner")
    graph = Graph(Board, name="outer")
    graph.start(inner)
    graph.edge(inner, note("next"))
    graph.edge("next", inner, when=lambda log: len(log) < 8)
    log = await ran(graph)
    assert [i.partition("~")[0] for i in log] == [
        *["inner/a@0.0", "inner/a@0.1", "inner/rescue@0", "next@0"],
        *["inner/a@1.0", "inner/a@1.1", "inner/rescue@1", "next@1"],
    ]


@pytest.mark.asyncio
async def test_a_limit_outside_withdraws_the_inside_of_a_graph() -> None:
    stage = Stage()
    inner = Graph(Board, name="inner")
    inner.start(stage.nodes("one", "two"))
    graph = Graph(Board, name="outer")
    graph.start(note("head"))
    graph.edge("head", inner)
    graph.edge(inner, "head")
    graph.limit("head", steps=2, then=note("after"))  # that a graph is entered is no step
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.begins("inner/one@0", "inner/two@0")
        await stage.end(run, "inner/one@0")
        log = done(await run.wait()).log
    assert log[:2] == ["head@0", "inner/one@0"]
    assert stage.cancelled == ["inner/two@0"]


# -- nested, and in each --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_inner_loop_is_limited_each_time_that_it_is_entered_by_steps_and_in_all_by_turns() -> None:
    def nested(**limits: int) -> Graph[Board]:
        graph = Graph(Board, name="nested")
        graph.start(note("outer"))
        graph.edge("outer", note("inner"))
        graph.edge("inner", "inner")
        graph.limit("inner", then=note("out"), **limits)
        graph.edge("out", "outer", when=lambda log: sum(line.startswith("out@") for line in log) < 2)
        return graph

    by_steps = await ran(nested(steps=2))
    assert [i for i in by_steps if i.startswith("inner")] == ["inner@0.0", "inner@0.1", "inner@1.0", "inner@1.1"]
    by_turns = await ran(nested(turns=2))
    assert [i for i in by_turns if i.startswith("inner")] == ["inner@0.0", "inner@0.1"]


@both_stores
@pytest.mark.asyncio
async def test_each_element_has_its_own_limit(place: str, tmp_path: Path) -> None:
    @node(writes="log")
    async def work(item: Item[str], ctx: Context) -> str:
        return f"{item}{ctx.turn}"

    graph = Graph(Board, name="elements")
    collect = note("collect")
    graph.start(begin)
    graph.each(begin, "items", work, collect=collect)
    graph.edge(work, work)
    graph.limit(work, turns=2, then=note("enough"))
    graph.edge("enough", collect)
    log = await ran(graph, Board(items=["a", "b"]), url_of(place, tmp_path))
    assert [i.partition("~")[0] for i in log] == ["a0", "a1", "enough#0", "b0", "b1", "enough#1", "collect"]


@pytest.mark.asyncio
async def test_a_limit_of_a_graph_in_an_each_is_of_one_element() -> None:
    inner = endless("inner")
    graph = Graph(Board, name="outer")
    graph.start(begin)
    graph.each(begin, "items", inner, collect=note("collect"))
    log = await ran(graph, Board(items=["x", "y"]))
    assert sorted(i.partition("~")[0] for i in log) == sorted(
        [f"inner/{n}#{i}{t}" for i in (0, 1) for n, t in (("a", "@0"), ("a", "@1"), ("rescue", ""))] + ["collect"]
    )


# -- several limits, and resumes -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_of_several_limits_the_first_that_is_reached_acts() -> None:
    graph = round_and_round(note("a"), note("b"))
    graph.limit("a", turns=9, then=note("by_turns"))
    graph.limit("a", steps=3, then=note("by_steps"))
    log = await ran(graph)
    assert log[:3] == ["a@0", "b@0", "a@1"]
    assert [i.partition("~")[0] for i in log[3:]] == ["by_steps"]


@pytest.mark.asyncio
async def test_the_limits_of_the_run_hold_beside_those_of_the_graph() -> None:
    graph = round_and_round(note("a"))
    graph.limit("a", turns=50, then=note("after"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board(), limits=Limits(steps=4))
        assert stopped(await run.wait()).limit == "steps"
        await run.retry(limits=Limits(steps=1000))
        assert len(done(await run.wait()).log) == 4 + 1 + 50 + 1  # one turn had begun; 50 more, and `after`


@pytest.mark.asyncio
async def test_what_was_counted_outlives_the_process(tmp_path: Path) -> None:
    """The first process stops in the middle of the loop; the second one counts on."""
    stage = Stage()
    graph = round_and_round(stage.node("a"))
    graph.limit("a", steps=4, then=note("after"))
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board(), key="k")
        await stage.end(run, "a@0", "a@1")
        await stage.begins("a@2")
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        await run.resume()
        await stage.end(run, "a@2", "a@3")
        log = done(await run.wait()).log
    assert log[:-1] == ["a@0", "a@1", "a@2", "a@3"]


@pytest.mark.parametrize("steps", [1, 99])
@pytest.mark.asyncio
async def test_the_record_counts_the_way_of_a_limit_only_where_it_was_taken(steps: int) -> None:
    graph = Graph(Board, name="whole")
    graph.start(note("a"))
    graph.edge("a", note("b"))
    graph.limit(steps=steps, then=note("after"))
    plan = graph.compile()
    [limit] = [index for index, edge in enumerate(plan.edges) if edge.kind == "limit"]
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        done(await run.wait())
        assert bool((await run.record()).taken.get(limit)) == (steps == 1)
