"""Engines and runs: start keys, who drives, waiting, reading, and what is asked wrong."""

from __future__ import annotations

import asyncio
import os
import platform
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import connect
from typing import Annotated, Any, Protocol
from uuid import UUID, uuid4

import pytest
from pydantic import Field

from orchestra_graph import (
    BadInput,
    Context,
    Done,
    Engine,
    Failed,
    Graph,
    GraphChanged,
    GraphError,
    Limits,
    Question,
    Resource,
    RunCancelled,
    RunEnded,
    RunFailed,
    RunKeyTaken,
    RunOwned,
    RunStopped,
    RunWaiting,
    StaleAnswer,
    State,
    StoreError,
    UnknownRun,
    ask,
    later,
    node,
)
from orchestra_graph.errors import StoreBroken, StoreClosed, StoreFull, StoreNewer, UnknownGraph, UnknownQuestion
from orchestra_graph.store.base import RunRow

from .common import Sheet, asked, both_stores, chain, database, done, events, failed, until, url_of, virtual
from .virtual import elapsed, in_virtual_time


@node(writes="text")
async def hello(text: str) -> str:
    return f"hello {text}"


@ask(writes="ok")
async def confirm(text: str) -> Question[bool]:
    return Question(f"Send {text!r}?", to="ana")


greet = chain(hello, name="greet")
letter = chain(hello, confirm, name="letter")


# -- starting ----------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_the_same_key_gives_the_same_run(place: str, tmp_path: Path) -> None:
    async with Engine(url_of(place, tmp_path), graphs=[greet]) as engine:
        first = await engine.start(greet, Sheet(text="ada"), key="k")
        second = await engine.start(greet, Sheet(text="ada"), key="k")
        assert first.key == second.key == "k"
        assert done(await second.wait()) == done(await first.wait())
        third = await engine.start(greet, Sheet(text="ada"), key="k")  # it has long been done
        assert done(await third.wait()).text == "hello ada"
        assert len(await engine.find()) == 1
        assert await events(first, "RunStarted", "NodeFinished") == ["RunStarted", "NodeFinished"]


@pytest.mark.asyncio
async def test_of_many_that_start_with_one_key_one_run_comes() -> None:
    ran: list[int] = []

    @node
    async def work() -> None:
        ran.append(1)

    graph = chain(work)
    async with Engine(graphs=[graph]) as engine:
        runs = await asyncio.gather(*(engine.start(graph, Sheet(), key="k") for _ in range(20)))
        await asyncio.gather(*(run.wait() for run in runs))
    assert ran == [1]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (Sheet(text="eve"), "text"),
        (Sheet(), "text"),  # left out is the default, which is something else
        (Sheet(text="ada", count=3), "count"),
        (Sheet(text="ada", left="l"), "left"),
        (Sheet(text="ada", log=["x"]), "log"),
    ],
)
@pytest.mark.asyncio
async def test_a_key_with_another_input_is_taken(given: Sheet, field: str) -> None:
    async with Engine(graphs=[greet]) as engine:
        run = await engine.start(greet, Sheet(text="ada"), key="k")
        with pytest.raises(RunKeyTaken, match=f"another value of '{field}'") as caught:
            await engine.start(greet, given, key="k")
        assert caught.value.key == "k"
        assert done(await run.wait()).text == "hello ada"


@pytest.mark.asyncio
async def test_a_key_with_less_input_than_before_is_taken() -> None:
    async with Engine(graphs=[greet]) as engine:
        await engine.start(greet, Sheet(text="ada", left="l", count=3), key="k")
        for given in (Sheet(text="ada", count=3), Sheet(text="ada", left="l")):
            with pytest.raises(RunKeyTaken):
                await engine.start(greet, given, key="k")
        await engine.start(greet, Sheet(text="ada", left="l", count=3), key="k")


