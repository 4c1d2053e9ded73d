"""A process that drives a run and dies at a moment that was chosen before."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from orchestra_graph import Engine, Failed
from orchestra_graph.runtime import scribe
from orchestra_graph.store import door, writer
from tests.kill import flow as effects
from tests.kill.constructs import Sheet, graph_of
from tests.kill.flow import Held, Work, flow, held

__all__ = ["Moment", "drive", "end_constructs", "hold", "try_construct"]

Moment = Literal["before", "after", "inside"]
"""Right before a commit, in its transaction; right after it, before anybody is told; inside of a node."""


class _Countdown:
    """Kills the process when it has been called so many times; 0: never."""

    def __init__(self, times: int):
        self.left = times

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


class _Counted:
    """The writing connection of the store, which counts the commits that change something."""

    def __init__(self, database: Any, before: _Countdown, after: _Countdown):
        self._database, self._before, self._after = database, before, after
        self._changes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def execute(self, statement: str, *parameters: Any) -> Any:
        if statement == "BEGIN IMMEDIATE":
            self._changes = self._database.total_changes
        changed = self._database.total_changes != self._changes
        if statement != "COMMIT" or not changed:
            return self._database.execute(statement, *parameters)
        self._before()
        done = self._database.execute(statement)
        self._after()
        return done


def _die(moment: Moment, at: int) -> None:
    before, after, inside = (_Countdown(at if m == moment else 0) for m in ("before", "after", "inside"))
    vars(writer)["sqlite_connection"] = lambda c: _Counted(door.sqlite_connection(c), before, after)
    effects.noted = inside


def drive(folder: str, at: int, moment: Moment, snapshots: bool) -> None:
    """Start the run, or go on with it, until it rests; die at the commit, or the effect, number *at* (0: never)."""
    home = Path(folder)
    _die(moment, at)
    if snapshots:  # after every few rows, whatever they cost
        scribe._SNAPSHOT_ROWS, scribe._SNAPSHOT_GROWTH = 3, 0

    async def main() -> None:
        async with Engine(f"sqlite:///{home / 'run.db'}", graphs=[flow]) as engine:
            run = await engine.start(flow, Work(effects=home / "effects"), key="killed")
            rested = type(await run.wait()).__name__
        (home / "rested").write_text(rested)

    asyncio.run(main())


def try_construct(folder: str, name: str, at: int, moment: Moment) -> None:
    """Run the graph of a construct to its end; die at the commit, or the effect, number *at*.

    Who dies right behind a commit writes a snapshot every few rows, so that whoever goes on begins with one.
    """
    _die(moment, at)
    if moment == "after":
        scribe._SNAPSHOT_ROWS, scribe._SNAPSHOT_GROWTH = 3, 0
    asyncio.run(_end(Path(folder), name))


def end_constructs(folders: Sequence[str], name: str) -> None:
    """Go on with runs until all of them have ended; say in each folder how."""
    for folder in folders:
        found = asyncio.run(_end(Path(folder), name))
        (Path(folder) / "ended").write_text(json.dumps(found))


async def _end(home: Path, name: str) -> dict[str, Any]:
    graph = graph_of(name)
    async with Engine(f"sqlite:///{home / 'run.db'}", graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(effects=home / "effects"), key="killed")
        outcome = await run.wait(timeout=30)
        asked = [question.id for question in await run.questions()]
    state = outcome.state.model_dump(mode="json", exclude={"effects"})
    reason = outcome.reason if isinstance(outcome, Failed) else ""
    return {"outcome": type(outcome).__name__, "state": state, "reason": reason, "asked": asked}


def hold(url: str, door: Connection) -> None:
    """Drive a run whose node says through the door that it runs, and goes on when something comes through it."""
    effects.door = door

    async def main() -> None:
        async with Engine(url, graphs=[held]) as engine:
            run = await engine.start(held, Held(), key="held")
            await run.wait()

    asyncio.run(main())
