"""What a node does on the store's own database is committed with its result, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select

from orchestra_graph import Context, Engine, Graph, Item, Question, Retry, ask, node
from orchestra_graph.errors import EngineBug, StepRefused, StoreBusy, StoreClosed, StoreError
from orchestra_graph.store.base import Append, Fenced, LogRow, NewRun
from orchestra_graph.store.sqlite import SqliteStore
from orchestra_graph.testing.postgres import throwaway_postgres

from .common import Sheet, bodies, chain, done, failed, until, virtual

ADD = "INSERT INTO mine (id, n) VALUES (:id, :n)"
MINE = Table("mine", MetaData(), Column("id", Text, primary_key=True), Column("n", Integer))


class Boom(Exception):
    """What nodes of these tests raise."""


AGAIN = Retry(attempts=3, delay=0.01, on=Boom)


class Place(Protocol):
    """A database with a table of the user's."""

    kind: str
    url: str

    def execute(self, statement: str) -> list[Any]:
        """Run one statement, from outside."""
        ...


class Sqlite:
    kind = "sqlite"

    def __init__(self, folder: Path):
        self._path = folder / "runs.db"
        self.url = f"sqlite:///{self._path}"

    def execute(self, statement: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self._path)) as connection, connection:
            return connection.execute(statement).fetchall()


class Postgres:
    kind = "postgres"

    def __init__(self, database: Any):
        self._database, self.url = database, database.url

    def execute(self, statement: str) -> list[Any]:
        return [tuple(row) for row in self._database.execute(statement)]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each database that has transactions, with the tables of this library and one of the user's."""
    with contextlib.ExitStack() as stack:
        found: Place = (
            Sqlite(tmp_path) if request.param == "sqlite" else Postgres(stack.enter_context(throwaway_postgres()))
        )
        asyncio.run(_open(found.url))
        found.execute("CREATE TABLE mine (id TEXT PRIMARY KEY, n INTEGER)")
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Place:
    """What is so on SQLite only."""
    found = Sqlite(tmp_path)
    asyncio.run(_open(found.url))
    found.execute("CREATE TABLE mine (id TEXT PRIMARY KEY, n INTEGER)")
    return found


async def _open(url: str) -> None:
    async with Engine(url):
        pass


def mine(place: Place) -> list[tuple[str, int]]:
    return [tuple(row) for row in place.execute("SELECT id, n FROM mine ORDER BY id")]


async def outcome_of(graph: Graph[Any], place: Place) -> Any:
    async with Engine(place.url, graphs=[graph]) as engine:
        return await (await engine.start(graph, Sheet(), key="k")).wait(timeout=30)


# -- together ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_is_done_is_stored_with_the_result(place: Place) -> None:
    @node(writes="count")
    async def work(ctx: Context) -> int:
        async with ctx.transaction() as tx:
            assert await tx.execute(ADD, {"id": ctx.idempotency_key, "n": 1}) == []
            await tx.execute(insert(MINE), [{"id": "b", "n": 2}, {"id": "c", "n": 3}])
            [(total,)] = await tx.execute("SELECT sum(n) AS total FROM mine")
            first, *_ = await tx.execute(select(MINE).where(MINE.c.n > 1).order_by(MINE.c.id))
            assert (first.id, first.n) == ("b", 2)
        assert mine(place) == []  # the block has left it open
        return int(total)

    assert done(await outcome_of(chain(work), place)).count == 6
    assert mine(place) == [("b", 2), ("c", 3), ("k/work", 1)]


@pytest.mark.asyncio
async def test_a_node_that_fails_behind_its_block_has_done_nothing(place: Place) -> None:
    attempts: list[int] = []

    @node(writes="text", retry=AGAIN)
    async def work(ctx: Context) -> str:
        attempts.append(ctx.attempt)
        async with ctx.transaction() as tx:
            assert await tx.execute("SELECT * FROM mine") == []
            await tx.execute(ADD, {"id": ctx.idempotency_key, "n": ctx.attempt})
        if ctx.attempt < 3:
            raise Boom
        return ""

    done(await outcome_of(chain(work), place))
    assert attempts == [1, 2, 3]
    assert mine(place) == [("k/work", 3)]


@pytest.mark.asyncio
async def test_a_block_that_fails_is_undone_and_the_node_may_go_on_without(place: Place) -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        with contextlib.suppress(Boom):
            async with ctx.transaction() as tx:
                await tx.execute(ADD, {"id": "a", "n": 1})
                raise Boom
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "b", "n": 2})
        return "went on"

    assert done(await outcome_of(chain(work), place)).text == "went on"
    assert mine(place) == [("b", 2)]


