"""One run, driven: attempts, timeouts, limits, failures beside running siblings, joins, and letting go."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from orchestra_graph import (
    Cancelled,
    Context,
    Done,
    Engine,
    Graph,
    Item,
    LimitReached,
    Limits,
    Question,
    Retry,
    RunEnded,
    RunStopped,
    ask,
    node,
)
from orchestra_graph.errors import RequestError, StoreBusy
from orchestra_graph.runtime import scribe

from .common import (
    Sheet,
    asked,
    bodies,
    both_stores,
    chain,
    database,
    done,
    events,
    failed,
    stopped,
    until,
    until_asked,
    until_logged,
    url_of,
    virtual,
)
from .virtual import elapsed, in_virtual_time

# -- attempts ----------------------------------------------------------------------------------------------


def flaky(times: int, error: Callable[[], BaseException] = ConnectionError, **options: Any) -> tuple[Any, list[float]]:
    """A node that fails so many times; and when its attempts began."""
    began: list[float] = []

    @node(writes="text", **options)
    async def call() -> str:
        began.append(elapsed())
        if len(began) <= times:
            raise error()
        return f"at attempt {len(began)}"

    return call, began


@in_virtual_time
async def test_a_failure_that_may_pass_is_tried_again_after_a_growing_delay() -> None:
    call, began = flaky(3, retry=Retry(attempts=4, delay=10, factor=3, longest=1000, jitter=0))
    graph = chain(call)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        assert done(await run.wait()).text == "at attempt 4"
        assert began == [0, 10, 40, 130]
        [record] = (await run.record()).activations
        assert (record.attempts, record.status, record.error) == (4, "done", None)
        assert await events(run, "NodeFailed", "NodeFinished") == ["NodeFailed"] * 3 + ["NodeFinished"]


@in_virtual_time
async def test_when_the_attempts_are_spent_the_run_has_failed() -> None:
    call, began = flaky(9, retry=Retry(attempts=3, delay=1, jitter=0))
    graph = chain(call)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        outcome = failed(await run.wait(), "ConnectionError")
        assert began == [0, 1, 3]
        assert outcome.errors[0][0] == "call"
        assert (await run.record()).activations[0].attempts == 3
        # Another go has all attempts anew.
        began.clear()
        await run.retry()
        failed(await run.wait())
        assert len(began) == 3


@in_virtual_time
async def test_without_a_policy_nothing_is_tried_again() -> None:
    call, began = flaky(1)
    graph = chain(call)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        failed(await run.wait(), "ConnectionError")
        assert len(began) == 1


class TooMany(Exception):
    status_code = 429
    headers = {"Retry-After": "3600"}


@in_virtual_time
async def test_the_time_that_the_other_side_asks_for_is_waited() -> None:
    call, began = flaky(1, TooMany, retry=Retry(attempts=2, delay=1))
    graph = chain(call)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        done(await run.wait())
        assert began == [0, 3600]


@in_virtual_time
async def test_a_programming_error_is_not_tried_again() -> None:
    call, began = flaky(1, TypeError, retry=Retry(attempts=5))
    graph = chain(call)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        failed(await run.wait(), "TypeError")
        assert len(began) == 1


@in_virtual_time
async def test_an_attempt_knows_its_number_and_how_the_one_before_failed() -> None:
    seen: list[tuple[int, str, str]] = []

    @node(writes="text", retry=Retry(delay=1))
    async def call(ctx: Context) -> str:
        seen.append((ctx.attempt, str(ctx.error), ctx.idempotency_key))
        if ctx.attempt < 3:
            raise ConnectionError(f"down {ctx.attempt}")
        return "up"

    graph = chain(call)
    async with virtual(graph) as engine:
        done(await (await engine.start(graph, Sheet(), key="k")).wait())
    assert seen == [
        (1, "None", "k/call"),
        (2, "ConnectionError: down 1", "k/call"),
        (3, "ConnectionError: down 2", "k/call"),
    ]


@in_virtual_time
async def test_other_branches_go_on_while_one_waits_for_its_next_attempt() -> None:
    call, began = flaky(1, retry=Retry(delay=50, jitter=0))
    ended: list[float] = []

    @node(writes="log")
    async def step(ctx: Context) -> str:
        ended.append(elapsed())
        return ctx.id

    @node
    async def fork() -> None: ...

    @node
    async def join() -> None:
        ended.append(elapsed())

    graph = Graph(Sheet, name="g")
    graph.start(fork)
    graph.edge(fork, [call, step])
    graph.edge([call, step], join)
    async with virtual(graph) as engine:
        done(await (await engine.start(graph, Sheet())).wait())
    assert began == [0, 50]
    assert ended == [0, 50]


@in_virtual_time
async def test_a_policy_that_fails_itself_ends_the_attempts_and_says_so() -> None:
    def on(error: BaseException) -> bool:
        raise LookupError("no such rule")

    call, began = flaky(9, retry=Retry(on=on))
    graph = chain(call)
    async with virtual(graph) as engine:
        outcome = failed(await (await engine.start(graph, Sheet())).wait(timeout=60), "ConnectionError")
    assert "whether to try again is not known: LookupError: no such rule" in outcome.reason
    assert len(began) == 1


@pytest.mark.asyncio
async def test_a_pending_attempt_survives_the_process_and_is_made_when_it_is_due(tmp_path: Path) -> None:
    calls: list[int] = []

    @node(writes="text", retry=Retry(attempts=2, delay=0.05, jitter=0))
    async def call(ctx: Context) -> str:
        calls.append(ctx.attempt)
        if ctx.attempt == 1:
            failing.set()
            raise ConnectionError
        return "up"

    failing = asyncio.Event()
    graph = chain(call)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await failing.wait()
        await until_logged(run, "NodeFailed")
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        state = await (await engine.get("k", graph)).result()
    assert state.text == "up"
    assert calls == [1, 2]


# -- timeouts ----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_an_async_node_that_takes_too_long_is_cancelled() -> None:
    cleaned: list[float] = []

    @node(writes="text", timeout=30)
    async def slow() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(elapsed())
        return "never"

    graph = chain(slow)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        outcome = failed(await run.wait(), "NodeTimeout")
        assert cleaned == [30]
        assert outcome.reason == "slow: NodeTimeout: no result within 30 s"


@in_virtual_time
async def test_a_timeout_counts_for_one_attempt_and_is_worth_another() -> None:
    began: list[float] = []

    @node(writes="text", timeout=5, retry=Retry(attempts=2, delay=1, jitter=0))
    async def slow() -> str:
        began.append(elapsed())
        if len(began) == 1:
            await asyncio.Event().wait()
        return "up"

    graph = chain(slow)
    async with virtual(graph) as engine:
        done(await (await engine.start(graph, Sheet())).wait())
    assert began == [0, 6]


@in_virtual_time
async def test_a_timeout_of_its_own_is_the_nodes_error_and_not_ours() -> None:
    @node(timeout=30)
    async def impatient() -> None:
        async with asyncio.timeout(1):
            await asyncio.Event().wait()

    graph = chain(impatient)
    async with virtual(graph) as engine:
        failed(await (await engine.start(graph, Sheet())).wait(), "TimeoutError")


@pytest.mark.asyncio
async def test_a_sync_node_that_takes_too_long_is_left_alone_and_its_late_result_is_recorded_and_dropped() -> None:
    go, ended = threading.Event(), threading.Event()
    others: list[str] = []

    @node(writes="text", timeout=0.02)
    def stuck() -> str:
        go.wait(30)
        ended.set()
        return "too late"

    @node(writes="log")
    async def beside() -> str:
        await until(lambda: "NodeFailed" in others)
        go.set()
        await until(lambda: "LateResult" in others)
        return "beside"

    graph = Graph(Sheet, name="g")
    graph.start([stuck, beside])

    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        append = engine.store.append

        async def watched(change: Any) -> None:
            await append(change)
            others.extend(row.kind for row in change.rows)

        engine.store.append = watched  # type: ignore[method-assign]
        outcome = failed(await run.wait(), "NodeTimeout")
        assert ended.is_set()
        assert [json.loads(body) for body in await bodies(run, "LateResult")] == [
            {"id": "stuck", "attempt": 1, "outcome": "returned"}
        ]
        assert outcome.state.text == ""
        assert outcome.state.log == ["beside"]


@pytest.mark.asyncio
async def test_a_sync_node_that_was_left_alone_counts_until_it_ends() -> None:
    go = threading.Event()
    order: list[str] = []

    @node(writes="text", timeout=0.02)
    def stuck() -> str:
        go.wait(30)
        order.append("stuck ended")
        return "too late"

    @node(writes="left")
    def other() -> str:
        order.append("other ran")
        return "l"

    first, second = chain(stuck, name="one"), chain(other, name="two")
    async with Engine(graphs=[first, second], threads=1) as engine:
        failed(await (await engine.start(first, Sheet())).wait(), "NodeTimeout")
        run = await engine.start(second, Sheet())
        with pytest.raises(TimeoutError):
            await run.wait(timeout=0.02)
        assert order == []
        go.set()
        done(await run.wait())
    assert order == ["stuck ended", "other ran"]


# -- what a node may raise ---------------------------------------------------------------------------------


class Abort(BaseException):
    pass


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    "error", [asyncio.CancelledError("mine"), Abort("stop"), SystemExit(3), GeneratorExit(), StopIteration(4)], ids=repr
)
@pytest.mark.asyncio
async def test_whatever_a_node_raises_is_its_failure_and_nobody_elses(error: BaseException, kind: str) -> None:
    async def raise_async() -> None:
        raise error

    def raise_sync() -> None:
        raise error

    @node(writes="log")
    async def beside() -> str:
        return "beside"

    wrong = node(name="wrong")(raise_async if kind == "async" else raise_sync)
    graph = Graph(Sheet, name="g")
    graph.start([wrong, beside])
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        outcome = failed(await run.wait(timeout=20))
        [(identity, found)] = outcome.errors
        assert identity == "wrong"
        assert found.type == ("RuntimeError" if isinstance(error, StopIteration) else type(error).__name__)
        assert outcome.state.log == ["beside"]


@pytest.mark.asyncio
async def test_what_a_condition_raises_fails_the_node_before_it_and_a_retry_goes_on() -> None:
    broken = [True]
    ran: list[str] = []

    def enough(count: int) -> bool:
        if broken:
            raise ZeroDivisionError("count")
        return count > 0

    @node(writes="count")
    async def one() -> int:
        ran.append("one")
        return 1

    @node(writes="log")
    async def two() -> str:
        ran.append("two")
        return "two"

    graph = Graph(Sheet, name="g")
    graph.start(one)
    graph.edge(one, two, when=enough)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        assert failed(await run.wait(), "ZeroDivisionError").state.count == 0
        broken.clear()
        await run.retry()
        assert done(await run.wait()).log == ["two"]
    assert ran == ["one", "one", "two"]


@pytest.mark.asyncio
async def test_a_node_that_changes_what_it_got_and_what_it_gave_changes_nothing_else() -> None:
    kept: list[list[int]] = []

    @node(writes="items")
    async def first(items: list[int]) -> list[int]:
        items.append(99)
        mine = [1, 2]
        kept.append(mine)
        return mine

    @node(writes="log")
    async def second(items: list[int]) -> str:
        kept[0].append(3)
        items.append(4)
        return repr(items)

    @node(writes="log")
    async def third(items: list[int]) -> str:
        return repr(items)

    graph = chain(first, second, third)
    given = [7]
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(items=given))
        given.append(8)
        state = await run.result()
        assert state.log == ["[1, 2, 4]", "[1, 2]"]
        state.items.append(5)
        (await run.state()).log.append("mine")
        assert await run.state() == Sheet(items=[1, 2], log=["[1, 2, 4]", "[1, 2]"])


@pytest.mark.asyncio
async def test_a_switch_that_has_no_case_fails_the_node_before_it_and_a_retry_goes_on() -> None:
    ways = ["sideways"]

    def way(count: int) -> Literal["left", "right"]:
        return ways[0]  # type: ignore[return-value]

    @node(writes="count")
    async def one() -> int:
        return 1

    @node(writes="left")
    async def go_left() -> str:
        return "l"

    @node(writes="right")
    async def go_right() -> str:
        return "r"

    graph = Graph(Sheet, name="g")
    graph.start(one)
    graph.switch(one, way, {"left": go_left, "right": go_right})
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        outcome = failed(await run.wait(), "SwitchMissed")
        assert outcome.reason.startswith(
            "one: SwitchMissed: the switch has no case for 'sideways'; it has 'left', 'right'"
        )
        ways[0] = "right"
        await run.retry()
        assert done(await run.wait()).right == "r"


# -- joins -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_fast_branch_goes_on_while_a_slow_one_still_runs(tmp_path: Path) -> None:
    """The slow branch waits for the end of the fast one: behind a barrier neither would ever end."""
    went_on = asyncio.Event()
    order: list[str] = []
    gap: list[float] = []

    @node
    async def fork() -> None: ...

    @node(writes="log")
    async def slow() -> str:
        await went_on.wait()
        order.append("slow")
        return "slow"

    @node(writes="log")
    async def fast_1() -> str:
        order.append("fast_1")
        gap.append(asyncio.get_running_loop().time())
        return "fast_1"

    @node(writes="log")
    async def fast_2(log: list[str]) -> str:
        gap.append(asyncio.get_running_loop().time())
        assert log == ["fast_1"]
        order.append("fast_2")
        return "fast_2"

    @node(writes="log")
    async def fast_3() -> str:
        order.append("fast_3")
        went_on.set()
        return "fast_3"

    @node(writes="notes")
    async def join(log: list[str]) -> list[str]:
        order.append("join")
        return log

    graph = Graph(Sheet, name="g")
    graph.start(fork)
    graph.edge(fork, [slow, fast_1])
    graph.chain(fast_1, fast_2, fast_3)
    graph.edge([slow, fast_3], join)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        state = done(await run.wait(timeout=30))
    assert order == ["fast_1", "fast_2", "fast_3", "slow", "join"]
    # In the order of the graph, not of the clock; and the join saw both branches, once.
    assert state.log == state.notes == ["slow", "fast_1", "fast_2", "fast_3"]
    # One commit lies between a node and the next: a few milliseconds, on a machine that does nothing else.
    assert gap[1] - gap[0] < 2


@pytest.mark.parametrize("winner", ["a", "b", "c"])
@pytest.mark.asyncio
async def test_the_merged_state_does_not_depend_on_who_finished_first(winner: str) -> None:
    turn = {name: asyncio.Event() for name in "abc"}
    ended: list[str] = []

    def branch(name: str) -> Any:
        @node(writes="log", name=name)
        async def work() -> str:
            await turn[name].wait()
            ended.append(name)
            return name

        return work

    @node
    async def fork() -> None: ...

    @node(writes="text")
    async def join(log: list[str]) -> str:
        return "".join(log)

    branches = [branch(name) for name in "abc"]
    graph = Graph(Sheet, name="g")
    graph.start(fork)
    graph.edge(fork, branches)
    graph.edge(branches, join)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        for name in [winner, *(n for n in "cba" if n != winner)]:
            turn[name].set()
            await until(partial(ended.count, name))
        assert (await run.result()).text == "abc"


# -- failure beside running siblings -----------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_beside_a_failure_what_runs_ends_and_is_kept_and_nothing_new_starts(place: str, tmp_path: Path) -> None:
    ran: list[str] = []
    broken = [True]
    failed_first = asyncio.Event()

    @node
    async def fork() -> None:
        ran.append("fork")

    @node(writes="log")
    async def wrong() -> str:
        ran.append("wrong")
        if broken:
            raise ValueError("broken")
        return "wrong"

    @node(writes="log")
    async def sibling() -> str:
        ran.append("sibling")
        await failed_first.wait()
        return "sibling"

    @node(writes="log")
    async def after() -> str:
        ran.append("after")
        return "after"

    @ask(writes="ok")
    def confirm() -> Question[bool]:
        ran.append("confirm")
        return Question("Well?")

    @node(writes="text")
    async def join(ok: bool) -> str:
        ran.append("join")
        return f"ok={ok}"

    graph = Graph(Sheet, name="g")
    graph.start(fork)
    graph.edge(fork, [wrong, sibling, confirm])
    graph.edge(sibling, after)
    graph.edge([wrong, after, confirm], join)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await until_logged(run, "NodeFailed")
        failed_first.set()
        outcome = failed(await run.wait(), "ValueError")
        assert outcome.state.log == ["sibling"]
        assert sorted(ran) == ["confirm", "fork", "sibling", "wrong"]
        [question] = await run.questions()  # stays open
        await run.answer(question.id, True)
        failed(await run.wait())  # an answer moves nothing that has failed
        broken.clear()
        ran.clear()
        await run.retry()
        state = done(await run.wait())
        assert state.text == "ok=True"
        assert state.log == ["wrong", "sibling", "after"]
        assert sorted(ran) == ["after", "join", "wrong"]  # nothing that was done, and nobody is asked again


@in_virtual_time
async def test_an_attempt_that_waits_for_its_time_does_not_hold_up_a_failure_and_is_made_after_a_retry() -> None:
    call, began = flaky(1, retry=Retry(attempts=2, delay=60, jitter=0))
    broken = [True]

    @node
    async def wrong() -> None:
        if broken:
            raise ValueError

    graph = Graph(Sheet, name="g")
    graph.start([call, wrong])
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        failed(await run.wait(), "ValueError")
        assert elapsed() == 0
        broken.clear()
        await run.retry()
        assert done(await run.wait()).text == "at attempt 2"
    assert began == [0, 60]


@pytest.mark.asyncio
async def test_two_failures_are_both_told() -> None:
    both = asyncio.Barrier(2)

    @node
    async def one() -> None:
        await both.wait()
        raise ValueError("1")

    @node
    async def two() -> None:
        await both.wait()
        raise KeyError("2")

    graph = Graph(Sheet, name="g")
    graph.start([one, two])
    async with Engine(graphs=[graph]) as engine:
        outcome = failed(await (await engine.start(graph, Sheet())).wait())
    assert dict(outcome.errors).keys() == {"one", "two"}
    assert "two: KeyError" in str(outcome) or "one: ValueError" in str(outcome)


# -- limits ------------------------------------------------------------------------------------------------


def loop_of(turns: list[int]) -> Graph[Sheet]:
    @node(writes="count")
    async def step(count: int, ctx: Context) -> int:
        turns.append(-1 if ctx.turn is None else ctx.turn)
        return count + 1

    def more(count: int) -> bool:
        return count < 20

    graph = Graph(Sheet, name="loop")
    graph.start(step)
    graph.edge(step, step, when=more)
    return graph


@pytest.mark.asyncio
async def test_a_limit_on_steps_stops_the_run_with_what_is_there_and_a_retry_goes_on() -> None:
    turns: list[int] = []
    graph = loop_of(turns)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), limits=Limits(steps=8))
        outcome = stopped(await run.wait())
        assert (outcome.limit, outcome.allowed, outcome.state.count) == ("steps", 8, 8)
        with pytest.raises(RunStopped, match="8 allowed") as caught:
            await run.result()
        assert isinstance(caught.value.__cause__, LimitReached)
        assert caught.value.__cause__.allowed == 8
        await run.retry()  # the same allowance once more
        assert stopped(await run.wait()).state.count == 16
        await run.retry(limits=Limits())
        assert done(await run.wait()).count == 20
    assert turns == list(range(20))


@pytest.mark.asyncio
async def test_a_limit_on_the_turns_of_a_node_stops_the_run() -> None:
    turns: list[int] = []
    graph = loop_of(turns)
    graph.limit("step", turns=5)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        outcome = stopped(await run.wait())
        assert (outcome.limit, outcome.allowed, outcome.state.count) == ("turns of 'step'", 5, 5)
        await run.retry()
        stopped(await run.wait())
        assert turns == list(range(len(turns)))


@pytest.mark.parametrize("given", ["graph", "engine", "start"])
@pytest.mark.asyncio
async def test_limits_may_come_from_the_graph_the_engine_or_the_start(given: str) -> None:
    turns: list[int] = []
    graph = loop_of(turns)
    limits = {name: Limits(turns=3) if name == given else None for name in ("graph", "engine", "start")}
    if given == "graph":
        graph = Graph(Sheet, name="loop", limits=Limits(turns=3))
        source = loop_of(turns)
        step = source.steps["step"]
        graph.start(step)
        graph.edge(step, step, when=lambda count: count < 20)
    async with Engine(graphs=[graph], limits=limits["engine"]) as engine:
        run = await engine.start(graph, Sheet(), limits=limits["start"])
        assert stopped(await run.wait()).allowed == 3
    assert len(turns) == 3


@in_virtual_time
async def test_a_limit_on_seconds_interrupts_what_runs_and_a_retry_begins_it_again() -> None:
    began: list[float] = []
    needs = [100.0]

    @node(writes="text")
    async def slow() -> str:
        began.append(elapsed())
        await asyncio.sleep(needs[0])
        return "up"

    graph = chain(slow)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), limits=Limits(seconds=30))
        outcome = stopped(await run.wait())
        assert (outcome.limit, outcome.allowed, elapsed()) == ("seconds", 30, 30)
        await run.retry()
        stopped(await run.wait())
        assert elapsed() == 60
        needs[0] = 20.0
        await run.retry()
        assert done(await run.wait()).text == "up"
        assert began == [0, 30, 60]


@in_virtual_time
async def test_more_seconds_can_be_given_for_another_go() -> None:
    @node
    async def slow() -> None:
        await asyncio.sleep(50)

    graph = chain(slow)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), limits=Limits(seconds=10))
        stopped(await run.wait())
        await run.retry(limits=Limits(seconds=51))
        done(await run.wait())
        assert elapsed() == 60


@in_virtual_time
async def test_a_limit_on_seconds_may_be_new_with_another_go() -> None:
    @node
    async def first() -> None:
        await asyncio.sleep(10)

    @node
    async def second() -> None:
        await asyncio.sleep(100)

    graph = chain(first, second)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), limits=Limits(steps=1))
        stopped(await run.wait())
        await run.retry(limits=Limits(seconds=30))
        assert stopped(await run.wait()).limit == "seconds"
        assert elapsed() == 40


class Shifted:
    """The machine's clock, and some time more."""

    def __init__(self) -> None:
        self.more = 0.0

    def now(self) -> float:
        return time.time() + self.more


