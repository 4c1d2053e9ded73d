"""Steps inside of a node: called once, durable before the node goes on, in the same order each time."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, assert_type

import pytest
from pydantic import BaseModel, SecretStr

from orchestra_graph import Context, Dead, Done, Engine, Graph, Node, Question, Retry, Waiting, ask, node
from orchestra_graph import events as public
from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.run import RunState
from orchestra_graph.core.snapshot import freeze, needed, thaw
from orchestra_graph.errors import NotStorable, StepRefused, StepsChanged
from orchestra_graph.runtime.blobs import LARGE
from orchestra_graph.runtime.explain import RetryWaits, Runs
from orchestra_graph.store.base import Append

from .common import Sheet, asked, bodies, both_stores, chain, database, done, events, failed, until, url_of, virtual
from .virtual import in_virtual_time

AGAIN = Retry(attempts=4, delay=0.01, on=lambda error: isinstance(error, Boom))


class Boom(Exception):
    """What nodes of these tests raise."""


class Order(BaseModel):
    name: str
    price: Decimal = Decimal(1)


class Calls:
    """What was really called."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def go(self, what: str) -> str:
        self.made.append(what)
        return f"done: {what}"

    def plain(self, what: str) -> str:
        self.made.append(what)
        return f"done: {what}"


@pytest.fixture
def calls() -> Calls:
    return Calls()


async def outcome_of(graph: Graph[Any], url: str | None = None) -> Any:
    async with Engine(url, graphs=[graph]) as engine:
        return await (await engine.start(graph, Sheet(), key="k")).wait(timeout=30)


# -- once ----------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_what_is_recorded_is_given_to_the_next_attempt_without_a_call(
    place: str, tmp_path: Path, calls: Calls
) -> None:
    given: list[str] = []

    @node(writes="text", retry=AGAIN)
    async def work(ctx: Context) -> str:
        given.append(await ctx.step("first", calls.go, "a"))
        given.append(await ctx.step("second", calls.plain, "b"))
        if ctx.attempt < 3:
            raise Boom
        return await ctx.step("third", calls.go, "c")

    assert done(await outcome_of(chain(work), url_of(place, tmp_path))).text == "done: c"
    assert calls.made == ["a", "b", "c"]
    assert given == ["done: a", "done: b"] * 3


@both_stores
@pytest.mark.asyncio
async def test_a_step_is_in_the_log_before_it_returns(place: str, tmp_path: Path, calls: Calls) -> None:
    seen: list[list[str]] = []
    engine = Engine(url_of(place, tmp_path))

    @node(writes="text")
    async def work(ctx: Context) -> str:
        for what in ("a", "b"):
            await ctx.step(what, calls.go, what)
            row = await engine.store.find("k")
            assert row is not None
            seen.append([r.kind for r in await engine.store.log(row.number)])
        return ""

    async with engine:
        await (await engine.start(chain(work), Sheet(), key="k")).result()
    assert seen == [["RunStarted", "StepDone"], ["RunStarted", "StepDone", "StepDone"]]


@both_stores
@pytest.mark.asyncio
async def test_another_engine_goes_on_behind_the_last_step(place: str, tmp_path: Path, calls: Calls) -> None:
    there = asyncio.Event()

    @node(writes="text")
    async def work(ctx: Context) -> str:
        first = await ctx.step("first", calls.go, "a")
        second = await ctx.step("second", calls.go, "b")
        if not there.is_set():
            there.set()
            await asyncio.Event().wait()
        return f"{first}, {second}"

    graph = chain(work)
    engine = Engine(url_of(place, tmp_path), graphs=[graph])
    async with engine:
        await engine.start(graph, Sheet(), key="k")
        await there.wait()
    again = engine if place == "memory" else Engine(url_of(place, tmp_path), graphs=[graph])
    async with again:
        assert done(await (await again.get("k", graph)).wait(timeout=20)).text == "done: a, done: b"
    assert calls.made == ["a", "b"]