@pytest.mark.asyncio
async def test_a_result_that_does_not_fit_undoes_it(place: Place) -> None:
    @node(writes="count")
    async def work(ctx: Context) -> int:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
        return "three"  # type: ignore[return-value]

    failed(await outcome_of(chain(work), place), "BadWrite")
    assert mine(place) == []


@pytest.mark.asyncio
async def test_a_node_that_takes_too_long_undoes_it(place: Place) -> None:
    @node(writes="text", timeout=0.2)
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
        await asyncio.Event().wait()
        return ""

    failed(await outcome_of(chain(work), place), "NodeTimeout")
    assert mine(place) == []


@pytest.mark.parametrize("inside", [True, False], ids=["in the block", "behind it"])
@pytest.mark.asyncio
async def test_a_node_that_is_interrupted_undoes_it_and_does_it_once_all_the_same(place: Place, inside: bool) -> None:
    there = asyncio.Event()

    async def stop() -> None:
        if not there.is_set():
            there.set()
            await asyncio.Event().wait()

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": ctx.idempotency_key, "n": 1})
            if inside:
                await stop()
        await stop()
        return "end"

    graph = chain(work)
    async with Engine(place.url, graphs=[graph]) as engine:
        await engine.start(graph, Sheet(), key="k")
        await there.wait()
    assert mine(place) == []
    async with Engine(place.url, graphs=[graph]) as engine:
        assert done(await (await engine.get("k", graph)).wait(timeout=20)).text == "end"
    assert mine(place) == [("k/work", 1)]