@pytest.mark.asyncio
async def test_time_in_which_nobody_drove_the_run_does_not_count(tmp_path: Path) -> None:
    """It was left in the middle of a node, and taken up again much later."""
    clock, running = Shifted(), asyncio.Event()
    hold = [True]

    @node(writes="text")
    async def work() -> str:
        running.set()
        if hold:
            await asyncio.Event().wait()
        return "done"

    graph = chain(work)
    async with Engine(database(tmp_path), graphs=[graph], clock=clock) as engine:
        await engine.start(graph, Sheet(), key="k", limits=Limits(seconds=60))
        await running.wait()
    hold.clear()
    clock.more += 10_000
    async with Engine(database(tmp_path), graphs=[graph], clock=clock) as engine:
        append = engine.store.append

        async def slowly(change: Any) -> None:
            for _ in range(20):  # time for whatever was set to ring at once
                await asyncio.sleep(0)
            await append(change)

        engine.store.append = slowly  # type: ignore[method-assign]
        assert done(await (await engine.get("k", graph)).wait()).text == "done"


@in_virtual_time
async def test_time_that_passes_before_the_next_attempt_counts_for_the_limit_on_seconds() -> None:
    call, _ = flaky(1, retry=Retry(attempts=2, delay=60, jitter=0))
    graph = chain(call)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), limits=Limits(seconds=30))
        stopped(await run.wait())
        assert elapsed() == 30