@pytest.mark.asyncio
async def test_a_step_that_failed_is_called_again(calls: Calls) -> None:
    @node(writes="text", retry=AGAIN)
    async def work(ctx: Context) -> str:
        async def shaky(what: str) -> str:
            await calls.go(what)
            if ctx.attempt == 1:
                raise Boom
            return what

        await ctx.step("first", calls.go, "a")
        return await ctx.step("second", shaky, "b")

    assert done(await outcome_of(chain(work))).text == "b"
    assert calls.made == ["a", "b", "b"]


@pytest.mark.asyncio
async def test_a_run_that_is_retried_keeps_what_its_nodes_have_done(tmp_path: Path, calls: Calls) -> None:
    broken = [True]

    @node(writes="text")
    async def work(ctx: Context) -> str:
        first = await ctx.step("first", calls.go, "a")
        if broken[0]:
            raise Boom
        return first

    graph = chain(work)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        failed(await (await engine.start(graph, Sheet(), key="k")).wait(), "Boom")
    broken.clear()
    broken.append(False)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        await run.retry()
        assert done(await run.wait()).text == "done: a"
    assert calls.made == ["a"]


@pytest.mark.asyncio
async def test_every_turn_and_every_element_has_steps_of_its_own(calls: Calls) -> None:
    @node(writes="count")
    async def step(count: int, ctx: Context) -> int:
        await ctx.step("same", calls.go, ctx.key_of("same"))
        return count + 1

    graph = Graph(Sheet, name="g")
    graph.start(step)
    graph.edge(step, step, when=lambda count: count < 3)
    assert done(await outcome_of(graph)).count == 3
    assert calls.made == ["k/step@0/same", "k/step@1/same", "k/step@2/same"]


# -- the order -----------------------------------------------------------------------------------------


def changing(calls: Calls, *orders: str, caught: bool = False, **options: Any) -> Node[Any]:
    """A node whose attempts have these steps, a letter each."""

    @node(writes="text", retry=Retry(attempts=len(orders), delay=0.01, on=lambda e: isinstance(e, Boom)), **options)
    async def work(ctx: Context) -> str:
        for letter in orders[ctx.attempt - 1]:
            try:
                await ctx.step(letter, calls.go, letter)
            except StepsChanged:
                if not caught:
                    raise
        if ctx.attempt < len(orders):
            raise Boom
        return "end"

    return work


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.asyncio
async def test_another_order_is_an_error_before_anything_is_called(caught: bool, calls: Calls) -> None:
    outcome = failed(await outcome_of(chain(changing(calls, "abc", "acbd", caught=caught))), "StepsChanged")
    assert calls.made == ["a", "b", "c"]
    error = outcome.cause
    assert isinstance(error, StepsChanged)
    assert (error.recorded, error.found, error.place) == (("a", "b", "c"), "c", 1)
    assert "step 2 is 'c', and was 'b'" in str(error)
    assert "put the step back" in str(error)


@pytest.mark.asyncio
async def test_fewer_steps_than_recorded_and_more_behind_them_are_fine(calls: Calls) -> None:
    assert done(await outcome_of(chain(changing(calls, "abc", "a", "abcd")))).text == "end"
    assert calls.made == ["a", "b", "c", "d"]


@pytest.mark.asyncio
async def test_the_same_key_may_come_again(calls: Calls) -> None:
    assert done(await outcome_of(chain(changing(calls, "aaba", "aabaa")))).text == "end"
    assert calls.made == ["a", "a", "b", "a", "a"]


@pytest.mark.asyncio
async def test_what_a_step_returns_now_must_fit_what_is_recorded(calls: Calls) -> None:
    def number() -> int:
        raise AssertionError("nothing is called")

    @node(writes="text", retry=AGAIN)
    async def work(ctx: Context) -> str:
        if ctx.attempt == 1:
            await ctx.step("one", calls.go, "a")
            raise Boom
        return str(await ctx.step("one", number))

    outcome = failed(await outcome_of(chain(work)), "StepsChanged")
    assert "what was recorded of step 1, 'one', is nothing that the step returns now" in outcome.reason