@pytest.mark.asyncio
async def test_whoever_lost_the_run_commits_nothing(place: Place) -> None:
    """Somebody else has taken the run over while the transaction was open, and this engine has not heard of it."""
    there, goes_on = asyncio.Event(), asyncio.Event()

    @node(writes="text")
    async def work(ctx: Context) -> str:
        await ctx.step("before", lambda: 1)
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
        there.set()
        await goes_on.wait()
        return "end"

    graph = chain(work)
    async with Engine(place.url, graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        driven = engine._driving[run._row.number]
        await there.wait()
        driven.drive.scribe.epoch -= 1  # as good as a run that has another epoch by now
        goes_on.set()
        assert await driven.task == "running"
        assert await bodies(run, "NodeFinished") == []
    assert mine(place) == []


@pytest.mark.asyncio
async def test_whoever_hears_that_the_run_is_lost_undoes_it_at_once(place: Place) -> None:
    there, cancelled = asyncio.Event(), asyncio.Event()

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
            there.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        return "end"

    graph = chain(work)
    async with Engine(place.url, graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        driven = engine._driving[run._row.number]
        await there.wait()
        driven.drive.lose()
        assert await driven.task == "running"
        assert cancelled.is_set()
        assert await bodies(run, "NodeFinished") == await bodies(run, "NodeFailed") == []
        place.execute("DELETE FROM mine")  # nothing holds a lock
    assert mine(place) == []


@pytest.mark.asyncio
async def test_a_run_that_is_cancelled_meanwhile_takes_the_result_first(place: Place) -> None:
    there, goes_on = asyncio.Event(), asyncio.Event()

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
        there.set()
        await goes_on.wait()
        return "end"

    @node
    async def last() -> None:
        raise AssertionError("it was cancelled before")

    graph = chain(work, last)
    async with Engine(place.url, graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await there.wait()
        cancelling = asyncio.create_task(run.cancel())
        await asyncio.sleep(0)
        goes_on.set()
        await cancelling
        outcome = await run.wait()
        assert type(outcome).__name__ == "Cancelled"
        assert len(await bodies(run, "NodeFinished")) == len(mine(place)) == 1


# -- steps, and where there can be none ----------------------------------------------------------------


@pytest.mark.asyncio
async def test_steps_stand_before_it_and_not_in_it_or_behind_it(place: Place) -> None:
    made: list[str] = []

    def call(what: str) -> str:
        made.append(what)
        return what

    @node(writes="text", retry=AGAIN)
    async def work(ctx: Context) -> str:
        text = await ctx.step("before", call, "before")
        async with ctx.transaction() as tx:
            with pytest.raises(StepRefused, match="Put the step before it"):
                await ctx.step("in", call, "in")
            await tx.execute(ADD, {"id": text, "n": ctx.attempt})
        with pytest.raises(StepRefused, match="Put the step before it"):
            await ctx.step("behind", call, "behind")
        if ctx.attempt == 1:
            raise Boom
        return text

    done(await outcome_of(chain(work), place))
    assert made == ["before"]
    assert mine(place) == [("before", 2)]


@pytest.mark.asyncio
async def test_there_is_one_and_not_where_it_makes_no_sense(place: Place) -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        async def step() -> None:
            with pytest.raises(StepRefused, match="inside of a step"):
                async with ctx.transaction():
                    raise AssertionError("there is none")

        await ctx.step("step", step)
        async with ctx.transaction() as tx:
            with pytest.raises(StepRefused, match="a second transaction"):
                async with ctx.transaction():
                    raise AssertionError("there is none")
        with pytest.raises(StepRefused, match="outside of the block"):
            await tx.execute(ADD, {"id": "a", "n": 1})
        with pytest.raises(StepRefused, match="a second transaction"):
            async with tx:
                raise AssertionError("there is none")
        return "end"

    @ask(writes="ok")
    async def agree(ctx: Context) -> Question[bool]:
        async with ctx.transaction():
            raise AssertionError("there is none")

    failed(await outcome_of(chain(work, agree), place), "StepRefused")
    assert mine(place) == []


@pytest.mark.asyncio
async def test_a_transaction_that_was_used_is_not_used_again(place: Place) -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        transaction = ctx.transaction()
        with pytest.raises(Boom):
            async with transaction:
                raise Boom
        with pytest.raises(StepRefused, match="used twice"):
            async with transaction:
                raise AssertionError("there is none")
        return "end"

    assert done(await outcome_of(chain(work), place)).text == "end"


@pytest.mark.asyncio
async def test_a_node_that_returns_in_the_middle_of_its_block_has_failed(place: Place) -> None:
    left: list[asyncio.Task[None]] = []

    @node(writes="text")
    async def work(ctx: Context) -> str:
        inside = asyncio.Event()

        async def aside() -> None:
            async with ctx.transaction() as tx:
                await tx.execute(ADD, {"id": "a", "n": 1})
                inside.set()
                await asyncio.Event().wait()

        left.append(asyncio.create_task(aside()))
        await inside.wait()
        return "end"

    failed(await outcome_of(chain(work), place), "StepRefused")
    left[0].cancel()
    await asyncio.wait(left)
    assert mine(place) == []


@pytest.mark.asyncio
async def test_runs_in_memory_have_none() -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction():
            raise AssertionError("there is none")

    graph = chain(work)
    async with virtual(graph) as engine:
        outcome = failed(await (await engine.start(graph, Sheet())).wait(), "StoreError")
        assert "sqlite:///" in outcome.reason


# -- what the database refuses -------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_statement_that_is_refused_ends_it_whatever_the_node_makes_of_that(place: Place) -> None:
    place.execute("INSERT INTO mine VALUES ('a', 0)")

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "b", "n": 1})
            with pytest.raises(StoreError, match=r"(?i)unique"):
                await tx.execute(ADD, {"id": "a", "n": 1})
            with pytest.raises(StoreError, match=r"(?i)unique"):
                await tx.execute(ADD, {"id": "c", "n": 1})
        return "end"

    failed(await outcome_of(chain(work), place), "StoreError")
    assert mine(place) == [("a", 0)]


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [("INSERT INTO nowhere VALUES (1)", None), (ADD, {"id": "a"}), ("not SQL at all", None), (3, None)],
)
@pytest.mark.asyncio
async def test_a_statement_that_is_none_is_an_error_of_the_node(place: Place, statement: Any, parameters: Any) -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(statement, parameters)
        return "end"

    failed(await outcome_of(chain(work), place), "StoreError")
    assert mine(place) == []


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK", "/* x */ commit", "BEGIN", "SAVEPOINT mine"])
@pytest.mark.asyncio
async def test_a_statement_cannot_end_the_transaction(place: Place, statement: str) -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
            with contextlib.suppress(StoreError):
                await tx.execute(statement)
        raise Boom

    failed(await outcome_of(chain(work), place))
    assert mine(place) == []


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH DATABASE ':memory:' AS other",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA writable_schema = ON",
        "DELETE FROM events",
        "UPDATE runs SET epoch = 0",
        "INSERT INTO graphs VALUES ('a', 'b')",
        "DROP TABLE blobs",
        "ALTER TABLE runs ADD COLUMN mine TEXT",
        "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM mine; END",
        "VACUUM",
    ],
)
@pytest.mark.asyncio
async def test_a_statement_can_neither_change_the_connection_nor_our_tables(file: Place, statement: str) -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
            assert await tx.execute("SELECT key FROM runs") == [("k",)]  # they can be read
            await tx.execute("PRAGMA table_info(mine)")
            await tx.execute(statement)
        return "end"

    outcome = failed(await outcome_of(chain(work), file), "StoreError")
    assert "may not begin, end or nest" in outcome.reason or "VACUUM" in statement, outcome.reason
    assert mine(file) == []