@in_virtual_time
async def test_time_in_which_only_people_are_waited_for_does_not_count() -> None:
    @node
    async def before() -> None:
        await asyncio.sleep(10)

    @ask(writes="ok")
    async def confirm() -> Question[bool]:
        return Question("Well?")

    @node
    async def after() -> None:
        await asyncio.sleep(10)

    graph = chain(before, confirm, after)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), limits=Limits(seconds=21))
        [question] = asked(await run.wait())
        await asyncio.sleep(10_000)
        await run.answer(question.id, True)
        done(await run.wait())
        assert elapsed() == 10_020


# -- cancel ------------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_a_cancelled_run_interrupts_what_runs_and_withdraws_what_is_asked(place: str, tmp_path: Path) -> None:
    running, interrupted = asyncio.Event(), asyncio.Event()

    @node(writes="log")
    async def before() -> str:
        return "before"

    @node
    async def slow() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            interrupted.set()

    @ask(writes="ok")
    def confirm() -> Question[bool]:
        return Question("Well?")

    graph = Graph(Sheet, name="g")
    graph.start(before)
    graph.edge(before, [slow, confirm])
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        await running.wait()
        await until_asked(run)
        await run.cancel()
        assert interrupted.is_set()
        outcome = await run.wait()
        assert isinstance(outcome, Cancelled)
        assert outcome.state.log == ["before"]
        assert await run.status() == "cancelled"
        assert await run.questions() == []
        with pytest.raises(RequestError, match="confirm is no longer asked"):
            await run.answer("confirm", True)
        with pytest.raises(RunEnded, match="cannot be cancelled"):
            await run.cancel()
        with pytest.raises(RunEnded, match="cannot be retried"):
            await run.retry()
        statuses = {a.id: a.status for a in (await run.record()).activations}
        assert statuses == {"before": "done", "slow": "withdrawn", "confirm": "withdrawn"}


