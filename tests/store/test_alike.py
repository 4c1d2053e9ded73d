"""The store in memory does the same as those in databases: hundreds of calls by three engines, drawn from a seed.

The simulation of whole fleets runs on the one in memory. What it shows is worth as much as this.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import OrchestraError
from orchestra_graph.store.base import Append, CachedRow, Fenced, Form, MessageRow, QuestionStatus, Snapshot, Store
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.store.postgres import PostgresStore
from orchestra_graph.store.sqlite import SqliteStore, _Open
from orchestra_graph.testing.contract.common import message, new_run, question, row
from orchestra_graph.testing.postgres import Database, throwaway_postgres

from .test_postgres import end_lease, stop_the_heart

ENGINES = 3
CALLS = 250
KEYS = [f"k{n}" for n in range(6)]
STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)

Call = Callable[[Store], Coroutine[Any, Any, Any]]


class Fleet:
    """Some engines on one kind of store; those that die are replaced."""

    def __init__(self, make: Callable[[], Store], kill: Callable[[Store], Awaitable[None]]):
        self._make, self._kill = make, kill
        self.stores: list[Store] = []
        self._dead: list[Store] = []
        self._names: dict[str, str] = {}

    async def __aenter__(self) -> Fleet:
        for _ in range(ENGINES):
            self.stores.append(await self._make().__aenter__())
        return self

    async def __aexit__(self, *exc: Any) -> None:
        for store in (*self.stores, *self._dead):
            await store.__aexit__(*exc)

    async def die(self, engine: int) -> None:
        await self._kill(self.stores[engine])
        self._dead.append(self.stores[engine])
        self.stores[engine] = await self._make().__aenter__()
        await self.stores[engine].due({}, now=0.0)  # a dead owner is found out sooner in a file

    async def close(self, engine: int) -> None:
        await self.stores[engine].__aexit__(None, None, None)
        self.stores[engine] = await self._make().__aenter__()

    def plain(self, value: Any) -> Any:
        """A result, with names of engines that are the same in each fleet, and without the numbers of messages."""
        if isinstance(value, list | tuple):
            return [self.plain(inner) for inner in value]
        if isinstance(value, MessageRow):
            return replace(value, number=0)
        owner = getattr(value, "owner", None)
        if owner is not None:
            return replace(value, owner=self._names.setdefault(owner, f"engine {len(self._names)}"))
        return value


async def outcome(fleet: Fleet, engine: int, call: Call) -> Any:
    """What came of a call: its result, or the name of the error."""
    try:
        return fleet.plain(await call(fleet.stores[engine]))
    except (OrchestraError, Fenced) as error:
        return type(error).__name__


def file_fleet(folder: Path) -> Fleet:
    async def kill(store: Store) -> None:
        assert isinstance(store, SqliteStore)
        assert isinstance(store._open, _Open)
        store._open.identity.abandon()

    return Fleet(lambda: SqliteStore(f"sqlite:///{folder}/runs.db"), kill)


def server_fleet(url: str) -> Fleet:
    async def kill(store: Store) -> None:
        assert isinstance(store, PostgresStore)
        await stop_the_heart(store)
        await asyncio.to_thread(end_lease, store)

    return Fleet(lambda: PostgresStore(url), kill)


def memory_fleet() -> Fleet:
    database = MemoryDatabase()

    async def kill(store: Store) -> None:
        assert isinstance(store, MemoryStore)
        assert store.engine is not None
        store.pause()
        database.expire(store.engine)

    return Fleet(lambda: MemoryStore(database), kill)


class Draw:
    """Draws calls. It remembers how long the logs are, so that most appends fit."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)
        self.last: dict[int, tuple[int, int]] = {}  # the epoch and the last row of a run, as a store has just said
        self.owners: dict[int, int] = {}  # which engine has which run

    @property
    def state(self) -> Any:
        """Where the drawing is."""
        return self._random.getstate()

    @state.setter
    def state(self, state: Any) -> None:
        self._random.setstate(state)

    def next(self) -> tuple[int, Call]:
        """Who calls, and what."""
        self._engine = self._random.randrange(ENGINES)
        call = self._call()
        return self._engine, call

    def _call(self) -> Call:
        kinds = {
            self._create: 3,
            self._claim: 6,
            self._append: 14,
            self._answer: 4,
            self._send: 4,
            self._due: 4,
            self._read: 4,
            self._prune: 1,
            self._tidy: 1,
        }
        draw: Callable[[], Call] = self._random.choices(list(kinds), list(kinds.values()))[0]
        return draw()

    def may(self, share: float) -> bool:
        return self._random.random() < share

    def among(self, choices: Any) -> Any:
        return self._random.choice(list(choices))

    def _run(self) -> int:
        return int(self.among(self.last or [1]))

    def _create(self) -> Call:
        new = replace(new_run(self.among(KEYS), graph=self.among("gh"), at=self._random.uniform(1, 100)))
        if self.may(0.3):
            new = replace(new, origin=self.among(KEYS), rows=[row(1)], asked=[question("a"), question("b")])
        new = replace(new, pinned=self.may(0.3), blobs={self.among("xyz"): "large"} if self.may(0.5) else {})
        return lambda store: store.create(new)

    def _claim(self) -> Call:
        run = self._run()
        return lambda store: store.claim(run)

    def _append(self) -> Call:
        run = int(self.among(self.owners)) if self.owners and self.may(0.9) else self._run()
        if self.may(0.95):
            self._engine = self.owners.get(run, self._engine)
        epoch, last = self.last.get(run, (1, 0))
        rows = [replace(row(last + 1 + n), at=self._random.uniform(100, 200)) for n in range(self._random.randrange(3))]
        change = Append(run=run, epoch=epoch - self.may(0.05), rows=rows)
        parts: dict[str, Any] = {
            "snapshot": Snapshot(last + len(rows), str(last)),
            "asked": [question(self.among("abc"), expires_at=self.among([None, 150.0]))],
            "closed": [(self.among("abc"), self.among(get_args(QuestionStatus)[2:]))],
            "withdraw": True,
            "release": True,
            "blobs": {self.among("xyz"): "large"},
            "cached": [CachedRow(self.among("12"), '{"blobs":{"writes":{"a":"x"}}}', self.among([None, 150.0]))],
            "taken": [(name, last) for name in self._random.sample("mno", self.among([1, 1, 2]))],
            "moved": True,
            "form": Form(self.among("12"), self.among("fg"), "{}"),
        }
        chosen = {name: part for name, part in parts.items() if self.may(0.12)}
        if rows and self.may(0.4):
            chosen |= {"status": self.among(STATUSES), "note": "n", "due_at": self.among([None, 150.0])}
        return lambda store: store.append(replace(change, **chosen))

    def _answer(self) -> Call:
        run, name, at = self._run(), self.among("abc"), self._random.uniform(100, 200)
        return lambda store: store.answer(run, name, "true", at)

    def _send(self) -> Call:
        sent = message(self.among("mno"), self._run(), channel=self.among("pq"))
        alone = self.among([None, None, self.last.get(sent.run, (1, 0))[1]])
        return lambda store: store.send(sent, alone=alone)

    def _due(self) -> Call:
        graphs, now, limit = (
            self.among([{"g": "1"}, {"g": "2", "h": "1"}]),
            self.among([0.0, 150.0]),
            self.among([2, 99]),
        )
        return lambda store: store.due(graphs, now=now, limit=limit)

    def _read(self) -> Call:
        run = self._run()
        reads: list[Call] = [
            lambda store: store.log(run),
            lambda store: store.snapshot(run),
            lambda store: store.questions(run, status=()),
            lambda store: store.questions(),
            lambda store: store.inbox(),
            lambda store: store.inbox(run, taken=True),
            lambda store: store.news({run: ["a", "b"]}, now=160.0),
            lambda store: store.runs(status=["waiting", "running"], limit=3),
            lambda store: store.blobs("xyz"),
            lambda store: store.cached("1", 150.0),
        ]
        read: Call = self.among(reads)
        return read

    def _prune(self) -> Call:
        status = self._random.sample(STATUSES, 4)
        return lambda store: store.prune(before=180.0, status=status, limit=2)

    def _tidy(self) -> Call:
        return lambda store: store.tidy(now=self.among([0.0, 160.0]))