@pytest.mark.asyncio
async def test_a_key_of_another_graph_is_taken() -> None:
    async with Engine(graphs=[greet, letter]) as engine:
        await engine.start(greet, Sheet(), key="k")
        with pytest.raises(RunKeyTaken, match="it is a run of graph 'greet', not 'letter'"):
            await engine.start(letter, Sheet(), key="k")


class Made(State):
    names: set[str] = set()
    id: UUID = Field(default_factory=uuid4)
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    text: str = ""


@pytest.mark.asyncio
async def test_defaults_that_are_made_anew_and_the_order_of_a_set_make_no_other_input() -> None:
    @node(writes="text")
    async def work() -> str:
        return "x"

    graph = Graph(Made, name="made")
    graph.start(work)
    async with Engine(graphs=[graph]) as engine:
        first = await engine.start(graph, Made(names={"a", "b", "c"}), key="k")
        assert (await engine.start(graph, Made(names={"c", "b", "a"}), key="k")).key == first.key
        # As another process would have written it: the order of a set of strings is not the same there.
        row = engine.store.database.runs[1].log  # type: ignore[attr-defined]
        names = '["c","a","b"]'
        body = row[0].body
        begin = body.index("[")
        row[0] = replace(row[0], body=body[:begin] + names + body[body.index("]") + 1 :])
        await engine.start(graph, Made(names={"a", "b", "c"}), key="k")
        with pytest.raises(RunKeyTaken, match="'id'"):
            await engine.start(graph, Made(names={"a", "b", "c"}, id=uuid4()), key="k")
        with pytest.raises(RunKeyTaken, match="'names'"):
            await engine.start(graph, Made(names={"a"}), key="k")


@pytest.mark.asyncio
async def test_what_does_not_fit_is_refused_at_the_start_and_nothing_is_stored() -> None:
    class Other(State):
        text: str = ""

    async with Engine(graphs=[greet]) as engine:
        with pytest.raises(BadInput, match=r"starts with a Sheet, not Other\(text='x'\)"):
            await engine.start(greet, Other(text="x"))  # type: ignore[misc]
        with pytest.raises(BadInput, match="field 'count' does not fit"):
            await engine.start(greet, Sheet.model_construct(count="many"))
        with pytest.raises(BadInput, match="'text'"):
            await engine.start(greet, Sheet.model_construct(text="\ud800"))
        assert await engine.find() == []


@pytest.mark.asyncio
async def test_a_start_that_is_cancelled_leaves_no_run_that_nobody_drives(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[greet]) as engine:
        starting = asyncio.create_task(engine.start(greet, Sheet(text="ada"), key="k"))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        async with asyncio.timeout(20):
            while not (await engine.find(status=["done"])):
                await engine.store.changes(20)


def test_a_graph_that_is_declared_wrong_is_told_on_entering() -> None:
    @node(writes="nothing")
    async def wrong() -> str:
        return ""

    async def main() -> None:
        async with Engine(graphs=[chain(wrong)]):
            pass

    with pytest.raises(GraphError, match="nothing"):
        asyncio.run(main())


@pytest.mark.asyncio
async def test_a_graph_that_was_not_given_to_the_engine_can_be_started_all_the_same() -> None:
    async with Engine() as engine:
        assert done(await (await engine.start(greet, Sheet(text="ada"))).wait()).text == "hello ada"


@pytest.mark.asyncio
async def test_an_engine_that_is_not_open_says_so() -> None:
    with pytest.raises(StoreClosed, match="async with"):
        await Engine(graphs=[greet]).start(greet, Sheet())


@pytest.mark.asyncio
async def test_runs_without_a_key_get_one_with_the_name_of_their_graph() -> None:
    async with Engine(graphs=[greet]) as engine:
        runs = [await engine.start(greet, Sheet()) for _ in range(3)]
        assert len({run.key for run in runs}) == 3
        assert all(run.key.startswith("greet-") for run in runs)


