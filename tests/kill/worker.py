"""A process that drives the run and kills itself at one of its commits."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

from orchestra_graph import Engine
from orchestra_graph.store.sqlite import SqliteStore
from tests.kill.flow import Work, flow

__all__ = ["Moment", "drive"]

Moment = Literal["before", "after"]


def _kill_at(commit: int, moment: Moment, counted: Path) -> None:
    """Let every write of the store count as a commit, and the process die right before or after one of them."""
    done = 0

    def wrap(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            mine = done
            if mine == commit and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = await write(*args, **kwargs)
            counted.write_text(str(mine))
            if mine == commit and moment == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counting

    for name in ("create", "append"):
        setattr(SqliteStore, name, wrap(getattr(SqliteStore, name)))


def drive(folder: str, commit: int, moment: Moment) -> None:
    """Start the run, or go on with it, until it rests; die at *commit* (0: never)."""
    home = Path(folder)
    _kill_at(commit, moment, home / "commits")

    async def main() -> None:
        async with Engine(f"sqlite:///{home / 'run.db'}", graphs=[flow]) as engine:
            run = await engine.start(flow, Work(effects=home / "effects"), key="killed")
            (home / "rested").write_text(type(await run.wait()).__name__)

    asyncio.run(main())
