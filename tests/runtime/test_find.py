"""Finding runs page by page, and waiting for many."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestra_graph import BadInput, Done, Engine, GraphChanged, Question, UnknownRun, Waiting, ask, node

from .common import Sheet, asked, both_stores, chain, database, url_of, virtual
from .virtual import EPOCH, in_virtual_time


@node(writes="text")
async def hello(text: str) -> str:
    return f"hello {text}"


@ask(writes="ok")
async def confirm() -> Question[bool]:
    return Question("Well?")


quick = chain(hello, name="quick")
slow = chain(confirm, name="slow")


@both_stores
@pytest.mark.asyncio
async def test_pages_have_no_gap_and_no_double_while_new_runs_are_started(place: str, tmp_path: Path) -> None:
    async with Engine(url_of(place, tmp_path), graphs=[quick]) as engine:
        before = [f"k{number:02}" for number in range(23)]
        for key in before:
            await engine.start(quick, Sheet(), key=key)
        found: list[str] = []
        page = await engine.find(limit=5)
        while page:
            found += [run.key for run in page]
            await engine.start(quick, Sheet(), key=f"new{len(found)}")
            page = await engine.find(limit=5, after=page[-1].key)
        assert found == before[::-1]
        with pytest.raises(UnknownRun, match="there is no run 'k99'"):
            await engine.find(after="k99")


@in_virtual_time
async def test_runs_are_found_by_status_graph_key_and_time() -> None:
    async with virtual(quick, slow) as engine:
        for number in range(4):
            await (await engine.start(quick, Sheet(), key=f"quick-{number}")).wait()
            await (await engine.start(slow, Sheet(), key=f"slow_{number}")).wait()
            await asyncio.sleep(10)

        async def keys(**by: object) -> list[str]:
            return [run.key for run in await engine.find(**by)]  # type: ignore[arg-type]

        assert await keys(status="waiting") == ["slow_3", "slow_2", "slow_1", "slow_0"]
        assert await keys(status=["done", "failed"], limit=2) == ["quick-3", "quick-2"]
        assert await keys(graph=slow, key="slow_2") == await keys(graph="slow", key="slow_2") == ["slow_2"]
        assert await keys(key="slow%") == []
        assert await keys(since=EPOCH + 20) == ["slow_3", "quick-3", "slow_2", "quick-2"]
        late = datetime.fromtimestamp(EPOCH + 20, UTC)
        assert await keys(until=late, status="done") == ["quick-1", "quick-0"]
        with pytest.raises(BadInput, match="says nothing about its time zone"):
            await keys(since=datetime(2030, 1, 1))


@pytest.mark.asyncio
async def test_many_runs_are_waited_for_together_in_the_order_given() -> None:
    async with Engine(graphs=[quick, slow]) as engine:
        runs = [await engine.start(quick, Sheet(text=str(number))) for number in range(20)]
        outcomes = await engine.gather(*runs)
        assert [o.state.text for o in outcomes] == [f"hello {number}" for number in range(20)]
        both = await engine.gather(await engine.start(slow, Sheet()), runs[0], timeout=20)
        assert [type(o) for o in both] == [Waiting, Done]
        assert await engine.gather() == []


@pytest.mark.asyncio
async def test_waiting_for_many_ends_with_the_time_or_the_first_error_and_the_runs_go_on(tmp_path: Path) -> None:
    go = asyncio.Event()

    @node
    async def hangs() -> None:
        await go.wait()

    stuck = chain(hangs, name="stuck")
    async with Engine(database(tmp_path), graphs=[slow]) as engine:
        asked(await (await engine.start(slow, Sheet(), key="old")).wait())
    changed = chain(hello, name="slow")  # what the run waits for is gone
    async with Engine(database(tmp_path), graphs=[stuck, changed]) as engine:
        run = await engine.start(stuck, Sheet())
        with pytest.raises(TimeoutError):
            await engine.gather(run, timeout=0)
        with pytest.raises(GraphChanged):
            await engine.gather(run, await engine.get("old"))
        go.set()
        [outcome] = await engine.gather(run)
        assert isinstance(outcome, Done)