@pytest.mark.asyncio
async def test_steps_side_by_side_have_the_places_in_which_they_were_begun(tmp_path: Path, calls: Calls) -> None:
    """The second one ends first and is recorded; when the node is run again, only the others are called."""
    gates = {"a": asyncio.Event(), "b": asyncio.Event(), "c": asyncio.Event()}
    recorded = asyncio.Event()

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async def one(what: str) -> str:
            await gates[what].wait()
            return await calls.go(what)

        async def tell(what: str) -> str:
            found = await ctx.step(what, one, what)
            if what == "b":
                recorded.set()
            return found

        return ", ".join(await asyncio.gather(*(tell(what) for what in "abc")))

    graph = chain(work)
    gates["b"].set()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await recorded.wait()
        assert [json.loads(body)["index"] for body in await bodies(run, "StepDone")] == [1]
    gates["a"].set()
    gates["c"].set()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        assert done(await (await engine.get("k", graph)).wait()).text == "done: a, done: b, done: c"
    assert sorted(calls.made) == ["a", "b", "c"]


@pytest.mark.asyncio
async def test_a_place_is_taken_by_the_call_and_not_by_the_await(calls: Calls) -> None:
    @node(writes="text", retry=AGAIN)
    async def work(ctx: Context) -> str:
        first, second = ctx.step("first", calls.go, "a"), ctx.step("second", calls.go, "b")
        text = f"{await second} {await first}"
        if ctx.attempt == 1:
            raise Boom
        return text

    assert done(await outcome_of(chain(work))).text == "done: b done: a"
    assert calls.made == ["b", "a"]


@pytest.mark.asyncio
async def test_a_place_that_was_begun_and_never_ended_is_said_to_be_unknown(calls: Calls) -> None:
    @node(writes="text", retry=AGAIN)
    async def work(ctx: Context) -> str:
        async def fails() -> None:
            raise Boom

        if ctx.attempt == 1:
            with pytest.raises(Boom):
                await ctx.step("a", fails)
            await ctx.step("b", calls.go, "b")
            raise Boom
        first = ctx.step("x", calls.go, "x")
        for one in (ctx.step("y", calls.go, "y"), first):
            with pytest.raises(StepsChanged, match="not known"):
                await one
        return ""

    outcome = failed(await outcome_of(chain(work)), "StepsChanged")
    assert isinstance(outcome.cause, StepsChanged)
    assert outcome.cause.recorded == (None, "b")
    assert calls.made == ["b"]


# -- where there can be none ---------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_step_in_a_step_is_refused_and_so_is_one_without_a_key(calls: Calls) -> None:
    refusals: list[StepRefused] = []

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async def outer() -> str:
            with pytest.raises(StepRefused, match="stands inside of another step") as refused:
                await ctx.step("inner", calls.go, "inner")
            refusals.append(refused.value)
            return "outer"

        with pytest.raises(StepRefused, match="a text that is not empty") as refused:
            await ctx.step("", calls.go, "nothing")
        refusals.append(refused.value)
        await ctx.step("outer", outer)
        return await ctx.step("next", calls.go, "next")

    assert done(await outcome_of(chain(work))).text == "done: next"
    assert calls.made == ["next"]
    assert [refusal.node for refusal in refusals] == ["work", "work"]


@pytest.mark.asyncio
async def test_a_run_that_is_driven_inside_of_a_step_has_steps_of_its_own(calls: Calls) -> None:
    @node(writes="text")
    async def inner(ctx: Context) -> str:
        return await ctx.step("inner", calls.go, "inner")

    graph = chain(inner, name="inside")

    async def run_it() -> str:
        return (await graph.run(Sheet())).text

    @node(writes="text")
    async def outer(ctx: Context) -> str:
        return await ctx.step("run", run_it)

    assert done(await outcome_of(chain(outer))).text == "done: inner"
    assert calls.made == ["inner"]


