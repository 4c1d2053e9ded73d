"""What is told of a run: the same as what the engine itself makes of the log, for every construct."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orchestra_graph import (
    Context,
    Engine,
    Graph,
    Item,
    Limits,
    Question,
    Retry,
    Run,
    State,
    ask,
    events,
    first,
    later,
    node,
    until,
)
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.run import RunState
from orchestra_graph.runtime.blobs import read_events
from orchestra_graph.runtime.records import known_event, outline_of

from .common import Sheet, asked, chain, virtual
from .virtual import in_virtual_time


def pause(name: str, seconds: float, writes: str = "notes") -> Any:
    @node(name=name, writes=writes)
    async def waits(text: str, ctx: Context) -> list[str]:
        await asyncio.sleep(seconds)
        return [ctx.id]

    return waits


@node(writes="text")
async def begin(text: str) -> str:
    return f"{text}."


@node(writes="count")
async def turn(count: int) -> int:
    await asyncio.sleep(1)
    return count + 1


@node
async def breaks() -> None:
    await asyncio.sleep(1)
    raise ValueError("no")


@ask(writes="ok")
async def approve() -> Question[bool]:
    return Question("Well?", to="ana")


def raced() -> Graph[Sheet]:
    fast, slow, after = pause("fast", 1), pause("slow", 9), pause("after", 0)
    graph = Graph(Sheet, name="raced")
    graph.start(begin)
    graph.edge(begin, [fast, slow, approve])
    graph.race(fast, slow, approve)
    graph.edge(fast, after)
    graph.edge(slow, after)
    graph.edge(approve, after)
    return graph


def rest_cancelled() -> Graph[Sheet]:
    fast, slow, after = pause("fast", 1), pause("slow", 9), pause("after", 0)
    graph = Graph(Sheet, name="first")
    graph.start([fast, slow])
    graph.edge([fast, slow], after)
    graph.join(after, first(1, cancel_rest=True))
    return graph


def asked_join() -> Graph[Sheet]:
    a, b, c, after = pause("a", 1), pause("b", 2), pause("c", 3), pause("after", 0)
    graph = Graph(Sheet, name="until")
    graph.start([a, b, c])
    graph.edge([a, b, c], after)
    graph.join(after, until(lambda notes: len(notes) >= 2))
    return graph


def failing_over() -> Graph[Sheet]:
    after = pause("after", 0)
    graph = Graph(Sheet, name="over")
    graph.start(breaks)
    graph.edge(breaks, turn)
    graph.edge(breaks, after, on_error=ValueError)
    return graph


def excused() -> Graph[Sheet]:
    good, after = pause("good", 5), pause("after", 0)
    graph = Graph(Sheet, name="excused")
    graph.start([breaks, good])
    graph.edge([breaks, good], after)
    graph.join(after, first(1))
    return graph


def limited() -> Graph[Sheet]:
    after = pause("after", 0)
    graph = Graph(Sheet, name="limited")
    graph.start(turn)
    graph.edge(turn, turn, when=lambda count: count < 100)
    graph.limit(turn, turns=3, then=after)
    return graph


def stepped() -> Graph[Sheet]:
    after, slow = pause("after", 0), pause("slow", 60)
    graph = Graph(Sheet, name="stepped")
    graph.start([turn, slow])
    graph.edge(turn, turn, when=lambda count: count < 100)
    graph.limit(turn, steps=4, then=after)
    return graph


def timed() -> Graph[Sheet]:
    after = pause("after", 0)
    graph = Graph(Sheet, name="timed")
    graph.start(turn)
    graph.edge(turn, turn, when=lambda count: count < 100)
    graph.limit(turn, seconds=2.5, then=after)
    return graph


def timed_out() -> Graph[Sheet]:
    graph = Graph(Sheet, name="timed_out")
    graph.start(turn)
    graph.edge(turn, turn, when=lambda count: count < 100)
    graph.limit(turn, seconds=2.5)
    return graph


def looping() -> Graph[Sheet]:
    graph = Graph(Sheet, name="looping")
    graph.start(turn)
    graph.edge(turn, turn, when=lambda count: count < 100)
    graph.limit(turn, turns=3)
    return graph


def each() -> Graph[Sheet]:
    @node(writes="items")
    async def plan() -> list[int]:
        return list(range(7))

    @node(writes="total", retry=Retry(attempts=2, delay=3, jitter=0, on=ConnectionError))
    async def work(item: Item[int], ctx: Context) -> int:
        await asyncio.sleep(item)
        if item % 3 == 0 and ctx.attempt == 1:
            raise ConnectionError("down")
        return item

    graph = Graph(Sheet, name="each")
    graph.start(plan)
    graph.each(plan, "items", work, collect=turn, limit=2)
    return graph


def ended_early() -> Graph[Sheet]:
    slow = pause("slow", 9)
    graph = Graph(Sheet, name="early")
    graph.start([turn, slow, approve])
    graph.terminate(turn)
    return graph


class Note(State):
    text: str
    draft: str = later()


def nested() -> Graph[Sheet]:
    @node(writes="draft")
    async def write(text: str) -> str:
        return text.upper()

    @node
    async def read(draft: str) -> None: ...

    inner = Graph(Note, name="inner")
    inner.start(write)
    inner.edge(write, read)
    graph = Graph(Sheet, name="nested")
    review = graph.add(inner, name="review", outputs={"draft": "left"})
    graph.start(begin)
    graph.edge(begin, review)
    graph.edge(review, turn)
    return graph


GRAPHS: list[Callable[[], Graph[Sheet]]] = [
    raced,
    rest_cancelled,
    asked_join,
    failing_over,
    excused,
    limited,
    stepped,
    timed,
    timed_out,
    looping,
    each,
    ended_early,
    nested,
    lambda: chain(begin, approve, turn),
    lambda: chain(breaks, turn),
]


async def told_of(run: Run[Any]) -> list[events.RunEvent]:
    return [event async for event in run.events(follow=False)]


def view(run: RunState) -> tuple[Any, ...]:
    """What a run is about to do."""
    live = sorted((a.id, a.status, a.attempt) for a in run.live.values())
    waves = sorted((w.join, str(w.stamp), len(w.tokens), w.fired) for w in run.waves.values())
    return live, waves, run.status, run.steps, None if run.halt is None else run.halt.status


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make().name)
def test_the_outline_sees_the_same_live_work_as_the_graph_itself(make: Callable[[], Graph[Sheet]]) -> None:
    @in_virtual_time
    async def play() -> None:
        graph = make()
        async with virtual(graph) as engine:
            run = await engine.start(graph, Sheet(text="t"))
            await run.wait()
            for question in await run.questions():
                await run.answer(question.id, True)
            await run.wait()
            rows = await engine.store.log(run._row.number)
            real = RunState.of(graph.compile())
            seen = RunState.of(await outline_of(engine.store, run._row))
            for row, event in zip(rows, await read_events(engine.store, rows, graph.compile()), strict=True):
                evolve(real, event)
                evolve(seen, known_event(row, "here")[0])
                assert view(seen) == view(real), row

    play()


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make().name)
def test_whatever_starts_also_ends_and_only_once(make: Callable[[], Graph[Sheet]]) -> None:
    @in_virtual_time
    async def play() -> None:
        graph = make()
        async with virtual(graph) as engine:
            run = await engine.start(graph, Sheet(text="t"))
            await run.wait()
            for question in await run.questions():
                await run.answer(question.id, True)
            outcome = await run.wait()
            going: set[str] = set()
            open_now: set[str] = set()
            for event in await told_of(run):
                match event:
                    case events.NodeStarted(id=i):
                        assert i not in going, event
                        going.add(i)
                    case events.NodeFinished(id=i) | events.NodeFailed(id=i, retry_at=None):
                        assert i in going, event
                        going.discard(i)
                    case events.NodeWithdrawn(id=i):
                        going.discard(i)
                    case events.QuestionAsked(question=q):
                        open_now.add(q)
                    case events.Answered(question=q) | events.QuestionWithdrawn(question=q):
                        open_now.remove(q)
                    case events.RunEnded(status=status):
                        assert status == type(outcome).__name__.lower()
            assert open_now == set()
            if type(outcome).__name__ == "Done":
                assert going == set()
            record = await run.record()
            done = {a.id for a in record.activations if a.status == "done"}
            assert {e.id for e in await told_of(run) if isinstance(e, events.NodeFinished)} == done

    play()


async def kinds(engine: Engine, graph: Graph[Sheet], **more: Any) -> list[str]:
    run = await engine.start(graph, Sheet(text="t"), **more)
    await run.wait()
    return [f"{type(e).__name__} {getattr(e, 'id', '')}".strip() for e in await told_of(run)]


@in_virtual_time
async def test_a_race_withdraws_work_and_questions() -> None:
    graph = raced()
    async with virtual(graph) as engine:
        told = await kinds(engine, graph)
    at = told.index("NodeFinished fast")
    assert set(told[at + 1 : at + 4]) == {"QuestionWithdrawn approve", "NodeWithdrawn approve", "NodeWithdrawn slow"}
    assert told.index("QuestionWithdrawn approve") + 1 == told.index("NodeWithdrawn approve")
    assert told[at + 4].startswith("NodeStarted after")


@in_virtual_time
async def test_a_failure_says_where_it_is_taken() -> None:
    graph = failing_over()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        await run.wait()
        [failure] = [e for e in await told_of(run) if isinstance(e, events.NodeFailed)]
    assert (failure.to, failure.retry_at, failure.error.type) == (("after",), None, "ValueError")


@in_virtual_time
async def test_a_limit_that_stops_a_run_is_told_before_its_end_and_no_start_behind_it() -> None:
    graph = looping()
    async with virtual(graph) as engine:
        told = await kinds(engine, graph)
        assert told[-3:] == ["NodeFinished turn@2", "LimitReached", "RunEnded"]
        run = await engine.start(graph, Sheet(), limits=Limits(seconds=1.5))
        await run.wait()
        limit = [e for e in await told_of(run) if isinstance(e, events.LimitReached)]
        assert [(e.limit, e.allowed) for e in limit] == [("seconds", 1.5)]
    graph = timed_out()
    async with virtual(graph) as engine:
        told = await kinds(engine, graph)
        assert told.count("LimitReached") == 1
        assert told[-1] == "RunEnded"


@pytest.mark.parametrize(
    ("make", "limit", "allowed"),
    [(limited, "turns of 'turn'", 3), (stepped, "steps of 'turn'", 4), (timed, "seconds of 'turn'", 2.5)],
)
def test_a_limit_with_a_way_on_is_told_once_before_what_it_starts(
    make: Callable[[], Graph[Sheet]], limit: str, allowed: float
) -> None:
    @in_virtual_time
    async def play() -> None:
        graph = make()
        async with virtual(graph) as engine:
            run = await engine.start(graph, Sheet())
            await run.wait()
            told = await told_of(run)
            [reached] = [e for e in told if isinstance(e, events.LimitReached)]
            assert (reached.limit, reached.allowed) == (limit, allowed)
            [then] = [e for e in told if isinstance(e, events.NodeStarted) and e.node == "after"]
            assert then.cursor.split(".")[1] == reached.cursor.split(".")[1]
            assert told.index(reached) < told.index(then)

    play()


@in_virtual_time
async def test_a_limit_that_the_code_has_lifted_since_hides_no_start() -> None:
    graph = looping()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await run.wait()
        higher = Graph(Sheet, name="looping")
        higher.start(turn)
        higher.edge(turn, turn, when=lambda count: count < 20)
        higher.limit(turn, turns=50)
        again = await engine.get("k", higher)
        await again.retry()
        await again.wait()
        told = await told_of(again)
        started = [e.id for e in told if isinstance(e, events.NodeStarted)]
        finished = [e.id for e in told if isinstance(e, events.NodeFinished)]
        assert len(finished) == len(set(finished)) == 20
        assert set(started) == set(finished)
        assert [type(e).__name__ for e in told].count("LimitReached") == 1


@in_virtual_time
async def test_waiting_is_told_once_each_time_that_only_people_can_move_the_run() -> None:
    second = ask(writes="left", name="second")(ask_text)
    graph = Graph(Sheet, name="two")
    graph.start([approve, second])
    graph.edge(approve, turn)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        await run.answer("approve", True)
        asked(await run.wait())
        await run.answer("second", "x")
        await run.wait()
        waiting = [e.questions for e in await told_of(run) if isinstance(e, events.Waiting)]
        assert waiting == [("approve", "second"), ("second",)]


async def ask_text() -> Question[str]:
    return Question("What?")


@pytest.mark.asyncio
async def test_an_irreversible_node_starts_when_its_start_is_stored() -> None:
    @node(effect="irreversible", unattended=True)
    async def pay() -> None: ...

    graph = chain(begin, pay)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        await run.wait()
        rows = await engine.store.log(run._row.number)
        [start] = [e for e in await told_of(run) if isinstance(e, events.NodeStarted) and e.node == "pay"]
        assert rows[int(start.cursor.split(".")[1])].kind == "NodeStarted"
