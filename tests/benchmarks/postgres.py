"""On PostgreSQL: a chain of durable steps, and many runs at once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from orchestra_graph import Done, Engine
from orchestra_graph.testing.postgres import Database, throwaway_postgres
from tests.benchmarks import chain, many
from tests.benchmarks.report import Figure

__all__ = ["measure"]

STEPS, RUNS = 300, 300
_TABLE = """
CREATE TABLE bare (run INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
                   body TEXT NOT NULL, PRIMARY KEY (run, seq))
"""


def _commits(database: Database) -> tuple[int, float]:
    """How many log rows there are, and the seconds to insert them once more with a commit for each, over psycopg."""
    import psycopg

    rows = database.execute("SELECT run, seq, kind, at, body FROM events ORDER BY run, seq")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bare")
        connection.execute(_TABLE)
        began = time.perf_counter()
        for row in rows:
            connection.execute("INSERT INTO bare VALUES (%s, %s, %s, %s, %s)", row)
        return len(rows), time.perf_counter() - began


async def _chain(url: str) -> float:
    graph = chain._graph(STEPS)
    graph.compile()
    async with Engine(url, graphs=[graph]) as engine:
        began = time.perf_counter()
        outcome = await (await engine.start(graph, chain.Counter(), key="chain")).wait()
        took = time.perf_counter() - began
    assert isinstance(outcome, Done)
    return took


async def _many(url: str) -> float:
    async def one(engine: Engine, key: str) -> None:
        outcome = await (await engine.start(many.graph, many.Counter(), key=key)).wait()
        assert isinstance(outcome, Done)

    async with Engine(url, graphs=[many.graph]) as engine:
        began = time.perf_counter()
        await asyncio.gather(*(one(engine, f"run-{i}") for i in range(RUNS)))
        return time.perf_counter() - began


async def measure(folder: Path) -> list[Figure]:
    """Both beside a bare commit of each row that was stored; the best of two."""
    with throwaway_postgres() as database:
        steps, runs = [], []
        for _ in range(2):
            database.clear()
            took = await _chain(database.url)
            rows, floor = await asyncio.to_thread(_commits, database)
            steps.append((took / floor, f"{took / rows * 1e6:.0f} / {floor / rows * 1e6:.0f} us"))
            database.clear()
            took = await _many(database.url)
            rows, floor = await asyncio.to_thread(_commits, database)
            runs.append((took / floor, f"{took:.2f} s; {RUNS / took:.0f} runs/s, {rows / took:.0f} rows/s"))
    return [
        Figure("PostgreSQL: a durable step, beside a bare commit", min(steps)[0], 25.0, min(steps)[1]),
        Figure(f"PostgreSQL: {RUNS} runs at once, beside a bare commit of each row", min(runs)[0], 10.0, min(runs)[1]),
    ]