DEFERRED = (
    "CREATE TABLE child (id TEXT PRIMARY KEY, mine TEXT REFERENCES mine(id) DEFERRABLE INITIALLY DEFERRED)",
    "INSERT INTO child VALUES ('x', 'nobody')",
    "INSERT INTO child VALUES ('x', 'a')",
)


@pytest.mark.asyncio
async def test_a_constraint_that_is_deferred_fails_the_node_and_not_the_run(place: Place) -> None:
    create, wrong, right = DEFERRED
    place.execute(create)

    @node(writes="text", retry=Retry(attempts=2, delay=0.01, on=StoreError))
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(wrong if ctx.attempt == 1 else right)
            await tx.execute(ADD, {"id": "a", "n": ctx.attempt})
        return f"attempt {ctx.attempt}"

    assert done(await outcome_of(chain(work), place)).text == "attempt 2"
    assert mine(place) == [("a", 2)]


@pytest.mark.asyncio
async def test_constraints_hold(place: Place) -> None:
    place.execute("CREATE TABLE child (id TEXT PRIMARY KEY, mine TEXT REFERENCES mine(id))")

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute("INSERT INTO child VALUES ('x', 'nobody')")
        return "end"

    failed(await outcome_of(chain(work), place), "StoreError")
    assert place.execute("SELECT * FROM child") == []


