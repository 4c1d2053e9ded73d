"""Many who start one key at the same time, on every store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestra_graph import BadInput, Engine, Graph, Run, RunKeyTaken, node
from orchestra_graph.store.base import Store
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.testing.postgres import throwaway_postgres

from .common import Sheet, chain, database

STARTERS = 50


@node(writes="count")
async def count(count: int) -> int:
    return count + 1


first, other = chain(count, name="first"), chain(count, name="other")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str | Store]]:
    """What two engines on one database are made with."""
    match request.param:
        case "memory":
            shared = MemoryDatabase()
            yield [MemoryStore(shared), MemoryStore(shared)]
        case "sqlite":
            yield [database(tmp_path)] * 2
        case _:
            with throwaway_postgres() as made:
                yield [made.url] * 2


@pytest_asyncio.fixture
async def engines(places: list[str | Store]) -> AsyncIterator[list[Engine]]:
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(Engine(place, graphs=[first, other])) for place in places]


async def start(engines: list[Engine], number: int, graph: Graph[Sheet], text: str) -> Run[Any] | RunKeyTaken:
    try:
        return await engines[number % 2].start(graph, Sheet(text=text), key="one")
    except RunKeyTaken as error:
        return error


@pytest.mark.asyncio
async def test_those_who_start_the_same_have_the_same_run(engines: list[Engine]) -> None:
    runs = await asyncio.gather(*(start(engines, number, first, "a") for number in range(STARTERS)))
    assert all(isinstance(run, Run) for run in runs)
    states = await asyncio.gather(*(run.result() for run in runs if isinstance(run, Run)))
    assert {(state.text, state.count) for state in states} == {("a", 1)}
    assert [run.key for run in await engines[0].find()] == ["one"]


@pytest.mark.asyncio
@pytest.mark.parametrize("graphs", [(first, other), (first, first)], ids=["another graph", "another input"])
async def test_of_those_who_start_something_else_one_side_has_the_run_and_the_other_is_told(
    engines: list[Engine], graphs: tuple[Graph[Sheet], Graph[Sheet]]
) -> None:
    tried = [(graphs[number // 2 % 2], "ab"[number // 2 % 2]) for number in range(STARTERS)]
    found = await asyncio.gather(*(start(engines, number, *what) for number, what in enumerate(tried)))
    [run] = await engines[0].find()
    state = await run.state() if run.graph == "first" else await (await engines[0].get("one", other)).state()
    winner = (run.graph, state.text)  # type: ignore[attr-defined]
    for (graph, text), got in zip(tried, found, strict=True):
        assert isinstance(got, Run) == ((graph.name, text) == winner)
    assert Counter(type(got).__name__ for got in found) == {"Run": 26, "RunKeyTaken": 24} or Counter(
        type(got).__name__ for got in found
    ) == {"Run": 24, "RunKeyTaken": 26}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["half \ud800", "nul \0"])
async def test_a_name_that_no_database_can_hold_is_refused(name: str) -> None:
    async with Engine(graphs=[first]) as engine:
        with pytest.raises(BadInput, match=r"the key .* is no text that every database holds"):
            await engine.start(first, Sheet(), key=name)


@pytest.mark.asyncio
async def test_a_key_of_a_run_that_is_pinned_otherwise_is_taken() -> None:
    async with Engine(graphs=[first]) as engine:
        await engine.start(first, Sheet(), key="k")
        with pytest.raises(RunKeyTaken, match="that run is not pinned"):
            await engine.start(first, Sheet(), key="k", pinned=True)