@pytest.mark.asyncio
async def test_what_a_node_has_left_running_records_nothing(calls: Calls) -> None:
    left: list[asyncio.Task[Any]] = []
    ended = asyncio.Event()

    @node(writes="text")
    async def work(ctx: Context) -> str:
        async def late() -> str:
            await ended.wait()
            return await ctx.step("late", calls.go, "late")

        async def slow() -> str:
            await ended.wait()
            return await calls.go("slow")

        async def slow_step() -> str:
            return await ctx.step("slow", slow)

        left.extend(asyncio.create_task(one()) for one in (late, slow_step))
        await asyncio.sleep(0)
        return "end"

    graph = chain(work)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        assert (await run.result()).text == "end"
        ended.set()
        found = await asyncio.gather(*left, return_exceptions=True)
        assert [type(error) for error in found] == [StepRefused, StepRefused], found
        assert calls.made == ["slow"]  # it had begun, and its result is lost
        assert await events(run) == ["RunStarted", "NodeFinished", "RunEnded"]


@pytest.mark.asyncio
async def test_whoever_loses_a_race_records_nothing_more(calls: Calls) -> None:
    begun, won = asyncio.Event(), asyncio.Event()
    caught: list[BaseException] = []

    @node(writes="left")
    async def slow(ctx: Context) -> str:
        await ctx.step("one", calls.go, "one")
        begun.set()
        try:
            await won.wait()
        except asyncio.CancelledError as error:
            caught.append(error)
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()  # it will not hear of it
            await ctx.step("two", calls.go, "two")
            raise
        return ""

    @node(writes="right")
    async def quick() -> str:
        await begun.wait()
        return "won"

    graph = Graph(Sheet, name="g")
    graph.start([slow, quick])
    graph.race(slow, quick)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        assert (await run.result()).right == "won"
        assert len(caught) == 1
        assert [json.loads(body)["key"] for body in await bodies(run, "StepDone")] == ["one"]
        assert await events(run, "NodeFailed") == []
    assert calls.made == ["one"]


# -- values --------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_step_gives_what_came_back_from_json_the_first_time_too(tmp_path: Path) -> None:
    kept = Order(name="pen", price=Decimal("1.50"))
    found: list[Any] = []

    async def find() -> Order:
        return kept

    def several() -> list[Order]:
        return [kept]

    def untyped():  # type: ignore[no-untyped-def]
        return {"name": "ink", "price": "2"}

    def awaited() -> Awaitable[Order]:
        return find()

    def coroutine() -> Coroutine[Any, Any, int | None]:
        async def nothing() -> int | None:
            return None

        return nothing()

    @node(writes="text", retry=AGAIN)
    async def work(ctx: Context) -> str:
        found.append(await ctx.step("one", find))
        found.append(await ctx.step("many", several))
        found.append(await ctx.step("any", untyped))
        found.append(await ctx.step("told", untyped, returns=Order))
        found.append(await ctx.step("partial", partial(find)))
        found.append(await ctx.step("awaited", awaited))
        found.append(await ctx.step("coroutine", coroutine))
        found.append(await ctx.step("made", Order, name="cap"))
        if ctx.attempt == 1:
            raise Boom
        return ""

    done(await outcome_of(chain(work), database(tmp_path)))
    first, second = found[:8], found[8:]
    assert first == second
    ink = {"name": "ink", "price": "2"}
    assert first == [kept, [kept], ink, Order(name="ink", price=Decimal(2)), kept, kept, None, Order(name="cap")]
    assert all(one is not kept and one is not two for one, two in zip(first, second, strict=True) if one is not None)


def secret() -> SecretStr:
    raise AssertionError("nothing is called")


def loop() -> asyncio.AbstractEventLoop:
    raise AssertionError("nothing is called")


