"""A worker is killed: how long until another one goes on with its run, in units of the lease."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from pathlib import Path
from typing import Any

from orchestra_graph import Done, Engine, Graph, State, node
from orchestra_graph.testing.postgres import throwaway_postgres
from tests.benchmarks.report import Figure

__all__ = ["measure"]

LEASE = 1.0
ROUNDS = 3
_PATIENCE = 60.0
_seen: dict[str, Any] = {}


class Job(State):
    key: str
    ended: bool = False


@node(writes="ended")
async def work(key: str) -> bool:
    """In the process that is killed it never ends; in the other one it says when it began."""
    door = _seen.get("door")
    if door is not None:
        door.send(key)
        await asyncio.Event().wait()
    _seen[key] = time.perf_counter()  # what the takeover has stored is durable: no node begins before
    return True


graph = Graph(Job, name="takeover")
graph.start(work)


def _victim(url: str, key: str, door: Any) -> None:
    async def drive() -> None:
        async with Engine(url, graphs=[graph], lease=LEASE) as engine:
            await (await engine.start(graph, Job(key=key), key=key)).wait()

    _seen["door"] = door
    asyncio.run(drive())


def _begin(url: str, key: str) -> Any:
    """A process that is in the middle of a run."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_victim, args=(url, key, there))
    process.start()
    there.close()
    with here:
        assert here.poll(_PATIENCE)
        assert here.recv() == key
    return process


async def measure(folder: Path) -> list[Figure]:
    """The longest of a few kills, each at another time since the last heartbeat."""
    waits = []
    with throwaway_postgres() as database:
        async with Engine(database.url, graphs=[graph], lease=LEASE) as engine:
            working = asyncio.create_task(engine.work(poll=LEASE / 10))
            try:
                for key in (f"run-{i}" for i in range(ROUNDS)):
                    process = await asyncio.to_thread(_begin, database.url, key)
                    process.kill()
                    killed = time.perf_counter()
                    outcome = await (await engine.get(key, graph)).wait(timeout=_PATIENCE)
                    assert isinstance(outcome, Done)
                    waits.append((_seen[key] - killed) / LEASE)
                    await asyncio.to_thread(process.join)
            finally:
                working.cancel()
                await asyncio.wait([working])
    detail = f"a lease of {LEASE:g} s; the shortest of {ROUNDS}: {min(waits):.2f}"
    return [Figure("from a kill to what its successor does, in leases", max(waits), 1.5, detail)]