@pytest.mark.asyncio
async def test_a_waiting_run_can_be_cancelled_and_so_can_a_failed_one() -> None:
    @ask(writes="ok")
    def confirm() -> Question[bool]:
        return Question("Well?")

    @node
    async def wrong() -> None:
        raise ValueError

    one, two = chain(confirm, name="one"), chain(wrong, name="two")
    async with Engine(graphs=[one, two]) as engine:
        for graph in (one, two):
            run = await engine.start(graph, Sheet())
            await run.wait()
            await run.cancel()
            assert await run.status() == "cancelled"
            assert isinstance(await run.wait(), Cancelled)


@pytest.mark.asyncio
async def test_a_cancel_at_any_moment_either_takes_or_says_that_the_run_had_ended(tmp_path: Path) -> None:
    """It must not get lost while the run is just coming to rest."""

    @ask(writes="ok")
    async def confirm() -> Question[bool]:
        return Question("Well?")

    graph = chain(confirm)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        for turns in range(0, 60, 2):
            run = await engine.start(graph, Sheet())
            for _ in range(turns):
                await asyncio.sleep(0)
            await run.cancel()
            assert isinstance(await run.wait(timeout=20), Cancelled)
            assert await run.questions() == []


@pytest.mark.asyncio
async def test_a_cancel_that_comes_while_a_failure_is_written_down_cancels_what_has_failed() -> None:
    @node
    async def wrong() -> None:
        raise ValueError

    graph = chain(wrong)
    async with Engine(graphs=[graph]) as engine:
        append = engine.store.append
        cancelling: list[asyncio.Task[None]] = []

        async def watched(change: Any) -> None:
            if any(row.kind == "RunEnded" for row in change.rows) and not cancelling:
                cancelling.append(asyncio.create_task(run.cancel()))
                for _ in range(20):
                    await asyncio.sleep(0)
            await append(change)

        engine.store.append = watched  # type: ignore[method-assign]
        run = await engine.start(graph, Sheet())
        failed(await run.wait())
        await asyncio.wait_for(cancelling[0], 20)
        assert await run.status() == "cancelled"