# -- time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [True, False], ids=["in the block", "behind it"])
@pytest.mark.asyncio
async def test_a_transaction_that_is_open_for_too_long_is_undone(place: Place, inside: bool) -> None:
    waits, is_open = asyncio.Event(), asyncio.Event()

    @node(writes="text", retry=Retry(attempts=2, delay=0.01, on=StoreBusy))
    async def work(ctx: Context) -> str:
        seconds = 0.05 if ctx.attempt == 1 else 20
        expected = pytest.raises(StoreBusy, match=r"ctx\.transaction\(seconds=30\)")
        with expected if inside and ctx.attempt == 1 else contextlib.nullcontext():
            async with ctx.transaction(seconds=seconds) as tx:
                await tx.execute(ADD, {"id": "a", "n": ctx.attempt})
                is_open.set()
                while inside and ctx.attempt == 1:
                    await tx.execute("SELECT 1")
                    await asyncio.sleep(0.01)
        if not inside and ctx.attempt == 1:
            await waits.wait()
        return f"attempt {ctx.attempt}"

    @node(writes="left")
    async def beside() -> str:  # its result waits for the transaction, and is stored as soon as that is undone
        await is_open.wait()
        return "beside"

    graph = Graph(Sheet, name="g")
    graph.start([work, beside])
    async with Engine(place.url, graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        async with asyncio.timeout(20):
            while not await bodies(run, "NodeFinished"):
                await engine.store.changes(0.05)
        waits.set()
        assert done(await run.wait()).text == "attempt 2"
    assert mine(place) == [("a", 2)]


ENDLESS = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"


@pytest.mark.asyncio
async def test_a_statement_that_takes_too_long_is_stopped(place: Place) -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction(seconds=0.2) as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
            await tx.execute(ENDLESS)
        return "end"

    began = time.monotonic()
    failed(await outcome_of(chain(work), place), "StoreBusy")
    assert time.monotonic() - began < 10
    assert mine(place) == []


@pytest.mark.asyncio
async def test_a_statement_is_stopped_when_the_engine_is_left(place: Place) -> None:
    there = asyncio.Event()

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction(seconds=60) as tx:
            there.set()
            await tx.execute(ENDLESS)
        return "end"

    graph = chain(work)
    began = time.monotonic()
    async with Engine(place.url, graphs=[graph]) as engine:
        await engine.start(graph, Sheet(), key="k")
        await there.wait()
    assert time.monotonic() - began < 10


# -- side by side --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_others_of_the_run_end_while_it_is_open_and_nobody_waits_for_ever(place: Place) -> None:
    gates = {name: asyncio.Event() for name in ("open", "beside")}

    @node(writes="left")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
            gates["open"].set()
            await gates["beside"].wait()
        for _ in range(10):
            await asyncio.sleep(0)
        return "work"

    @node(writes="right")
    async def beside(ctx: Context) -> str:
        await gates["open"].wait()
        gates["beside"].set()
        return await ctx.step("a step meanwhile", lambda: "beside")

    graph = Graph(Sheet, name="g")
    graph.start([work, beside])
    began = time.monotonic()
    state = done(await outcome_of(graph, place))
    assert (state.left, state.right) == ("work", "beside")
    assert time.monotonic() - began < 4  # and not when the time of the transaction was over
    assert mine(place) == [("a", 1)]


@pytest.mark.asyncio
async def test_many_nodes_of_one_run_take_turns(place: Place) -> None:
    open_now, most, order = 0, 0, list[str]()

    @node(writes="items")
    async def split() -> list[int]:
        return list(range(30))

    @node(writes="log")
    async def work(n: Item[int], ctx: Context) -> str:
        nonlocal open_now, most
        async with ctx.transaction() as tx:
            open_now, most = open_now + 1, max(most, open_now + 1)
            order.append(ctx.id)
            await tx.execute(ADD, {"id": ctx.idempotency_key, "n": n})
        open_now -= 1
        return ctx.id

    @node
    async def collect() -> None: ...

    graph = Graph(Sheet, name="g")
    graph.start(split)
    graph.each(split, "items", work, collect=collect)
    done(await outcome_of(graph, place))
    assert sorted(n for _, n in mine(place)) == list(range(30))
    assert most == 1
    assert order == [f"work#{n}" for n in range(30)]  # the first that asks comes first


@pytest.mark.asyncio
async def test_many_runs_take_turns_with_those_that_have_no_transaction(place: Place) -> None:
    @node(writes="count")
    async def first(count: int) -> int:
        return count + 1

    @node(writes="text")
    async def work(count: int, ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": ctx.idempotency_key, "n": count})
        return "end"

    @node
    async def last() -> None: ...

    graph = chain(first, work, last)
    async with Engine(place.url, graphs=[graph]) as engine:
        runs = [await engine.start(graph, Sheet(count=n), key=f"k{n}") for n in range(25)]
        for outcome in await engine.gather(*runs, timeout=30):
            done(outcome)
    assert sorted(n for _, n in mine(place)) == list(range(1, 26))


@pytest.mark.asyncio
async def test_reads_and_answers_go_on_while_it_is_open(place: Place) -> None:
    there, goes_on = asyncio.Event(), asyncio.Event()

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async with ctx.transaction() as tx:
            await tx.execute(ADD, {"id": "a", "n": 1})
            there.set()
            await goes_on.wait()
        return "end"

    graph = chain(work)
    async with Engine(place.url, graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await there.wait()
        assert await run.status() == "running"
        assert [step.what for step in await run.history()] == ["RunStarted"]
        other = asyncio.create_task(engine.start(graph, Sheet(), key="other"))
        await until(lambda: len(asyncio.all_tasks()) > 2)
        goes_on.set()
        done(await run.wait())
        with contextlib.suppress(StoreError):
            failed(await (await other).wait())  # its id is taken
    assert mine(place) == [("a", 1)]


# -- plain functions -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_plain_function_has_a_blocking_one(place: Place) -> None:
    @node(writes="text", retry=AGAIN)
    def work(ctx: Context) -> str:
        with contextlib.suppress(Boom), ctx.transaction_sync() as tx:
            tx.execute(ADD, {"id": "x", "n": 0})
            raise Boom
        text = ctx.step_sync("before", lambda: "before")
        with ctx.transaction_sync() as tx:
            tx.execute(ADD, {"id": text, "n": ctx.attempt})
            [row] = tx.execute("SELECT n FROM mine")
        if ctx.attempt == 1:
            raise Boom
        return f"{row.n}"

    assert done(await outcome_of(chain(work), place)).text == "2"
    assert mine(place) == [("before", 2)]


@pytest.mark.asyncio
async def test_a_plain_function_that_is_left_alone_undoes_it(place: Place) -> None:
    ended: list[BaseException] = []

    @node(writes="text", timeout=0.3)
    def work(ctx: Context) -> str:
        try:
            with ctx.transaction_sync(seconds=60) as tx:
                tx.execute(ADD, {"id": "a", "n": 1})
                tx.execute(ENDLESS)
        except BaseException as error:
            ended.append(error)
            raise
        return ""

    failed(await outcome_of(chain(work), place), "NodeTimeout")
    await until(lambda: ended)
    assert mine(place) == []


# -- the store -----------------------------------------------------------------------------------------


NEW = NewRun(key="k", graph="g", version="1", fingerprint="f", shape="{}", body='{"writes":{}}', at=1.0)


@pytest.mark.asyncio
async def test_the_store_stores_both_or_nothing(file: Place) -> None:
    async with SqliteStore(file.url) as store:
        row, _ = await store.create(NEW)
        transaction = await store.begin(row.number, row.epoch)
        await transaction.execute(ADD, {"id": "a", "n": 1})
        gap = LogRow(5, "NodeFinished", 1.0, "{}")
        with pytest.raises(EngineBug):
            await store.append(Append(run=row.number, epoch=row.epoch, rows=[gap], within=transaction))
        assert mine(file) == []
        with pytest.raises(StoreError, match="has ended"):
            await store.append(Append(run=row.number, epoch=row.epoch, within=transaction))
        await transaction.rollback()

        transaction = await store.begin(row.number, row.epoch)
        await transaction.execute(ADD, {"id": "a", "n": 1})
        more = LogRow(1, "NodeFinished", 1.0, "{}")
        await store.append(Append(run=row.number, epoch=row.epoch, rows=[more], within=transaction))
        assert mine(file) == [("a", 1)]
        assert [r.seq for r in await store.log(row.number)] == [0, 1]
        with pytest.raises(StoreError, match="has ended"):
            await transaction.execute("SELECT 1")
        await transaction.rollback()
        assert mine(file) == [("a", 1)]


@pytest.mark.asyncio
async def test_the_store_begins_none_for_whoever_does_not_own_the_run(file: Place) -> None:
    async with SqliteStore(file.url) as store:
        row, _ = await store.create(NEW)
        with pytest.raises(Fenced):
            await store.begin(row.number, row.epoch + 1)
        await store.append(Append(run=row.number, epoch=row.epoch, release=True))  # nothing is held
        with pytest.raises(Fenced):
            await store.begin(row.number, row.epoch)
        with pytest.raises(Fenced):
            await store.begin(99, 1)


@pytest.mark.asyncio
async def test_whoever_gives_up_waiting_for_it_leaves_nothing_open(file: Place) -> None:
    async with SqliteStore(file.url) as store:
        row, _ = await store.create(NEW)
        first = await store.begin(row.number, row.epoch)
        waiting = [asyncio.create_task(store.begin(row.number, row.epoch)) for _ in range(3)]
        written = asyncio.create_task(store.append(Append(run=row.number, epoch=row.epoch, rows=[_row(1)])))
        await asyncio.sleep(0)
        waiting[0].cancel()
        await first.rollback()
        waiting[1].cancel()
        second = await waiting[2]
        await written  # it was queued before the turn of the second one
        await second.execute(ADD, {"id": "a", "n": 1})
        await store.append(Append(run=row.number, epoch=row.epoch, rows=[_row(2)], within=second))
        assert [task.cancelled() for task in waiting] == [True, True, False]
    assert mine(file) == [("a", 1)]


def _row(seq: int) -> LogRow:
    return LogRow(seq, "NodeFinished", 1.0, "{}")


@pytest.mark.asyncio
async def test_a_store_that_is_closed_undoes_what_is_open(file: Place) -> None:
    async with SqliteStore(file.url) as store:
        row, _ = await store.create(NEW)
        transaction = await store.begin(row.number, row.epoch)
        await transaction.execute(ADD, {"id": "a", "n": 1})
        waiting = asyncio.create_task(store.begin(row.number, row.epoch))
        await asyncio.sleep(0)
    with pytest.raises(StoreClosed):
        await waiting
    with pytest.raises(StoreClosed):
        await store.begin(row.number, row.epoch)
    assert mine(file) == []


@pytest.mark.asyncio
async def test_another_process_that_writes_for_too_long_is_an_error_of_the_node(file: Place) -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        with contextlib.closing(sqlite3.connect(file.url.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            try:
                async with ctx.transaction():
                    raise AssertionError("there is none")
            finally:
                other.execute("ROLLBACK")

    graph = chain(work)
    engine = Engine(file.url, graphs=[graph])
    engine.store = SqliteStore(file.url, busy_timeout=0.05)
    async with engine:
        run = await engine.start(graph, Sheet(), key="k")
        failed(await run.wait(timeout=20), "StoreBusy")
