"""What the parts of the contract share: how a store is got hold of, and small things to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import pytest
import pytest_asyncio

from orchestra_graph.store.base import Append, LogRow, MessageRow, NewRun, QuestionRow, RunRow, Store

__all__ = ["Place", "Stores", "asked", "bodies", "found", "message", "new_run", "question", "row", "started"]

Place: TypeAlias = Callable[[], Store]
"""Makes a store on the same runs each time it is called, each an engine of its own."""


class Stores:
    """The stores of a test: one, and another engine beside it."""

    @pytest.fixture
    def place(self) -> Place:
        """How a store is made; to be said by whoever tests one."""
        raise NotImplementedError("a test of a store says in the fixture `place` how one is made")

    @pytest_asyncio.fixture
    async def store(self, place: Place) -> AsyncIterator[Store]:
        """A store that is open."""
        async with place() as store:
            yield store

    @pytest_asyncio.fixture
    async def other(self, place: Place, store: Store) -> AsyncIterator[Store]:
        """Another engine on the same runs."""
        async with place() as other:
            yield other

    async def kill(self, store: Store) -> None:
        """Make the engine of an open store dead, as ``kill -9`` would, and let its lease be over.

        Nothing is given up. What is called on the store afterwards may be refused in any way, and it can be closed.
        """
        raise NotImplementedError("a test of a store says in `kill` how one dies")


def new_run(key: str = "k", *, graph: str = "g", at: float = 100.0) -> NewRun:
    """A run to be created."""
    return NewRun(key=key, graph=graph, version="1", fingerprint="f", shape='{"nodes": []}', body='{"x": 1}', at=at)


def row(seq: int, body: str = "{}") -> LogRow:
    """A log row; it happened at ``100 + seq``."""
    return LogRow(seq, "NodeFinished", 100.0 + seq, body)


def question(name: str = "approve@0", *, expires_at: float | None = None, prompt: str = "Go on?") -> QuestionRow:
    """A question that somebody asks."""
    return QuestionRow(
        run=0,
        key="",
        id=name,
        prompt=prompt,
        to="ana",
        details='{"total": 3}',
        schema='{"type": "boolean"}',
        status="open",
        asked_at=101.0,
        expires_at=expires_at,
    )


async def started(store: Store, key: str = "k", *, graph: str = "g") -> int:
    """A new run; its number."""
    run, created = await store.create(new_run(key, graph=graph))
    assert created
    return run.number


async def bodies(store: Store, run: int) -> list[str]:
    """The bodies of all log rows but the first."""
    return [r.body for r in await store.log(run, after=0)]


async def asked(store: Store, *questions: QuestionRow, key: str = "k") -> int:
    """A new run that asks."""
    run = await started(store, key)
    await store.append(Append(run=run, epoch=1, rows=[row(1)], asked=questions))
    return run


def message(name: str = "m", run: int = 1, *, channel: str = "chat", body: str = '"hello"') -> MessageRow:
    """A message that somebody sends."""
    return MessageRow(run=run, id=name, channel=channel, body=body, sent_at=102.0)


async def found(store: Store, key: str = "k") -> RunRow:
    """A run that is there."""
    row = await store.find(key)
    assert row is not None
    return row
