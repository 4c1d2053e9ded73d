"""A run that is pruned while it is read is unknown, and not broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import Engine, Run, UnknownRun
from orchestra_graph.errors import StoreBroken, UnknownStep

from .common import Sheet, chain, database
from .test_find import hello

READS: dict[str, Callable[[Run[Sheet]], Awaitable[Any]]] = {
    "state": lambda run: run.state(),
    "record": lambda run: run.record(),
    "history": lambda run: run.history(),
    "state_at": lambda run: run.state_at(1),
    "explain": lambda run: run.explain(),
    "replay": lambda run: run.replay(),
    "fork": lambda run: run.fork(),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.asyncio
async def test_pruned_in_the_middle(tmp_path: Path, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain(hello, name="quick")
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(text="x"), key="k")
        await run.wait()
        store = engine.store
        log = store.log

        async def pruned(*args: Any, **kwargs: Any) -> Any:
            await store.prune(before=1e12, status=["done"])
            return await log(*args, **kwargs)

        monkeypatch.setattr(store, "log", pruned)
        if read in ("state", "history", "record", "explain"):  # all was read before, or an empty log is short
            await READS[read](run)
            return
        with pytest.raises(UnknownRun, match="there is no run 'k'"):
            await READS[read](run)


@pytest.mark.asyncio
async def test_what_is_broken_and_there_is_broken(tmp_path: Path) -> None:
    graph = chain(hello, name="quick")
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(text="x"), key="k")
        await run.wait()
        with pytest.raises(UnknownStep):
            await run.state_at(99)
        assert issubclass(StoreBroken, Exception)