def a_set():  # type: ignore[no-untyped-def]
    return {1}


def wrong() -> int:
    return "three"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (secret, "SecretStr"),
        (loop, "AbstractEventLoop has no form in JSON"),
        (a_set, "returns="),
        (wrong, "does not fit.*three"),
    ],
)
@pytest.mark.asyncio
async def test_what_cannot_be_stored_is_refused(fn: Callable[[], Any], says: str) -> None:
    @node(writes="text", retry=Retry(attempts=1))
    async def work(ctx: Context) -> str:
        with pytest.raises(NotStorable, match=f"step it.*{says}"):
            await ctx.step("it", fn)
        return "end"

    assert done(await outcome_of(chain(work))).text == "end"


@both_stores
@pytest.mark.asyncio
async def test_a_large_result_goes_to_the_large_values(place: str, tmp_path: Path) -> None:
    there = asyncio.Event()
    made: list[int] = []

    def large() -> str:
        made.append(1)
        return "x" * (LARGE + 10)

    @node(writes="count")
    async def work(ctx: Context) -> int:
        text = await ctx.step("large", large)
        if not there.is_set():
            there.set()
            await asyncio.Event().wait()
        return len(text)

    graph = chain(work)
    engine = Engine(url_of(place, tmp_path), graphs=[graph])
    async with engine:
        run = await engine.start(graph, Sheet(), key="k")
        await there.wait()
        [body] = await bodies(run, "StepDone")
        assert len(body) < 300
        assert json.loads(body)["blobs"]["step"].keys() == {"value"}
    async with engine:
        assert done(await (await engine.get("k", graph)).wait()).count == LARGE + 10
    assert made == [1]


def test_types_are_those_of_the_functions() -> None:
    """For mypy and pyright; nothing is run."""

    async def fetch(url: str, *, times: int = 1) -> list[int]:
        return [len(url)] * times

    def count(url: str) -> int:
        return len(url)

    async def steps(ctx: Context) -> None:
        assert_type(await ctx.step("a", fetch, "url", times=2), list[int])
        assert_type(await ctx.step("b", count, "url"), int)
        assert_type(await ctx.step("c", count, "url", returns=str), str)
        assert_type(await ctx.step("d", fetch, "url", returns=dict[str, int]), dict[str, int])
        one, two = await asyncio.gather(ctx.step("e", count, ""), ctx.step("f", fetch, ""))
        assert_type(one, int)
        assert_type(two, list[int])
        await ctx.step("g", count, 3)  # type: ignore[call-overload]

    def blocking(ctx: Context) -> None:
        assert_type(ctx.step_sync("a", fetch, "url"), list[int])
        assert_type(ctx.step_sync("b", count, "url"), int)
        assert_type(ctx.step_sync("c", count, "url", returns=str), str)

    assert steps.__name__
    assert blocking.__name__


# -- sync nodes ----------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_a_plain_function_has_blocking_steps(place: str, tmp_path: Path, calls: Calls) -> None:
    threads: list[int] = []

    def here(what: str) -> str:
        threads.append(threading.get_ident())
        return calls.plain(what)

    @node(writes="text", retry=AGAIN)
    def work(ctx: Context) -> str:
        first = ctx.step_sync("first", here, "a")
        assert threads == [threading.get_ident()] or ctx.attempt > 1
        second = ctx.step_sync("second", calls.go, "b")
        if ctx.attempt == 1:
            raise Boom
        return f"{first}, {second}"

    assert done(await outcome_of(chain(work), url_of(place, tmp_path))).text == "done: a, done: b"
    assert calls.made == ["a", "b"]


@pytest.mark.asyncio
async def test_a_plain_function_is_held_to_the_same_rules(calls: Calls) -> None:
    @node(writes="text", retry=AGAIN)
    def work(ctx: Context) -> str:
        def outer() -> str:
            with pytest.raises(StepRefused, match="inside of another step"):
                ctx.step_sync("inner", calls.plain, "inner")
            return "outer"

        if ctx.attempt == 1:
            ctx.step_sync("outer", outer)
            raise Boom
        with pytest.raises(StepsChanged):
            ctx.step_sync("other", calls.plain, "other")
        return "caught"

    failed(await outcome_of(chain(work)), "StepsChanged")
    assert calls.made == []


