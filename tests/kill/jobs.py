"""Graphs for fleets: what `orchestra worker` drives in the tests, as processes that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from orchestra_graph import Context, Graph, Node, Retry, State, node
from orchestra_graph.errors import StoreError

__all__ = ["STEPS", "Job", "deadly", "held", "job", "paid", "slow", "stubborn"]

STEPS = 10


class Job(State):
    """What every run here has.

    Attributes:
        folder: Where the nodes leave their traces.
    """

    folder: Path
    by: int = 0


def note(folder: Path, *words: object) -> None:
    """Leave a trace: a line, whole, whoever else writes at the same time."""
    line = " ".join(map(str, words)) + "\n"
    with (folder / "effects").open("ab", buffering=0) as file:
        file.write(line.encode())


def _step(number: int) -> Node[Any]:
    @node(name=f"s{number}")
    async def work(folder: Path, ctx: Context) -> None:
        note(folder, ctx.run, f"s{number}", ctx.idempotency_key)
        await asyncio.sleep(0.005)

    return work


job = Graph(Job, name="job")
"""Ten nodes in a line, each with an effect on a file."""
job.chain(*(_step(number) for number in range(STEPS)))
job.start("s0")


def _paying(number: int) -> Node[Any]:
    @node(name=f"s{number}", retry=Retry(attempts=20, delay=0.2, longest=2, on=StoreError))
    async def pay(folder: Path, ctx: Context) -> None:
        note(folder, ctx.run, f"s{number}", ctx.idempotency_key)
        await asyncio.sleep(0.05)
        async with ctx.transaction() as tx:
            values = {"run": ctx.run, "node": ctx.node, "pid": os.getpid()}
            await tx.execute("INSERT INTO effects (run, node, pid) VALUES (:run, :node, :pid)", values)

    return pay


paid = Graph(Job, name="paid")
"""Ten nodes in a line, each with an effect on a file, and one on a table of the user's."""
paid.chain(*(_paying(number) for number in range(STEPS)))
paid.start("s0")


@node(writes="by")
async def pay_slowly(folder: Path, ctx: Context) -> int:
    async with ctx.transaction() as tx:
        values = {"run": ctx.run, "node": ctx.node, "pid": os.getpid()}
        await tx.execute("INSERT INTO effects (run, node, pid) VALUES (:run, :node, :pid)", values)
        note(folder, "held", os.getpid())
        while not (folder / "go").exists():
            await asyncio.sleep(0.01)
    return os.getpid()


slow = Graph(Job, name="slow")
"""Is in a transaction until there is a file `go`."""
slow.start(pay_slowly)


@node(writes="by")
async def hold(folder: Path) -> int:
    note(folder, "held", os.getpid())
    while not (folder / "go").exists():
        await asyncio.sleep(0.01)
    return os.getpid()


held = Graph(Job, name="held")
"""Waits until there is a file `go`."""
held.start(hold)


@node
async def refuse(folder: Path) -> None:
    note(folder, "refuses", os.getpid())
    while not (folder / "go").exists():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            note(folder, "was cancelled")


stubborn = Graph(Job, name="stubborn")
"""Does not let itself be cancelled."""
stubborn.start(refuse)


@node(writes="by")
async def kill(folder: Path) -> int:
    if not (folder / "mended").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return 1


deadly = Graph(Job, name="deadly")
"""Kills whoever runs it, until there is a file `mended`."""
deadly.start(kill)