# -- reading -----------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_runs_are_found_by_status_and_graph(place: str, tmp_path: Path) -> None:
    async with Engine(url_of(place, tmp_path), graphs=[greet, letter]) as engine:
        for graph, key in ((greet, "a"), (letter, "b"), (greet, "c")):
            await (await engine.start(graph, Sheet(), key=key)).wait()
        assert [run.key for run in await engine.find()] == ["c", "b", "a"]
        assert [run.key for run in await engine.find(status=["waiting"])] == ["b"]
        assert [run.key for run in await engine.find(graph="greet", limit=1)] == ["c"]
        [waiting] = await engine.find(graph="letter")
        assert (waiting.key, waiting.graph, await waiting.status()) == ("b", "letter", "waiting")
        assert repr(waiting) == "<run b of letter>"


@pytest.mark.asyncio
async def test_a_run_that_is_not_there_is_named_with_the_nearest_one() -> None:
    async with Engine(graphs=[greet, letter]) as engine:
        await engine.start(greet, Sheet(), key="ticket-42")
        with pytest.raises(UnknownRun, match="Did you mean 'ticket-42'") as caught:
            await engine.get("ticket-24")
        assert caught.value.key == "ticket-24"
        with pytest.raises(UnknownGraph, match="graph 'greet' was not given"):
            await engine.get("ticket-42", letter)