@pytest.mark.asyncio
async def test_a_blocking_step_in_the_event_loop_is_refused(calls: Calls) -> None:
    @node(writes="text")
    async def work(ctx: Context) -> str:
        with pytest.raises(StepRefused, match="hold up the event loop"):
            ctx.step_sync("a", calls.plain, "a")
        return await ctx.step("a", calls.plain, "a")

    assert done(await outcome_of(chain(work))).text == "done: a"


@pytest.mark.asyncio
async def test_a_plain_function_that_was_left_alone_records_nothing_more(calls: Calls) -> None:
    goes_on, found = threading.Event(), list[Any]()

    @node(writes="text", timeout=0.05)
    def work(ctx: Context) -> str:
        ctx.step_sync("first", calls.plain, "a")
        goes_on.wait(20)
        for fn in (calls.plain, calls.go):
            try:
                ctx.step_sync("second", fn, "b")
            except StepRefused as error:
                found.append(error)
        return ""

    graph = chain(work)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        failed(await run.wait(), "NodeTimeout")
        goes_on.set()
        await until(lambda: len(found) == 2)
        assert [json.loads(body)["key"] for body in await bodies(run, "StepDone")] == ["first"]
    assert calls.made == ["a"]


# -- irreversible nodes --------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_an_irreversible_node_keeps_its_steps_but_goes_to_a_person_all_the_same(
    place: str, tmp_path: Path, calls: Calls
) -> None:
    there = asyncio.Event()

    @node(effect="irreversible", unattended=True, writes="text")
    async def pay(ctx: Context) -> str:
        first = await ctx.step("first", calls.go, "a")
        if not there.is_set():
            there.set()
            await asyncio.Event().wait()
        return first

    graph = chain(pay)
    engine = Engine(url_of(place, tmp_path), graphs=[graph])
    async with engine:
        await engine.start(graph, Sheet(), key="k")
        await there.wait()
    async with engine:
        run = await engine.get("k", graph)
        [question] = asked(await run.wait(timeout=20))
        assert question.details["steps done"] == ["first"]
        assert question.details["idempotency_key"] == "k/pay"
        await run.answer(question.id, {"happened": False})
        assert done(await run.wait(timeout=20)).text == "done: a"
    assert calls.made == ["a"]


@pytest.mark.asyncio
async def test_an_irreversible_node_goes_to_a_person_even_when_its_run_was_given_up(
    tmp_path: Path, calls: Calls
) -> None:
    """Its owners died one after the other; somebody retries the run, and all the same nothing is repeated."""
    there = asyncio.Event()

    @node(effect="irreversible", unattended=True, writes="text")
    async def pay(ctx: Context) -> str:
        first = await ctx.step("first", calls.go, "a")
        if not there.is_set():
            there.set()
            await asyncio.Event().wait()
        return first

    graph = chain(pay)
    engine = Engine(database(tmp_path), graphs=[graph])
    async with engine:
        await engine.start(graph, Sheet(), key="k")
        await there.wait()
    with closing(sqlite3.connect(tmp_path / "runs.db")) as connection, connection:
        connection.execute("UPDATE runs SET owner = 'nobody', claims = 9, status = 'running'")
    async with engine:
        run = await engine.get("k", graph)
        assert isinstance(await run.wait(timeout=20), Dead)
        await run.retry()
        [question] = asked(await run.wait(timeout=20))
        assert question.details["steps done"] == ["first"]
        await run.answer(question.id, {"happened": True, "text": "it did"})
        assert done(await run.wait(timeout=20)).text == "it did"
    assert calls.made == ["a"]


