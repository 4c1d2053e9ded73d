"""Real processes that use a store.

Each is this file, run as ``python processes.py ROLE URL``; it says on its standard output how far it is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from orchestra_graph.store.base import Append, LogRow, NewRun
from orchestra_graph.store.sqlite import SqliteStore

PATIENCE = 30.0


@contextmanager
def process(role: str, url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that plays a role; it is dead afterwards."""
    child = subprocess.Popen(
        [sys.executable, __file__, role, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


def line(child: subprocess.Popen[str]) -> str:
    """What the process says next; waits for it."""
    assert child.stdout is not None
    said = child.stdout.readline().strip()
    assert said, "the process ended"
    return said


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _say(word: object) -> None:
    print(word, flush=True)


def _run() -> NewRun:
    return NewRun(key="k", graph="g", version="1", fingerprint="f", shape="{}", body="{}", at=100.0)


def _outlive() -> NoReturn:
    time.sleep(PATIENCE)
    os._exit(0)


async def own(url: str) -> None:
    """Own the run, until somebody writes a line to the standard input."""
    async with SqliteStore(url) as store:
        run, _ = await store.create(_run())
        _say((await store.claim(run.number)).epoch)
        await asyncio.to_thread(sys.stdin.readline)


async def own_and_fork(url: str) -> None:
    """Own the run, with a child that was forked and outlives this process."""
    async with SqliteStore(url) as store:
        await store.create(_run())
        child = os.fork()
        if not child:
            _outlive()
        _say(child)
        await asyncio.to_thread(sys.stdin.readline)


async def write(url: str) -> None:
    """Append as fast as it goes, and say what is stored."""
    async with SqliteStore(url) as store:
        run, _ = await store.create(_run())
        for seq in range(1, 1_000_000):
            await store.append(Append(run=run.number, epoch=1, rows=[LogRow(seq, "k", 1.0, "x" * 500)]))
            _say(seq)


async def answer(url: str) -> None:
    """Answer the question with the process's own number."""
    async with SqliteStore(url) as store:
        _say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        _say((await store.answer(1, "approve@0", str(os.getpid()), 110.0)).answer)


async def open_and_create(url: str) -> None:
    """Open the store at the same time as others."""
    _say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    async with SqliteStore(url) as store:
        _, created = await store.create(_run())
        _say("created" if created else "found")


async def die_migrating(url: str) -> None:
    """Be killed in the middle of the first migration."""
    from sqlalchemy import Engine, event

    def after(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "CREATE TABLE runs" in statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "after_cursor_execute", after)
    async with SqliteStore(url):
        _say("survived")


async def upgrade_halfway(url: str) -> None:
    """Stop in the middle of bringing a database up to date, until somebody writes a line or kills this process."""
    from sqlalchemy import Engine, event

    def after(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "CREATE TABLE inbox" in statement:
            _say("halfway")
            sys.stdin.readline()

    event.listen(Engine, "after_cursor_execute", after)
    async with SqliteStore(url):
        _say("done")


async def open_and_read(url: str) -> None:
    """Open the store at the same time as others, and say what is in it."""
    _say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    _say("opening")
    async with SqliteStore(url) as store:
        _say(" ".join(sorted(run.status for run in await store.runs())))


async def remove(url: str) -> None:
    """Remove run after run, and say which."""
    async with SqliteStore(url) as store:
        while gone := await store.prune(before=1e12, status=["done"], limit=1):
            _say(gone[0])


ROLES = {
    role.__name__: role
    for role in (
        own,
        own_and_fork,
        write,
        answer,
        open_and_create,
        die_migrating,
        upgrade_halfway,
        open_and_read,
        remove,
    )
}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](sys.argv[2]))