# -- letting go --------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_leaving_in_the_middle_loses_nothing(place: str, tmp_path: Path) -> None:
    ran: list[str] = []
    reached = asyncio.Event()
    hold = [True]

    @node(writes="log")
    async def first() -> str:
        ran.append("first")
        return "first"

    @node(writes="log")
    async def second() -> str:
        ran.append("second")
        reached.set()
        if hold:
            await asyncio.Event().wait()
        return "second"

    @node(writes="log")
    def third() -> str:
        ran.append("third")
        return "third"

    graph = chain(first, second, third)
    engine = Engine(url_of(place, tmp_path), graphs=[graph])
    async with engine:
        run = await engine.start(graph, Sheet(), key="k")
        await reached.wait()
    hold.clear()
    again = engine if place == "memory" else Engine(url_of(place, tmp_path), graphs=[graph])
    async with again:
        run = await again.get("k", graph)
        assert await run.status() == "running"
        assert (await run.result()).log == ["first", "second", "third"]
    assert ran == ["first", "second", "second", "third"]


@pytest.mark.asyncio
async def test_leaving_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """A chain with a question and a fork, left after each number of turns of the loop, until it is done."""
    finished: list[str] = []

    @node(writes="log")
    async def one() -> str:
        return "one"

    @node(writes="log")
    async def two() -> str:
        return "two"

    @node(writes="log")
    async def three() -> str:
        return "three"

    @node(writes="log")
    async def four(log: list[str]) -> str:
        return "four"

    graph = Graph(Sheet, name="g")
    graph.start(one)
    graph.edge(one, [two, three])
    graph.edge([two, three], four)
    for turns in range(0, 60, 2):
        async with Engine(database(tmp_path), graphs=[graph]) as engine:
            await engine.start(graph, Sheet(), key=f"k{turns}")
            for _ in range(turns):
                await asyncio.sleep(0)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        for run in await engine.find():
            state: Any = await run.result()
            assert state.log == ["one", "two", "three", "four"]
            finished += [json.loads(body)["id"] for body in await bodies(run, "NodeFinished")]
    assert len(finished) == 4 * 30


class Weather:
    """How long every attempt takes, and whether it fails, by a seed; the same seed is the same weather."""

    def __init__(self, seed: int):
        self.seed = seed

    def chance(self, *about: object) -> random.Random:
        return random.Random(f"{self.seed}/{about}")

    async def rage(self, ctx: Context) -> None:
        chance = self.chance(ctx.id, ctx.attempt)
        await asyncio.sleep(chance.choice([0, 0, 1, 5, 20]) * chance.random())
        if ctx.attempt < 3 and chance.random() < 0.2:
            raise ConnectionError("storm")


def stormy(weather: Weather) -> Graph[Sheet]:
    """A loop around a fan-out with a question in each turn, beside a side branch."""
    tough = Retry(attempts=5, delay=3)

    @node(writes="items", retry=tough)
    async def plan(count: int, ctx: Context) -> list[int]:
        await weather.rage(ctx)
        return list(range(count + 2))

    @node(writes="notes", retry=tough)
    async def begin(item: Item[int], count: int, ctx: Context) -> list[str]:
        await weather.rage(ctx)
        return [f"{count}:{item}"]

    @node(writes="total", retry=tough)
    async def end(item: Item[int], ctx: Context) -> int:
        await weather.rage(ctx)
        return item

    @ask(writes="log")
    async def confirm(count: int) -> Question[str]:
        return Question(f"turn {count}?")

    @node(writes="log", retry=tough)
    async def beside(count: int, ctx: Context) -> str:
        await weather.rage(ctx)
        return f"beside {count}"

    @node(writes="count", retry=tough)
    async def step(count: int, log: list[str], ctx: Context) -> int:
        await weather.rage(ctx)
        return count + 1

    graph = Graph(Sheet, name="stormy")
    graph.start(plan)
    graph.each(plan, "items", begin, collect=confirm, limit=2)
    graph.chain(begin, end, confirm)
    graph.edge(plan, beside)
    graph.edge([confirm, beside], step)
    graph.edge(step, plan, when=lambda count: count < 3)
    return graph


async def through_the_storm(engine: Engine, graph: Graph[Sheet], weather: Weather, leaves: bool) -> Sheet:
    """Drive a run to its end; with *leaves*, leaving it again and again."""
    chance = weather.chance("leaving", leaves)
    for _ in range(1000):
        async with engine:
            run = await engine.start(graph, Sheet(), key="k")
            try:
                outcome = await run.wait(timeout=chance.random() * 40 if leaves else None)
            except TimeoutError:
                continue
            if isinstance(outcome, Done):
                ids = [json.loads(body)["id"] for body in await bodies(run, "NodeFinished")]
                assert len(ids) == len(set(ids)) == 3 * 4 + 2 * (2 + 3 + 4)
                return outcome.state
            for question in asked(outcome):
                await run.answer(question.id, f"yes to {question.id}")
    raise AssertionError("the run does not end")