@pytest.mark.asyncio
async def test_the_function_of_a_question_may_have_steps(calls: Calls) -> None:
    @ask(writes="ok")
    async def agree(ctx: Context) -> Question[bool]:
        return Question(await ctx.step("text", calls.go, "text"))

    graph = chain(agree)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        outcome = await run.wait()
        assert isinstance(outcome, Waiting)
        [question] = outcome.questions
        assert question.prompt == "done: text"
        await run.answer(question.id, True)
        assert isinstance(await run.wait(), Done)


# -- keys ----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_keys_are_the_same_in_every_attempt_and_every_process(tmp_path: Path) -> None:
    keys: list[tuple[str, str]] = []
    there = asyncio.Event()

    @node(retry=AGAIN)
    async def work(ctx: Context) -> None:
        keys.append((ctx.idempotency_key, ctx.key_of("pay")))
        if ctx.attempt == 1:
            raise Boom
        if not there.is_set():
            there.set()
            await asyncio.Event().wait()

    graph = chain(work)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        await engine.start(graph, Sheet(), key="k")
        await there.wait()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        done(await (await engine.get("k", graph)).wait())
        done(await (await engine.start(graph, Sheet(), key="other")).wait())
    assert keys[:3] == [("k/work", "k/work/pay")] * 3
    assert set(keys[3:]) == {("other/work", "other/work/pay")}


@pytest.mark.asyncio
async def test_a_fork_is_another_run_with_other_keys_and_keeps_what_was_done_on_the_same_values(
    tmp_path: Path, calls: Calls
) -> None:
    keys: list[str] = []

    @node(writes="text")
    async def work(count: int, ctx: Context) -> str:
        keys.append(ctx.key_of("pay"))
        first = await ctx.step("first", calls.go, f"a{count}")
        if len(keys) == 1:
            raise Boom
        return first

    graph = chain(work)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        failed(await run.wait(), "Boom")
        [step] = [step.number for step in await run.history() if step.what == "StepDone"]
        same = await run.fork(at=step, key="same")
        assert done(await same.wait(timeout=20)).text == "done: a0"
        other = await run.fork(at=step, update={"count": 7}, key="other")
        assert done(await other.wait(timeout=20)).text == "done: a7"
    assert keys == ["k/work/pay", "same/work/pay", "other/work/pay"]
    assert calls.made == ["a0", "a7"]


# -- what is stored ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_steps_that_end_together_are_stored_together(tmp_path: Path) -> None:
    commits: list[Append] = []

    async def fast(n: int) -> int:
        return n

    @node(writes="total")
    async def work(ctx: Context) -> int:
        return sum(await asyncio.gather(*(ctx.step("one", fast, n) for n in range(50))))

    graph = chain(work)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        write = engine.store.append

        async def count(change: Append) -> None:
            commits.append(change)
            await write(change)

        engine.store.append = count  # type: ignore[method-assign]
        run = await engine.start(graph, Sheet(), key="k")
        assert (await run.result()).total == sum(range(50))
        assert len(await bodies(run, "StepDone")) == 50
    assert len(commits) <= 4


def begun() -> tuple[RunState, Any]:
    @node
    async def work() -> None: ...

    graph = chain(work)
    run = RunState.of(graph.compile())
    evolve(run, ev.RunStarted(at=1.0, values={"text": "", "count": 0, "items": [], "total": 0}))
    return run, graph.compile()


def test_a_snapshot_names_the_rows_of_steps_and_not_what_they_gave() -> None:
    run, plan = begun()
    log: list[ev.Event] = [ev.StepDone(at=1.0, id="work", key="key", index=n, value=["x" * 50]) for n in range(200)]
    sizes = []
    for event in log:
        evolve(run, event)
        sizes.append(len(freeze(run)))
    assert sizes[-1] - sizes[10] < 20  # it does not grow with the number of steps
    frozen = freeze(run)
    assert set(range(1, 201)) <= set(needed(frozen))
    started = ev.RunStarted(at=1.0, values={"text": "", "count": 0, "items": [], "total": 0})
    again = thaw(plan, frozen, {0: started, **dict(enumerate(log, start=1))})
    assert again.live["work"].steps == run.live["work"].steps
    assert freeze(again) == frozen