@pytest.mark.asyncio
async def test_without_the_code_a_run_can_be_read_and_answered_but_not_driven(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        asked(await (await engine.start(letter, Sheet(text="ada"), key="k")).wait())
    async with Engine(database(tmp_path)) as reader:
        run = await reader.get("k")
        assert await run.status() == "waiting"
        assert [a.id for a in (await run.record()).activations] == ["hello", "confirm"]
        [question] = await run.questions()
        assert (question.prompt, question.to) == ("Send 'hello ada'?", "ana")
        for refused in (run.wait(), run.state(), run.result(), run.resume(), run.retry()):
            with pytest.raises(UnknownGraph, match="graph 'letter' was not given to this engine"):
                await refused
        await run.answer("confirm", True)
        assert await run.status() == "waiting"  # nobody drives it
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        assert (await (await engine.get("k", letter)).result()).ok is True


@both_stores
@pytest.mark.asyncio
async def test_the_state_so_far_is_what_all_branches_have_written(place: str, tmp_path: Path) -> None:
    go = asyncio.Event()

    @node(writes="left")
    async def fast() -> str:
        return "fast"

    @node(writes="right")
    async def slow() -> str:
        await go.wait()
        return "slow"

    @node
    async def join() -> None: ...

    graph = Graph(Sheet, name="g")
    graph.start([fast, slow])
    graph.edge([fast, slow], join)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        while not hasattr(await run.state(), "left"):
            await engine.store.changes(1.0)
        state = await run.state()
        assert state.left == "fast"
        assert not hasattr(state, "right")
        go.set()
        assert (await run.result()).right == "slow"


# -- waiting -----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_wait_that_gives_up_leaves_the_run_going() -> None:
    @node(writes="text")
    async def slow() -> str:
        await asyncio.sleep(100)
        return "done"

    graph = chain(slow)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        with pytest.raises(TimeoutError):
            await run.wait(timeout=30)
        assert (elapsed(), await run.status()) == (30, "running")
        assert done(await run.wait()).text == "done"
        assert elapsed() == 100


@pytest.mark.asyncio
async def test_a_wait_that_gives_up_while_it_takes_the_run_leaves_it_driven(tmp_path: Path) -> None:
    """What was claimed must be driven, or everybody would be told that somebody has it."""
    started = asyncio.Event()

    @node(writes="left")
    async def work() -> str:
        started.set()
        await asyncio.sleep(0)
        return "done"

    @ask(writes="ok")
    async def confirm_first() -> Question[bool]:
        return Question("Well?")

    graph = chain(confirm_first, work)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        asked(await (await engine.start(graph, Sheet(), key="k")).wait())
    async with Engine(database(tmp_path), graphs=[graph]) as engine, Engine(database(tmp_path)) as person:
        await (await person.get("k")).answer("confirm_first", True)
        run = await engine.get("k", graph)
        claim = engine.store.claim

        async def claim_and_cancel(run: int) -> RunRow:
            waiting.cancel()
            return await claim(run)

        engine.store.claim = claim_and_cancel  # type: ignore[method-assign]
        waiting = asyncio.create_task(run.wait())
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(started.wait(), 20)
        assert done(await run.wait()).left == "done"


@pytest.mark.asyncio
async def test_many_may_wait_for_one_run_and_it_is_driven_once(tmp_path: Path) -> None:
    ran: list[str] = []

    @node
    async def work(ctx: Context) -> None:
        ran.append(ctx.id)

    graph = chain(confirm, work)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        asked(await (await engine.start(graph, Sheet(), key="k")).wait())
    async with Engine(database(tmp_path), graphs=[graph]) as engine, Engine(database(tmp_path)) as person:
        await (await person.get("k")).answer("confirm", True)
        run = await engine.get("k", graph)
        handles = [run, await engine.get("k", graph)] * 5
        outcomes = await asyncio.gather(*(h.wait() for h in handles), *(h.resume() for h in handles))
        assert all(isinstance(outcome, Done) for outcome in outcomes[:10])
        assert ran == ["work"]
        assert (await events(run)).count("RunResumed") == 1


@pytest.mark.asyncio
async def test_a_run_that_goes_on_while_somebody_looks_at_it_is_looked_at_again(tmp_path: Path) -> None:
    url = database(tmp_path)
    async with Engine(url, graphs=[letter]) as engine, Engine(url, graphs=[letter]) as other:
        run = await engine.start(letter, Sheet(), key="k")
        asked(await run.wait())
        find = engine.store.find
        moved: list[str] = []

        async def find_and_be_overtaken(key: str) -> Any:
            found = await find(key)
            if not moved:
                moved.append(key)
                theirs = await other.get("k", letter)
                await theirs.answer("confirm", True)
                done(await theirs.wait())
            return found

        engine.store.find = find_and_be_overtaken  # type: ignore[method-assign]
        assert done(await run.wait()).ok is True


@pytest.mark.asyncio
async def test_waiting_again_for_a_run_that_waits_writes_nothing(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        run = await engine.start(letter, Sheet(), key="k")
        asked(await run.wait())
        before = await events(run)
        for _ in range(3):
            asked(await run.wait())
        assert await events(run) == before


@pytest.mark.asyncio
async def test_result_raises_what_the_run_has_instead_of_one() -> None:
    @node
    async def wrong() -> None:
        raise ValueError("no")

    broken = chain(wrong, name="broken")
    async with Engine(graphs=[letter, broken, greet]) as engine:
        waiting = await engine.start(letter, Sheet())
        with pytest.raises(RunWaiting, match="waiting for confirm") as caught:
            await waiting.result()
        assert asked(caught.value.outcome)[0].id == "confirm"
        await waiting.cancel()
        with pytest.raises(RunCancelled):
            await waiting.result()
        with pytest.raises(RunFailed, match="wrong: ValueError: no") as caught_failed:
            await (await engine.start(broken, Sheet())).result()
        assert isinstance(caught_failed.value.outcome, Failed)
        with pytest.raises(RunStopped):
            await (await engine.start(letter, Sheet(), limits=Limits(steps=1))).result()


# -- who drives --------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_while_one_engine_drives_another_is_told_who_and_can_follow(tmp_path: Path) -> None:
    """Two engines in one process are two owners; see `tests/kill` for two processes."""
    go = asyncio.Event()

    @node(writes="text")
    async def work() -> str:
        await go.wait()
        return "done"

    graph = chain(work)
    async with (
        Engine(database(tmp_path), graphs=[graph]) as engine,
        Engine(database(tmp_path), graphs=[graph]) as other,
    ):
        run = await engine.start(graph, Sheet(), key="k")
        theirs = await other.get("k", graph)
        for refused in (theirs.resume(), theirs.retry()):
            with pytest.raises(RunOwned) as caught:
                await refused
            assert (caught.value.pid, caught.value.host) == (os.getpid(), platform.node())
        with pytest.raises(TimeoutError):
            await theirs.wait(timeout=0.05)
        following = asyncio.create_task(theirs.wait())
        go.set()
        assert done(await following).text == "done"
        assert done(await run.wait()).text == "done"
        assert await events(run, "NodeFinished", "RunResumed") == ["NodeFinished"]


@pytest.mark.asyncio
async def test_when_the_owner_lets_go_whoever_follows_takes_over(tmp_path: Path) -> None:
    ran: list[str] = []
    go = asyncio.Event()

    @node(writes="text")
    async def work() -> str:
        ran.append("work")
        await go.wait()
        return "done"

    graph = chain(work)
    async with Engine(database(tmp_path), graphs=[graph]) as other:
        async with Engine(database(tmp_path), graphs=[graph]) as engine:
            await engine.start(graph, Sheet(), key="k")
            theirs = await other.get("k", graph)
            following = asyncio.create_task(theirs.wait())
            await until(lambda: ran)
        go.set()
        assert done(await asyncio.wait_for(following, 20)).text == "done"
    assert ran == ["work", "work"]


@pytest.mark.asyncio
async def test_a_run_that_rests_is_owned_by_nobody(tmp_path: Path) -> None:
    @node
    async def wrong() -> None:
        raise ValueError

    broken = chain(wrong, name="broken")
    async with Engine(database(tmp_path), graphs=[greet, letter, broken]) as engine:
        for graph in (greet, letter, broken):
            run = await engine.start(graph, Sheet(), key=graph.name)
            await run.wait()
            row = await engine.store.find(graph.name)
            assert row is not None
            assert row.owner is None
        assert engine._driving == {}


@pytest.mark.asyncio
async def test_what_only_reads_drives_nothing(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        asked(await (await engine.start(letter, Sheet(), key="k")).wait())
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        run = await engine.get("k", letter)
        await run.questions()
        await run.state()
        await run.record()
        await run.status()
        await engine.find()
        assert engine._driving == {}
        await run.answer("confirm", True)
        assert engine._driving == {}
        assert await run.status() == "waiting"
        await run.resume()
        assert done(await run.wait()).ok is True
        await run.resume()  # a run that has ended is left as it is
        assert engine._driving == {}


@pytest.mark.asyncio
async def test_what_is_asked_of_a_run_in_the_wrong_state_is_refused() -> None:
    async with Engine(graphs=[greet, letter]) as engine:
        ended = await engine.start(greet, Sheet())
        await ended.wait()
        with pytest.raises(RunEnded, match="is done: it cannot be retried"):
            await ended.retry()
        with pytest.raises(RunEnded, match="is done: it cannot be cancelled"):
            await ended.cancel()
        waiting = await engine.start(letter, Sheet())
        asked(await waiting.wait())
        with pytest.raises(RunEnded, match="cannot be retried"):
            await waiting.retry()
        with pytest.raises(UnknownQuestion, match="Did you mean 'confirm'"):
            await waiting.answer("comfirm", True)
        asked(await waiting.wait())


# -- resources ---------------------------------------------------------------------------------------------


class Payments(Protocol):
    def pay(self, amount: int) -> str: ...


class Bank:
    def pay(self, amount: int) -> str:
        return f"paid {amount}"


@pytest.mark.asyncio
async def test_a_resource_is_missed_when_the_run_is_driven_and_not_when_it_is_read(tmp_path: Path) -> None:
    @node(writes="text")
    async def work(payments: Annotated[Payments, Resource]) -> str:
        return payments.pay(3)

    graph = chain(confirm, work)
    async with Engine(database(tmp_path), graphs=[graph], resources=[Bank()]) as engine:
        asked(await (await engine.start(graph, Sheet(), key="k")).wait())
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        assert (await run.state()).text == ""
        await run.answer("confirm", True)
        with pytest.raises(GraphError, match="wants a resource that is a Payments"):
            await run.wait()
        with pytest.raises(GraphError):
            await engine.start(graph, Sheet(), key="new")
    async with Engine(database(tmp_path), graphs=[graph], resources={"bank": Bank()}) as engine:
        assert (await (await engine.get("k", graph)).result()).text == "paid 3"


# -- code that has changed ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_paused_run_whose_node_was_renamed_says_so_and_stays_readable(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        asked(await (await engine.start(letter, Sheet(text="ada"), key="k")).wait())

    @ask(writes="ok")
    async def agree(text: str) -> Question[bool]:
        return Question("Well?")

    renamed = chain(hello, agree, name="letter")
    async with Engine(database(tmp_path), graphs=[renamed]) as engine:
        run = await engine.get("k", renamed)
        for refused in (run.wait(), run.resume(), run.state()):
            with pytest.raises(GraphChanged, match="node 'confirm' is gone") as caught:
                await refused
            assert {"node 'agree' is new", "node 'confirm' is gone"} <= set(caught.value.changes)
        assert [q.id for q in await run.questions()] == ["confirm"]
        assert [a.status for a in (await run.record()).activations] == ["done", "waiting"]
        assert await run.status() == "waiting"
        row = await engine.store.find("k")
        assert row is not None
        assert row.owner is None
    async with Engine(database(tmp_path), graphs=[letter]) as engine:  # nothing was changed
        run = await engine.get("k", letter)
        await run.answer("confirm", True)
        assert (await run.result()).ok is True


# -- the database ------------------------------------------------------------------------------------------


def limited(engine: Engine, pages: int) -> Any:
    """Let the database of an engine have no more than so many pages more than it has; 0 takes that off."""

    def limit(database: Any) -> int:
        (count,) = database.execute("PRAGMA page_count").fetchone()
        most = count + pages if pages else 1_000_000
        (limit,) = database.execute(f"PRAGMA max_page_count = {most}").fetchone()
        return int(limit)

    return engine.store._now().writer.ask(limit)  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_full_disk_in_the_middle_of_a_run_is_told_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    ran: list[int] = []

    @node(writes="log")
    async def step(log: list[str]) -> str:
        ran.append(len(log))
        return f"{len(log):02}" + "x" * 20_000  # the same value would be kept once

    def more(log: list[str]) -> bool:
        return len(log) < 20

    graph = Graph(Sheet, name="big")
    graph.start(step)
    graph.edge(step, step, when=more)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        await limited(engine, 40)
        run = await engine.start(graph, Sheet(), key="k")
        with pytest.raises(StoreFull, match="What was stored before is safe"):
            await run.wait()
        stored = len((await run.state()).log)
        assert 0 < stored < 20
        assert [a.status for a in (await run.record()).activations].count("done") == stored
        assert await run.status() == "running"
        assert await run.questions() == []
        with pytest.raises(StoreFull):  # still no room
            await run.wait()
        lost = ran[stored:]  # their results could not be stored, so they run again
        assert set(lost) == {stored}
        await limited(engine, 0)
        state = await run.result()
        assert state.log == [f"{n:02}" + "x" * 20_000 for n in range(20)]
        # What is stored was never done again.
        assert [n for n in ran if n != stored] == [n for n in range(20) if n != stored]


@pytest.mark.asyncio
async def test_a_run_that_ran_out_of_room_goes_on_in_another_engine(tmp_path: Path) -> None:
    @node(writes="text")
    async def big() -> str:
        return "x" * 500_000

    graph = chain(hello, big)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        await limited(engine, 10)
        run = await engine.start(graph, Sheet(text="ada"), key="k")
        with pytest.raises(StoreFull):
            await run.wait()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        assert len((await (await engine.get("k", graph)).result()).text) == 500_000


@pytest.mark.asyncio
async def test_a_file_that_is_no_database_and_one_of_a_newer_release_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_text("this is not a database, however long it is" * 100)
    with pytest.raises(StoreBroken, match="no SQLite database"):
        await Engine(database(tmp_path), graphs=[greet]).__aenter__()
    newer = tmp_path / "newer.db"
    async with Engine(f"sqlite:///{newer}", graphs=[greet]) as engine:
        done(await (await engine.start(greet, Sheet())).wait())
    with closing(connect(newer)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreNewer):
        await Engine(f"sqlite:///{newer}", graphs=[greet]).__aenter__()


@pytest.mark.asyncio
async def test_a_log_row_that_cannot_be_read_is_a_typed_error_and_the_run_is_not_held(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        asked(await (await engine.start(letter, Sheet(), key="k")).wait())
    with closing(connect(tmp_path / "runs.db")) as connection, connection:
        connection.execute("UPDATE events SET body = '{\"id\":' WHERE seq = 1")
    async with Engine(database(tmp_path), graphs=[letter]) as engine:
        run = await engine.get("k", letter)
        for refused in (run.state(), run.record(), run.resume(), run.wait()):
            with pytest.raises(StoreError, match=r"log row 1 \(NodeFinished\) cannot be read"):
                await refused
        row = await engine.store.find("k")
        assert row is not None
        assert row.owner is None


# -- expiry ------------------------------------------------------------------------------------------------


def with_deadline() -> Graph[Sheet]:
    @ask(writes="ok")
    async def decide() -> Question[bool]:
        return Question("Well?", expires_in=timedelta(hours=1))

    return chain(decide, name="deadline")


@in_virtual_time
async def test_an_answer_after_the_deadline_is_refused_and_the_run_fails_when_it_is_driven() -> None:
    graph = with_deadline()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        await asyncio.sleep(3601)
        assert await run.questions() == []
        with pytest.raises(StaleAnswer, match="it expired at 20"):
            await run.answer("decide", True)
        outcome = failed(await run.wait(), "QuestionExpired")
        assert not hasattr(outcome.state, "ok")
        await run.retry()
        [question] = asked(await run.wait())
        assert question.id == "decide!2"  # another question: no old answer can land on it
        with pytest.raises(StaleAnswer):
            await run.answer("decide", True)
        await run.answer("decide!2", True)
        assert (await run.result()).ok is True


@in_virtual_time
async def test_a_deadline_is_also_seen_when_the_run_is_resumed() -> None:
    graph = with_deadline()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        await asyncio.sleep(3601)
        failed(await run.wait(), "QuestionExpired")
        assert [q.status for q in await engine.store.questions(1, status=())] == ["expired"]


@in_virtual_time
async def test_a_deadline_that_passes_while_another_branch_runs_is_seen_before_the_run_rests() -> None:
    @ask(writes="ok")
    async def decide() -> Question[bool]:
        return Question("Well?", expires_in=timedelta(hours=1))

    @node
    async def beside() -> None:
        await asyncio.sleep(7200)

    graph = Graph(Sheet, name="g")
    graph.start([decide, beside])
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        failed(await run.wait(), "QuestionExpired")
        assert elapsed() == 7200


@in_virtual_time
async def test_an_answer_just_in_time_counts() -> None:
    graph = with_deadline()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        await asyncio.sleep(3599)
        await run.answer("decide", True)
        assert (await run.result()).ok is True


class Later(State):
    at: datetime = later()


@pytest.mark.asyncio
async def test_an_answer_is_of_the_declared_type() -> None:
    @ask(writes="at")
    async def when() -> Question[datetime]:
        return Question("When?")

    graph = Graph(Later, name="g")
    graph.start(when)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Later())
        asked(await run.wait())
        at = datetime(2030, 1, 1, tzinfo=UTC)
        await run.answer("when", at)
        await run.answer("when", "2030-01-01T01:00:00+01:00")  # the same moment is the same answer
        await run.answer_json("when", "2030-01-01T00:00:00Z")
        assert (await run.result()).at == at