@pytest.mark.parametrize("seeds", [range(15), range(15, 30)], ids=str)
def test_whenever_it_is_left_a_run_comes_to_the_same_end(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through failures, questions, its log and its snapshots, at whatever moment it was let go of."""
    monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", 7)
    monkeypatch.setattr(scribe, "_SNAPSHOT_GROWTH", 0)
    found: set[str] = set()

    @in_virtual_time
    async def at(seed: int, leaves: bool) -> None:
        weather = Weather(seed)
        graph = stormy(weather)
        found.add(repr(await through_the_storm(virtual(graph), graph, weather, leaves)))

    for seed in seeds:
        for leaves in (False, True):
            at(seed, leaves)
    assert len(found) == 1


# -- answers that come while the run comes to rest ---------------------------------------------------------


class Interposed:
    """A store in which something happens right after the run was given up."""

    def __init__(self, store: Any, then: Callable[[], Any]):
        self._store, self._then = store, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, change: Any) -> None:
        await self._store.append(change)
        if change.release and change.status == "waiting" and self._then is not None:
            then, self._then = self._then, None  # type: ignore[assignment]
            await then()


def question_then_node() -> Graph[Sheet]:
    @ask(writes="ok")
    def confirm() -> Question[bool]:
        return Question("Well?")

    @node(writes="text")
    async def after(ok: bool) -> str:
        return f"ok={ok}"

    return chain(confirm, after)


@both_stores
@pytest.mark.asyncio
async def test_an_answer_that_comes_while_the_run_goes_to_rest_is_seen(place: str, tmp_path: Path) -> None:
    graph = question_then_node()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        store = engine.store

        async def answer() -> None:
            await store.answer(1, "confirm", "true", engine.clock.now())

        engine.store = Interposed(store, answer)
        run = await engine.start(graph, Sheet())
        assert done(await run.wait(timeout=20)).text == "ok=True"
        engine.store = store


@pytest.mark.asyncio
async def test_a_run_that_another_engine_moved_in_between_goes_on_from_where_that_left_it(tmp_path: Path) -> None:
    """The other one takes it just when it is given up, finishes it, and the first one must not write over that."""
    graph = question_then_node()
    url = database(tmp_path)
    async with Engine(url, graphs=[graph]) as engine, Engine(url, graphs=[graph]) as other:
        store = engine.store

        async def finish() -> None:
            run = await other.get("k", graph)
            await run.answer("confirm", True)
            done(await run.wait())

        engine.store = Interposed(store, finish)
        run = await engine.start(graph, Sheet(), key="k")
        assert done(await run.wait(timeout=20)).text == "ok=True"
        assert await events(run, "NodeFinished", "RunEnded") == ["NodeFinished", "NodeFinished", "RunEnded"]
        engine.store = store


@pytest.mark.asyncio
async def test_a_run_that_another_engine_took_in_between_is_left_to_it(tmp_path: Path) -> None:
    graph = question_then_node()
    url = database(tmp_path)
    taken = asyncio.Event()
    async with Engine(url, graphs=[graph]) as engine, Engine(url, graphs=[graph]) as other:
        store = engine.store

        async def take() -> None:
            await store.answer(1, "confirm", "true", engine.clock.now())
            await other.store.claim(1)
            taken.set()

        engine.store = Interposed(store, take)
        run = await engine.start(graph, Sheet(), key="k")
        waiting = asyncio.create_task(run.wait())
        await taken.wait()
        theirs = await other.get("k", graph)
        assert done(await theirs.wait(timeout=20)).text == "ok=True"
        outcome = await asyncio.wait_for(waiting, 20)
        assert outcome.run == "k"
        engine.store = store


class Stale:
    """A store that reads the questions once more before the run rests, and is slow to hand out what it read."""

    def __init__(self, store: Any, meanwhile: Callable[[], Any]):
        self._store, self._meanwhile = store, meanwhile
        self._armed = False
        self._over = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, change: Any) -> None:
        await self._store.append(change)
        self._armed |= change.release and not self._over.is_set()

    async def news(self, *args: Any, **more: Any) -> Any:
        found = await self._store.news(*args, **more)
        if self._armed and asyncio.current_task().get_name().startswith("run "):  # type: ignore[union-attr]
            self._armed = False
            await self._meanwhile()
            self._over.set()
        elif asyncio.current_task().get_name() == "answers":  # type: ignore[union-attr]
            await self._over.wait()  # whoever else looks for answers comes too late
        return found


@both_stores
@pytest.mark.asyncio
async def test_an_answer_is_seen_that_comes_when_the_last_look_at_the_questions_is_over(
    place: str, tmp_path: Path
) -> None:
    graph = question_then_node()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:

        async def answer() -> None:
            await asyncio.create_task(run.answer("confirm", True))

        store = engine.store
        engine.store = engine._watcher._store = Stale(store, answer)
        run = await engine.start(graph, Sheet())
        async with asyncio.timeout(20):
            while await run.status() != "done":  # nobody waits for the run: the answer alone must move it
                await store.changes(20)
        engine.store = store


@pytest.mark.asyncio
async def test_a_run_that_another_engine_left_for_its_next_attempt_is_tried_again_in_time(tmp_path: Path) -> None:
    """It was taken, moved, and left again, between the moment in which it was given up and the one of the answer."""
    attempts: list[int] = []
    reached = asyncio.Event()

    @ask(writes="ok")
    async def confirm() -> Question[bool]:
        return Question("Well?")

    @node(writes="text", retry=Retry(attempts=2, delay=0.05, jitter=0))
    async def behind(ctx: Context) -> str:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            reached.set()
            raise ConnectionError
        return "done"

    graph = chain(confirm, behind)
    url = database(tmp_path)
    async with Engine(url, graphs=[graph]) as engine:
        store = engine.store

        async def move() -> None:
            async with Engine(url, graphs=[graph]) as other:
                run = await other.get("k", graph)
                await run.answer("confirm", True)
                await run.resume()
                await reached.wait()
                await until_logged(run, "NodeFailed")

        engine.store = Interposed(store, move)
        run = await engine.start(graph, Sheet(), key="k")
        assert done(await run.wait(timeout=20)).text == "done"
        assert attempts == [1, 2]
        engine.store = store


@pytest.mark.asyncio
async def test_an_answer_at_any_moment_moves_the_run(tmp_path: Path) -> None:
    """Given by a task of the same process while the run is just coming to rest."""
    graph = question_then_node()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        for turns in range(40):
            run = await engine.start(graph, Sheet())
            await until_asked(run)
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            await run.answer("confirm", True)
            async with asyncio.timeout(20):
                while await run.status() != "done":  # nobody waits for the run: the answer alone must move it
                    await engine.store.changes(20)
            assert (await run.state()).text == "ok=True"


# -- irreversible nodes ------------------------------------------------------------------------------------


def payment(ran: list[str], hang: Callable[[], bool] = lambda: False) -> Graph[Sheet]:
    @ask(writes="ok")
    def allow() -> Question[bool]:
        return Question("Pay?")

    @node(writes="left", effect="irreversible")
    async def pay(ctx: Context) -> str:
        ran.append(f"pay {ctx.attempt}")
        if hang():
            await asyncio.Event().wait()
        return "receipt 1"

    @node(writes="text")
    async def thank(left: str) -> str:
        return f"thanks for {left}"

    return chain(allow, pay, thank, name="pay")


async def pay_and_die(graph: Graph[Sheet], url: str, ran: list[str]) -> None:
    """Leave a run in the middle of its payment."""
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        [question] = asked(await run.wait())
        await run.answer(question.id, True)
        await until(lambda: ran)
        assert json.loads((await bodies(run, "NodeStarted"))[0])["id"] == "pay"  # was stored before it ran


@pytest.mark.asyncio
async def test_an_irreversible_node_that_was_interrupted_is_asked_about_and_not_repeated(tmp_path: Path) -> None:
    ran: list[str] = []
    hangs = [True]
    graph = payment(ran, lambda: bool(hangs))
    await pay_and_die(graph, database(tmp_path), ran)
    hangs.clear()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        [question] = asked(await run.wait())
        assert question.id == "pay"
        assert "Did it happen?" in question.prompt
        assert question.details["idempotency_key"] == "k/pay"
        with pytest.raises(RequestError, match="say what it wrote, too: left"):
            await run.answer("pay", {"happened": True})
        await run.answer("pay", {"happened": True, "left": "receipt 7"})
        assert (await run.result()).text == "thanks for receipt 7"
    assert ran == ["pay 1"]


@pytest.mark.asyncio
async def test_an_irreversible_node_that_did_not_happen_runs_when_a_person_says_so(tmp_path: Path) -> None:
    ran: list[str] = []
    hangs = [True]
    graph = payment(ran, lambda: bool(hangs))
    await pay_and_die(graph, database(tmp_path), ran)
    hangs.clear()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        asked(await run.wait())
        await run.answer("pay", {"happened": False})
        assert (await run.result()).text == "thanks for receipt 1"
    assert ran == ["pay 1", "pay 2"]


@in_virtual_time
async def test_an_irreversible_node_without_a_result_in_time_is_asked_about_whatever_its_retries() -> None:
    ran: list[int] = []

    @ask(writes="ok")
    async def allow() -> Question[bool]:
        return Question("Pay?")

    @node(writes="left", effect="irreversible", timeout=5, retry=Retry(attempts=3))
    async def pay() -> str:
        ran.append(1)
        await asyncio.Event().wait()
        return "never"

    graph = chain(allow, pay)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        await run.answer("allow", True)
        [question] = asked(await run.wait())
        assert "'pay' has not ended: no result within 5 s" in question.prompt
        await run.answer("pay", {"happened": True, "left": "seen on the bank's page"})
        assert (await run.result()).left == "seen on the bank's page"
    assert ran == [1]


@pytest.mark.asyncio
async def test_an_irreversible_node_whose_result_cannot_be_used_is_asked_about_and_not_repeated() -> None:
    ran: list[str] = []
    broken = [True]

    @ask(writes="ok")
    def allow() -> Question[bool]:
        return Question("Pay?")

    @node(writes="left", effect="irreversible")
    async def pay() -> str:
        ran.append("pay")
        return 7  # type: ignore[return-value]

    def fine(left: str) -> bool:
        if broken:
            raise ZeroDivisionError
        return True

    @node(writes="text")
    async def thank(left: str) -> str:
        return f"thanks for {left}"

    graph = Graph(Sheet, name="pay")
    graph.start(allow)
    graph.edge(allow, pay)
    graph.edge(pay, thank, when=fine)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        await run.answer("allow", True)
        [question] = asked(await run.wait())
        assert "has happened, and what came of it cannot be stored: BadWrite" in question.prompt
        await run.answer("pay", {"happened": True, "left": "receipt 7"})
        [question] = asked(await run.wait())  # the condition behind it fails: still nothing is repeated
        assert question.id == "pay!2"
        assert "ZeroDivisionError" in question.prompt
        broken.clear()
        await run.answer("pay!2", {"happened": True, "left": "receipt 7"})
        assert (await run.result()).text == "thanks for receipt 7"
    assert ran == ["pay"]


@pytest.mark.asyncio
async def test_an_irreversible_node_that_says_it_failed_can_be_retried() -> None:
    ran: list[str] = []

    @ask(writes="ok")
    def allow() -> Question[bool]:
        return Question("Pay?")

    @node(effect="irreversible")
    async def pay() -> None:
        ran.append("pay")
        if len(ran) == 1:
            raise ValueError("no such account")

    graph = chain(allow, pay)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        await run.answer("allow", True)
        failed(await run.wait(), "ValueError")
        await run.retry()
        done(await run.wait())
    assert ran == ["pay", "pay"]


@pytest.mark.asyncio
async def test_an_irreversible_node_that_a_failure_kept_from_starting_has_not_started() -> None:
    ran: list[str] = []

    @ask(writes="ok")
    def allow() -> Question[bool]:
        return Question("Pay?")

    @node(effect="irreversible")
    async def pay() -> None:
        ran.append("pay")

    @node
    async def wrong() -> None:
        if not ran:
            ran.append("wrong")
            raise ValueError

    graph = Graph(Sheet, name="pay")
    graph.start([allow, wrong])
    graph.edge(allow, pay)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        failed(await run.wait())
        await run.answer("allow", True)
        assert await events(run, "NodeStarted") == []
        await run.retry()
        done(await run.wait())
        assert await events(run, "NodeStarted") == ["NodeStarted"]
    assert ran == ["wrong", "pay"]


# -- width -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_no_more_nodes_of_a_run_run_at_once_than_the_engine_allows() -> None:
    now = most = 0

    @node(writes="items")
    async def plan() -> list[int]:
        return list(range(20))

    @node(writes="total")
    async def work(item: Item[int]) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        now -= 1
        return item

    @node
    async def collect() -> None: ...

    graph = Graph(Sheet, name="g")
    graph.start(plan)
    graph.each(plan, "items", work, collect=collect)
    async with Engine(graphs=[graph], concurrency=3) as engine:
        assert (await (await engine.start(graph, Sheet())).result()).total == 190
    assert most == 3


@pytest.mark.asyncio
async def test_the_limit_of_an_each_holds_and_every_item_gets_its_turn() -> None:
    now = most = 0

    @node(writes="items")
    async def plan() -> list[int]:
        return list(range(9))

    @node
    async def begin(item: Item[int]) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)

    @node(writes="log")
    async def end(item: Item[int], ctx: Context) -> str:
        nonlocal now
        await asyncio.sleep(0)
        now -= 1
        return ctx.id

    @node(writes="notes")
    async def collect(log: list[str]) -> list[str]:
        return log

    graph = Graph(Sheet, name="g")
    graph.start(plan)
    graph.each(plan, "items", begin, collect=collect, limit=2)
    graph.chain(begin, end, collect)
    async with Engine(graphs=[graph]) as engine:
        state = await (await engine.start(graph, Sheet())).result()
    assert most == 2
    assert state.notes == [f"end#{n}" for n in range(9)]


# -- snapshots ---------------------------------------------------------------------------------------------


class Counting:
    """A store that counts what is read of it, and keeps what is appended to it."""

    def __init__(self, store: Any):
        self._store = store
        self.rows_read: list[int] = []
        self.snapshots: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, change: Any) -> None:
        if change.snapshot is not None:
            self.snapshots.append(len(change.snapshot.body))
        await self._store.append(change)

    async def log(self, run: int, *, after: int = -1, upto: int | None = None) -> Any:
        found = await self._store.log(run, after=after, upto=upto)
        self.rows_read += [row.seq for row in found]
        return found

    async def rows(self, run: int, seqs: Any) -> Any:
        found = await self._store.rows(run, seqs)
        self.rows_read += [row.seq for row in found]
        return found


def long_loop(hold_at: int, hold: list[asyncio.Event]) -> Graph[Sheet]:
    """A loop that appends now and then, writes a plain field each turn, and rests at one of its turns."""

    @node(writes="count")
    async def step(count: int) -> int:
        if count == hold_at and hold:
            hold[0].set()
            await asyncio.Event().wait()
        return count + 1

    @node(writes="log")
    async def note(count: int) -> str:
        return f"{count}:" + "x" * 100

    def every_tenth(count: int) -> bool:
        return count % 10 == 0

    def on(count: int) -> Literal["note", "step", "end"]:
        return "end" if count >= 700 else "note" if every_tenth(count) else "step"

    @node
    async def last() -> None: ...

    graph = Graph(Sheet, name="long")
    graph.start(step)
    graph.switch(step, on, {"note": note, "step": step, "end": last})
    graph.edge(note, step)
    return graph


@pytest.mark.asyncio
async def test_a_long_run_is_resumed_from_a_snapshot_and_reads_only_the_rows_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", 50)
    held = [asyncio.Event()]
    graph = long_loop(615, held)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        engine.store = counting = Counting(engine.store)
        run = await engine.start(graph, Sheet(), key="k")
        await asyncio.wait_for(held[0].wait(), 60)
        assert len(counting.snapshots) > 5
        # Sixty notes of a hundred letters are named by their rows, not held.
        assert max(counting.snapshots) < 1500
        engine.store = counting._store
    held.clear()
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        engine.store = counting = Counting(engine.store)
        run = await engine.get("k", graph)
        await run.resume()
        total = len(await engine.store._store.log(1))
        # The rows of the notes, the last writes, and what came after the snapshot; not the six hundred turns.
        assert len(counting.rows_read) < 250
        assert total > 650
        state = await run.result()
        assert state.count == 700
        assert state.log == [f"{n}:" + "x" * 100 for n in range(10, 700, 10)]
        engine.store = counting._store


@pytest.mark.asyncio
async def test_a_run_that_is_resumed_often_gets_its_snapshots_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process adds a few rows; none of them alone would have reached the number for a snapshot."""
    monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", 30)

    @ask(writes="ok")
    def more(count: int) -> Question[bool]:
        return Question(f"{count}?")

    @node(writes="count")
    async def step(count: int) -> int:
        return count + 1

    @node
    async def last() -> None: ...

    graph = Graph(Sheet, name="g")
    graph.start(more)
    graph.switch(more, "ok", {True: step, False: last})
    graph.edge(step, more)
    most_read = 0
    for turn in range(40):
        async with Engine(database(tmp_path), graphs=[graph]) as engine:
            store = engine.store
            engine.store = counting = Counting(store)
            run = await engine.start(graph, Sheet(), key="k") if not turn else await engine.get("k", graph)
            if turn:
                counting.rows_read.clear()
                await run.answer(f"more@{turn - 1}", True)
                await run.resume()
                most_read = max(most_read, len(counting.rows_read))
            asked(await run.wait())
            engine.store = store
    assert most_read < 50


# -- what the database says meanwhile ----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_database_says_running_while_a_run_is_driven_again(tmp_path: Path) -> None:
    working, go = asyncio.Event(), asyncio.Event()
    broken = [True]

    @ask(writes="ok")
    def confirm() -> Question[bool]:
        return Question("Well?")

    @node
    async def work() -> None:
        if broken:
            raise ValueError
        working.set()
        await go.wait()

    graph = chain(confirm, work)
    url = database(tmp_path)
    async with Engine(url, graphs=[graph]) as engine, Engine(url, graphs=[graph]) as other:
        run = await engine.start(graph, Sheet(), key="k")
        asked(await run.wait())
        theirs = await other.get("k", graph)
        assert await theirs.status() == "waiting"
        await run.answer("confirm", True)
        failed(await run.wait())
        assert await theirs.status() == "failed"
        broken.clear()
        await run.retry()
        await working.wait()
        assert await theirs.status() == "running"
        following = asyncio.create_task(theirs.wait())
        go.set()
        done(await asyncio.wait_for(following, 20))


@pytest.mark.asyncio
async def test_a_store_that_fails_while_answers_are_looked_for_is_told_to_whoever_waits(tmp_path: Path) -> None:
    release = asyncio.Event()

    @ask(writes="ok")
    def confirm() -> Question[bool]:
        return Question("Well?")

    @node
    async def beside() -> None:
        await release.wait()

    graph = Graph(Sheet, name="g")
    graph.start([confirm, beside])
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        store = engine.store
        run = await engine.start(graph, Sheet(), key="k")
        await until_asked(run)

        async def refuse(*args: Any, **more: Any) -> Any:
            raise StoreBusy(store.url, "too busy")

        kept = store.news
        waiting = asyncio.create_task(run.wait())
        await asyncio.sleep(0)
        store.news = refuse  # type: ignore[method-assign]
        async with Engine(database(tmp_path)) as person:
            await (await person.get("k")).answer("confirm", True)
        with pytest.raises(StoreBusy, match="too busy"):
            await asyncio.wait_for(waiting, 20)
        store.news = kept  # type: ignore[method-assign]
        release.set()
        assert done(await run.wait(timeout=20)).ok is True