async def everything(store: Store) -> list[Any]:
    """All that is in a store."""
    runs = await store.runs(limit=1000)
    sizes = await store.sizes()
    found: list[Any] = [runs, sizes, await store.questions(status=()), [await store.cached(key, 0.0) for key in "12"]]
    for run in runs:
        found += [await store.log(run.number), await store.snapshot(run.number)]
        found.append(await store.inbox(run.number, taken=True))
    return found


async def learn(draw: Draw, fleet: Fleet) -> None:
    """Tell what there is now."""
    engines = [store.engine for store in fleet.stores if isinstance(store, MemoryStore)]
    runs = await fleet.stores[0].runs(limit=1000)
    draw.last = {run.number: (run.epoch, (await fleet.stores[0].log(run.number))[-1].seq) for run in runs}
    draw.owners = {run.number: engines.index(run.owner) for run in runs if run.owner in engines}


async def check_alike(seed: int, other: Fleet) -> None:
    """Let a fleet in memory and another one do the same, and compare all that comes of it."""
    draw = Draw(seed)
    async with memory_fleet() as memory, other:
        for number in range(CALLS):
            engine, call = draw.next()
            state = draw.state
            expected = await outcome(memory, engine, call)
            draw.state = state  # a call may draw, too, and has to draw the same
            assert await outcome(other, engine, call) == expected, f"call {number}"
            if draw.may(0.04):
                for fleet in (memory, other):
                    await fleet.die(engine)
            elif draw.may(0.02):
                for fleet in (memory, other):
                    await fleet.close(engine)
            await learn(draw, memory)
        assert memory.plain(await everything(memory.stores[0])) == other.plain(await everything(other.stores[0]))


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(12))
async def test_a_file_is_like_memory(tmp_path: Path, seed: int) -> None:
    await check_alike(seed, file_fleet(tmp_path))


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with throwaway_postgres() as database:
        yield database


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(100, 106))
async def test_a_server_is_like_memory(server: Database, seed: int) -> None:
    server.clear()
    await check_alike(seed, server_fleet(server.url))
