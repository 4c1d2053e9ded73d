"""A run that is started here and driven elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from orchestra_graph import Done, Engine, Graph, Resource, State, node
from orchestra_graph.errors import GraphError

from .common import database


class Sum(State):
    n: int = 0


class Adder:
    def add(self, n: int) -> int:
        return n + 1


@node(writes="n")
async def work(n: int, adder: Annotated[Adder, Resource]) -> int:
    return adder.add(n)


graph = Graph(Sum, name="sum")
graph.start(work)


@pytest.mark.asyncio
async def test_who_only_starts_needs_no_resources_and_drives_nothing(tmp_path: Path) -> None:
    url = database(tmp_path)
    async with Engine(url, graphs=[graph]) as front:
        run = await front.start(graph, Sum(n=4), key="a", drive=False)
        row = await front.store.find("a")
        assert row is not None
        assert (row.status, row.owner) == ("running", None)
        assert (await run.record()).steps == 0
        with pytest.raises(GraphError, match="Adder"):
            await front.start(graph, Sum(), key="b")
        async with Engine(url, graphs=[graph], resources=[Adder()]) as worker:
            await worker.work(until_idle=True)
        outcome = await run.wait()
        assert isinstance(outcome, Done)
        assert outcome.state.n == 5


@pytest.mark.asyncio
async def test_the_same_key_again_is_the_same_run(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[graph], resources=[Adder()]) as engine:
        await engine.start(graph, Sum(n=4), key="a", drive=False)
        again = await engine.start(graph, Sum(n=4), key="a")
        assert (await again.result()).n == 5