def test_steps_go_with_their_activation_and_of_one_that_is_gone_nothing_is_kept() -> None:
    run, _ = begun()
    evolve(run, ev.StepDone(at=1.0, id="work", key="a", index=0, value=1))
    evolve(run, ev.NodeFailed(at=2.0, id="work", error=ev.ErrorInfo("E", ""), retry_at=3.0))
    assert [step.key for step in run.live["work"].steps.values()] == ["a"]
    edge = run.plan.nodes[run.live["work"].vertex].groups[0].edges[0]
    evolve(run, ev.NodeFinished(at=3.0, id="work", taken=[ev.Taken(edge)], attempt=2))
    evolve(run, ev.StepDone(at=4.0, id="work", key="b", index=1, value=2))
    assert "work" not in run.live
    assert "steps" not in freeze(run) or all(not item[7] for item in json.loads(freeze(run))["live"])


# -- what users see ------------------------------------------------------------------------------------


@in_virtual_time
async def test_users_see_that_steps_are_done_and_not_what_came_of_them() -> None:
    hold = asyncio.Event()

    async def tell() -> str:
        return "a secret of a kind"

    @node(writes="text", retry=Retry(attempts=2, delay=100, on=lambda e: isinstance(e, Boom)))
    async def work(ctx: Context) -> str:
        for key in ("one", "two", "one"):
            await ctx.step(key, tell)
        if ctx.attempt == 1:
            await hold.wait()
            raise Boom
        return ""

    graph = chain(work)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        told = [event async for event in _until(run.events(), 3)]
        assert [(e.id, e.node, e.key, e.index) for e in told] == [
            ("work", "work", "one", 0),
            ("work", "work", "two", 1),
            ("work", "work", "one", 2),
        ]
        assert "secret" not in repr(told)
        [reason] = (await run.explain()).reasons
        assert isinstance(reason, Runs)
        assert str(reason) == "work (3 steps done) runs"
        hold.set()
        async for event in run.events():
            if isinstance(event, public.NodeFailed):
                break
        [reason] = (await run.explain()).reasons
        assert isinstance(reason, RetryWaits)
        assert str(reason).startswith("work (3 steps done) is tried again")
        await run.result()
        steps = [step for step in await run.history() if step.what == "StepDone"]
        assert [(step.id, step.key, step.writes) for step in steps] == [
            ("work", "one", ()),
            ("work", "two", ()),
            ("work", "one", ()),
        ]


async def _until(stream: AsyncIterator[Any], count: int) -> AsyncIterator[public.StepDone]:
    async for event in stream:
        if isinstance(event, public.StepDone):
            yield event
            count -= 1
            if not count:
                return


# -- without an engine ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_context_made_by_hand_calls_every_step(calls: Calls) -> None:
    context = Context(run="k", graph="g", node="work", id="work")
    assert await context.step("a", calls.go, "a") == "done: a"
    assert await context.step("b", calls.plain, "b") == "done: b"
    with pytest.raises(NotStorable):
        await context.step("c", wrong)
    assert context.key_of("a") == "k/work/a"
    with pytest.raises(StepRefused, match="made by hand"):
        async with context.transaction():
            raise AssertionError("there is none")
    assert calls.made == ["a", "b"]


def test_a_context_made_by_hand_calls_every_blocking_step(calls: Calls) -> None:
    context = Context(run="k", graph="g", node="work", id="work")
    assert context.step_sync("a", calls.go, "a") == "done: a"
    assert context.step_sync("b", calls.plain, "b") == "done: b"
    with pytest.raises(StepRefused, match="made by hand"), context.transaction_sync():
        raise AssertionError("there is none")
