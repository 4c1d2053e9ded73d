"""Why a run does not go on, for each kind of thing that it may wait for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from orchestra_graph import Engine, Graph, Item, Limits, Question, Retry, Run, ask, events, node
from orchestra_graph.runtime.explain import (
    Blocker,
    Explanation,
    Failure,
    JoinWaits,
    PersonWaits,
    RetryWaits,
    RoomWaits,
    Runs,
    Stop,
)

from .common import Sheet, asked, chain, database, done, failed, stopped, until_asked, virtual
from .virtual import EPOCH, in_virtual_time


@node(writes="text")
async def first(text: str) -> str:
    return f"{text}."


@node(writes="left")
async def left(text: str) -> str:
    return text


@ask(writes="ok")
async def approve(text: str) -> Question[bool]:
    return Question("Send it?", to="ana")


@node(writes="right")
async def polish(ok: bool) -> str:
    return "polished"


@node(writes="count")
async def ship(left: str, right: str) -> int:
    return 1


def forked() -> Graph[Sheet]:
    graph = Graph(Sheet, name="forked")
    graph.start(first)
    graph.edge(first, [left, approve])
    graph.edge(approve, polish)
    graph.edge([left, polish], ship)
    return graph


async def begun(run: Run[Sheet], *ids: str) -> None:
    """Wait until these have started."""
    missing = set(ids)
    async for event in run.events():
        if isinstance(event, events.NodeStarted):
            missing.discard(event.id)
        if not missing:
            return


@pytest.mark.asyncio
async def test_a_join_names_what_came_what_it_waits_for_and_the_way_from_there(tmp_path: Path) -> None:
    graph = forked()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        asked(await (await engine.start(graph, Sheet(), key="k 1")).wait())
    async with Engine(database(tmp_path)) as engine:  # without the code
        said = await (await engine.get("k 1")).explain()
    [person, join] = said.reasons
    assert isinstance(person, PersonWaits)
    assert (person.question.id, person.question.to, person.due) == ("approve", "ana", False)
    assert join == JoinWaits(
        id="ship", came=("left",), blockers=(Blocker(id="approve", path=("approve", "polish", "ship")),), count=1
    )
    assert (said.run, said.graph, said.status, said.driven) == ("k 1", "forked", "waiting", False)
    assert str(said) == (
        "k 1 (forked) waits for people:\n"
        "  approve asks ana: Send it?\n"
        "  ship has what came from left, and waits for\n"
        "    approve, which may still come: approve -> polish -> ship\n"
        "    orchestra answer 'k 1' approve true"
    )


@in_virtual_time
async def test_a_join_in_a_later_turn_waits_for_the_turn_before_it() -> None:
    @node(writes="count")
    async def head(count: int) -> int:
        return count + 1

    @node
    async def fast() -> None: ...

    @node(writes="notes")
    async def slow(count: int) -> list[str]:
        await asyncio.sleep(100 if count == 1 else 0)
        return []

    def again(count: int) -> bool:
        return count < 2

    graph = Graph(Sheet, name="loop")
    graph.start(head)
    graph.edge(head, [fast, slow])
    graph.edge([fast, slow], head, when=again)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        await asyncio.sleep(50)
        runs, join = (await run.explain()).reasons
        assert isinstance(runs, Runs)
        assert join == JoinWaits(
            id="head@1",
            came=("fast",),
            blockers=(Blocker(id="slow@0", path=("slow", "head"), earlier=True),),
            count=1,
        )
        assert "slow@0, which is in an earlier turn" in str(join)
        done(await run.wait())


@in_virtual_time
async def test_a_retry_says_when_and_why() -> None:
    @node(writes="text", retry=Retry(attempts=2, delay=30, jitter=0))
    async def shaky() -> str:
        if not broke:
            broke.append(1)
            raise ConnectionError("down")
        return "x"

    broke: list[int] = []
    graph = chain(shaky)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await asyncio.sleep(5)
        said = await run.explain()
        assert said.reasons == (RetryWaits(id="shaky", attempt=2, at=EPOCH + 30, error="ConnectionError: down"),)
        assert "shaky is tried again (attempt 2) at 2027-01-15 08:00:30 UTC: ConnectionError: down" in str(said)
        done(await run.wait())
        assert str(await run.explain()) == "k (line) is done: it waits for nothing."


@pytest.mark.asyncio
async def test_an_each_says_how_many_wait_for_room() -> None:
    go = asyncio.Event()

    @node(writes="items")
    async def plan() -> list[int]:
        return list(range(20))

    @node(writes="total")
    async def work(item: Item[int]) -> int:
        await go.wait()
        return item

    graph = Graph(Sheet, name="wide")
    graph.start(plan)
    graph.each(plan, "items", work, collect=left, limit=3)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        await begun(run, "work#2")
        runs, room = (await run.explain()).reasons
        assert runs == Runs(ids=("work#0", "work#1", "work#2"), count=3, driven=True)
        assert room == RoomWaits(
            node="work",
            ids=("work#3", "work#4", "work#5", "work#6", "work#7"),
            count=17,
            limit=3,
            working=("work#0", "work#1", "work#2"),
        )
        assert "17 of 'work' wait for room: 3 may be at work at once" in str(room)
        go.set()
        done(await run.wait())


@pytest.mark.asyncio
async def test_a_run_that_nobody_drives_says_how_to_go_on(tmp_path: Path) -> None:
    @node
    async def hangs() -> None:
        await asyncio.sleep(3600)

    graph = chain(hangs)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await begun(run, "hangs")
        assert (await run.explain()).commands == ()
    async with Engine(database(tmp_path)) as engine:
        said = await (await engine.get("k")).explain()
    assert said == Explanation(
        run="k",
        graph="line",
        status="running",
        driven=False,
        reasons=(Runs(ids=("hangs",), count=1, driven=False),),
        commands=("orchestra resume k",),
    )
    assert "hangs may run, but nobody drives the run\n    orchestra resume k" in str(said)


@pytest.mark.asyncio
async def test_a_failed_run_says_what_failed_and_what_else_it_would_wait_for(tmp_path: Path) -> None:
    go = asyncio.Event()

    @node
    async def wrong() -> None:
        await go.wait()
        raise ValueError("no")

    graph = Graph(Sheet, name="g")
    graph.start([wrong, approve])
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await until_asked(run)
        go.set()
        failed(await run.wait())
        said = await run.explain()
        failure, person = said.reasons
        assert failure == Failure(id="wrong", error="ValueError: no")
        assert isinstance(person, PersonWaits)
        assert (said.status, said.commands) == ("failed", ("orchestra retry k",))
        await run.cancel()
        assert (await run.explain()).reasons == ()


@pytest.mark.asyncio
async def test_a_run_that_a_limit_stopped_says_which(tmp_path: Path) -> None:
    graph = chain(first, left)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k", limits=Limits(steps=1))
        stopped(await run.wait())
        said = await run.explain()
    assert said.reasons == (Stop(why="the run has had its 1 steps"),)
    assert said.commands == ("orchestra retry k",)


@in_virtual_time
async def test_a_question_whose_time_is_over_is_said_to_be_too_late() -> None:
    @ask(writes="ok")
    async def soon() -> Question[bool]:
        return Question("Quick?", expires_in=timedelta(seconds=100))

    graph = chain(soon)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        asked(await run.wait())
        await asyncio.sleep(99)
        [person] = (await run.explain()).reasons
        assert isinstance(person, PersonWaits)
        assert not person.due
        await asyncio.sleep(1)
        [person] = (await run.explain()).reasons
        assert isinstance(person, PersonWaits)
        assert person.due
        assert "too late" in str(person)
