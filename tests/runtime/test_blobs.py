"""Large values are kept once, and are found again wherever the log is read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import pytest

from orchestra_graph import END, Engine, Graph, Item, Limits, State, append, extend, later, node
from orchestra_graph.core import events as ev
from orchestra_graph.core.snapshot import freeze
from orchestra_graph.errors import RunKeyTaken, StoreBroken
from orchestra_graph.runtime import scribe
from orchestra_graph.runtime.blobs import LARGE, hash_of, log_row, read_body, read_events
from orchestra_graph.runtime.load import load_run
from orchestra_graph.store.base import LogRow
from orchestra_graph.store.memory import MemoryStore

from .common import database, done

DOCUMENT = "Grüße " + "x" * 200_000


class Papers(State):
    given: str = ""
    turns: int = 0
    document: str = later()
    log: Annotated[list[str], append] = []
    seen: Annotated[list[int], extend] = []


def again(turns: int) -> bool:
    return turns < 50


@node(writes="turns")
async def count(turns: int) -> int:
    return turns + 1


@node(writes="document")
async def write() -> str:
    return DOCUMENT


def writing(name: str = "papers", first: Any = write) -> Graph[Papers]:
    """Fifty turns, in each of which the document is written."""
    graph = Graph(Papers, name=name, limits=Limits(turns=100))
    graph.start(first)
    graph.edge(first, count)
    graph.edge(count, first, when=again)
    graph.edge(count, END, otherwise=True)
    return graph


def size_of(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "runs.db")) as base:
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / "runs.db").stat().st_size


def look(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "runs.db")) as base:
        return base.execute(query).fetchall()


def change(folder: Path, *queries: str) -> None:
    with closing(sqlite3.connect(folder / "runs.db")) as base, base:
        for query in queries:
            base.execute(query)


@pytest.mark.asyncio
async def test_a_document_that_is_written_fifty_times_by_each_of_two_runs_is_stored_once(tmp_path: Path) -> None:
    @node(writes="document")
    async def short() -> str:
        return "short"

    sizes = []
    for first in (short, write):
        graph = writing(first=first)
        (tmp_path / "runs.db").unlink(missing_ok=True)
        async with Engine(database(tmp_path), graphs=[graph]) as engine:
            for key in ("a", "b"):
                assert (await (await engine.start(graph, Papers(), key=key)).result()).turns == 50
        sizes.append(size_of(tmp_path))
    assert 1 <= (sizes[1] - sizes[0]) / len(DOCUMENT.encode()) < 1.2
    assert look(tmp_path, "SELECT count(*), sum(length(body)) FROM blobs") == [(1, len(DOCUMENT) + 2)]
    assert look(tmp_path, "SELECT run, count(*) FROM blob_uses GROUP BY run") == [(1, 1), (2, 1)]
    assert look(tmp_path, "SELECT max(length(body)) < 1000 FROM events") == [(1,)]


@pytest.mark.asyncio
@pytest.mark.parametrize("rows", [500, 10], ids=["no snapshot", "snapshots"])
async def test_what_was_large_is_read_back_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", rows)

    @node(writes="log")
    async def long(turns: int) -> str:
        return f"{turns} {DOCUMENT}"

    graph = writing(first=long)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Papers(given=DOCUMENT, turns=40), key="k")
        state = await run.result()
        assert [entry[:4] for entry in state.log] == [f"{n} G" for n in range(40, 50)]
    assert look(tmp_path, "SELECT count(*) FROM snapshots") == [(1,)]
    change(tmp_path, "DELETE FROM snapshots") if rows == 500 else None
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        assert await (await engine.get("k", graph)).state() == state


@pytest.mark.asyncio
async def test_the_items_of_an_each_that_a_function_made_may_be_large(tmp_path: Path) -> None:
    class Parts(State):
        size: int
        lengths: Annotated[list[int], append] = []

    def parts(size: int) -> list[str]:
        return ["x" * size, "y" * size]

    @node(writes="lengths")
    async def measure(part: Item[str]) -> int:
        held.append(part[0])
        if len(held) == 2:
            raise ConnectionError("gone")
        return len(part)

    held: list[str] = []
    graph = Graph(Parts, name="parts")
    graph.start(first := node(nothing))
    graph.each(first, parts, measure)
    async with Engine(database(tmp_path), graphs=[graph], concurrency=1) as engine:
        await (await engine.start(graph, Parts(size=LARGE), key="k")).wait()
    assert look(tmp_path, "SELECT count(*) FROM blobs") == [(1,)]
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        await run.retry()
        assert (await run.result()).lengths == [LARGE, LARGE]
        assert held == ["x", "y", "y"]


async def nothing() -> None: ...


@pytest.mark.asyncio
async def test_the_same_start_with_a_large_input_is_the_same_run(tmp_path: Path) -> None:
    graph = writing()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        first = await engine.start(graph, Papers(given=DOCUMENT, turns=49), key="k")
        done(await first.wait())
        assert (await engine.start(graph, Papers(given=DOCUMENT, turns=49), key="k")).key == "k"
        with pytest.raises(RunKeyTaken, match="'given'"):
            await engine.start(graph, Papers(given=DOCUMENT + "!", turns=49), key="k")


@pytest.mark.asyncio
async def test_what_leaves_values_out_needs_no_large_ones(tmp_path: Path) -> None:
    graph = writing()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Papers(turns=48), key="k")
        done(await run.wait())
        before = await run.record()
    change(tmp_path, "DELETE FROM blob_uses", "DELETE FROM blobs")
    async with Engine(database(tmp_path)) as engine:
        assert await (await engine.get("k")).record() == before
        rows = await engine.store.log(1)
        assert [type(e).__name__ for e in await read_events(engine.store, rows, None)] == [r.kind for r in rows]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("DELETE FROM blobs", "is missing"),
        ("UPDATE blobs SET body = replace(body, 'x', 'y')", "was altered"),
        ("UPDATE blobs SET body = substr(body, 1, 100)", "was altered"),
    ],
)
async def test_a_large_value_that_is_not_what_was_written_is_named_by_its_row(
    tmp_path: Path, harm: str, says: str
) -> None:
    graph = writing()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        done(await (await engine.start(graph, Papers(turns=48), key="k")).wait())
    change(tmp_path, harm)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        with pytest.raises(StoreBroken, match=rf"log row \d+ \(NodeFinished\): the large value of 'document' {says}"):
            await run.state()


# -- rows ------------------------------------------------------------------------------------------------


FINISHED = ev.NodeFinished(at=5.0, id="write")


def test_a_small_value_is_in_the_row_and_a_large_one_beside_it() -> None:
    small, large = json.dumps("x" * (LARGE - 3)), json.dumps("x" * (LARGE - 2))
    row, blobs = log_row(3, FINISHED, {"given": small, "document": large}, {7: large, 8: "[1]"})
    assert (row.seq, row.kind, row.at) == (3, "NodeFinished", 5.0)
    assert blobs == {hash_of(large): large}
    body = json.loads(row.body)
    assert body["writes"] == {"given": json.loads(small)}
    assert body["items"] == {"8": [1]}
    assert body["blobs"] == {"writes": {"document": hash_of(large)}, "items": {"7": hash_of(large)}}


def test_a_row_without_large_values_says_nothing_of_them() -> None:
    row, blobs = log_row(3, FINISHED, {"given": '"x"'})
    assert not blobs
    assert "blobs" not in json.loads(row.body)


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ['"blobs":', {"blobs": {"writes": {"given": "0"}}}, '{"blobs": {"writes": 1}}'])
async def test_what_looks_like_a_mark_in_user_data_is_user_data(value: Any) -> None:
    row, blobs = log_row(1, FINISHED, {"given": json.dumps(value)})
    assert not blobs
    async with MemoryStore() as store:
        assert (await read_body(store, row))["writes"] == {"given": value}


@pytest.mark.asyncio
@pytest.mark.parametrize("body", ["{", "[]", '{"blobs":3}', '{"blobs":{"writes":3}}', '{"blobs":{"writes":{"a":1}}}'])
async def test_a_row_that_nobody_of_ours_wrote_is_refused(body: str) -> None:
    plan = writing().compile()
    async with MemoryStore() as store:
        with pytest.raises(StoreBroken, match="log row 1"):
            await read_events(store, [LogRow(1, "NodeFinished", 1.0, body)], plan)
        with pytest.raises(StoreBroken, match="log row 1"):
            await read_body(store, LogRow(1, "NodeFinished", 1.0, body))


class Counting(MemoryStore):
    """Counts how often large values are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    async def blobs(self, hashes: Any) -> dict[str, str]:
        self.asked.append(list(hashes))
        return await super().blobs(hashes)


@pytest.mark.asyncio
async def test_all_large_values_of_a_replay_are_asked_for_at_once_and_each_once(tmp_path: Path) -> None:
    graph = writing()
    engine = Engine(graphs=[graph])
    engine.store = store = Counting()
    async with engine:
        run = await engine.start(graph, Papers(given=DOCUMENT), key="k")
        done(await run.wait())
        row = await store.find("k")
        assert row is not None
        store.database.runs[1].snapshot = None
        assert not store.asked
        loaded = await load_run(store, graph.compile(), row)
        assert store.asked == [[hash_of(json.dumps(DOCUMENT, ensure_ascii=False))]]
        assert freeze(loaded.run)
