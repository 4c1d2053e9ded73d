"""`crash_everywhere`: it kills where it says, it finds what is wrong, and nothing is wrong with this library."""

from __future__ import annotations

import asyncio
import os
import pickle
from pathlib import Path
from typing import Annotated, Any

import pytest

from orchestra_graph import Context, Graph, OpenQuestion, Question, State, add, append, ask, node, receive
from orchestra_graph.store.locks import is_held
from orchestra_graph.testing.clock import elapsed, run_virtually
from orchestra_graph.testing.crash import CrashFailure, CrashReport, crash_everywhere


class Sheet(State):
    log: Annotated[list[str], append] = []
    total: Annotated[int, add] = 0
    ok: bool = False


@node(writes="log")
async def begin() -> str:
    await asyncio.sleep(1)
    return "begun"


@node(writes="log")
def sync() -> str:
    return "sync"


@ask(writes="ok")
def agree() -> Question[bool]:
    return Question("Go on?")


@node(writes="log", effect="irreversible")
async def ship(ctx: Context) -> str:
    await asyncio.sleep(1)
    shipped.append(ctx.idempotency_key.partition("/")[2])
    await asyncio.sleep(1)
    return "shipped"


shipped: list[str] = []
flow: Graph[Sheet] = Graph(Sheet, name="flow")
flow.start(begin)
flow.chain(begin, sync, agree, ship)


def look(question: OpenQuestion) -> Any:
    """Somebody who looks into the world before he says whether a thing has happened."""
    if question.node == "agree":
        return True
    return {"happened": True, "log": "shipped"} if question.id.partition("!")[0] in shipped else {"happened": False}


def crash(graph: Graph[Any], **more: Any) -> CrashReport:
    """On virtual time."""
    return run_virtually(crash_everywhere(graph, Sheet(), **more))


def test_it_kills_at_each_commit_and_at_each_wait_and_says_how_often() -> None:
    called: list[str] = []

    def setup() -> None:
        shipped.clear()
        called.append("setup")

    report = crash(flow, answers=look, setup=setup, effects=lambda: len(shipped))
    assert report.points == 2 * report.commits + report.waits
    assert report.commits >= 7
    assert len(called) == report.points + 1  # and the undisturbed one
    assert (report.outcome, report.missed) == ("done", 0)
    assert report.interrupted >= 2
    assert str(report) == (
        f"flow: killed {report.points} times ({report.commits} commits, {report.waits} waits), always done;"
        f" cut off and called again: {report.interrupted}; finished and called again: 0"
    )


def test_who_does_not_look_is_found_out() -> None:
    with pytest.raises(CrashFailure, match="the effects are 2, not 1"):
        crash(flow, answers={"agree": True}, setup=shipped.clear, effects=lambda: len(shipped))


def test_a_run_that_nobody_answers_always_waits_for_the_same() -> None:
    assert crash(flow).outcome == "waiting"


def test_fewer_points_are_spread_and_one_can_be_named() -> None:
    assert crash(flow, most=5).points == 5
    assert crash(flow, only="after 3").points == 1


@node(writes="total")
async def forgetful() -> int:
    """What it gives depends on how often it was called."""
    calls.append(1)
    await asyncio.sleep(1)
    return len(calls)


calls: list[int] = []
wrong: Graph[Sheet] = Graph(Sheet, name="wrong")
wrong.start(forgetful)
wrong.chain(forgetful, begin)


def test_a_state_that_is_not_the_same_is_found_and_the_point_is_named() -> None:
    with pytest.raises(CrashFailure) as caught:
        crash(wrong, setup=calls.clear)
    failure = caught.value
    assert failure.problems == ("'total' is 2, not 1",)
    assert failure.point in str(failure)
    assert f'Just that point again:   await crash_everywhere(wrong, ..., only="{failure.point}")' in str(failure)
    with pytest.raises(CrashFailure, match=f"'wrong', killed {failure.point}"):
        crash(wrong, setup=calls.clear, only=failure.point)
    again: CrashFailure = pickle.loads(pickle.dumps(failure))
    assert (str(again), again.point, again.problems) == (str(failure), failure.point, failure.problems)
    assert crash(wrong, setup=calls.clear, ignore=["total"]).outcome == "done"


def test_an_effect_that_happens_twice_is_found() -> None:
    done: list[str] = []

    @node(writes="log")
    async def careless(ctx: Context) -> str:
        done.append(ctx.idempotency_key)  # at least once: the key is what makes it one
        await asyncio.sleep(1)
        return "done"

    graph: Graph[Sheet] = Graph(Sheet, name="careless")
    graph.start(careless)
    with pytest.raises(CrashFailure, match="the effects are 2, not 1"):
        crash(graph, setup=done.clear, effects=lambda: len(done))
    assert crash(graph, setup=done.clear, effects=lambda: len(set(done))).interrupted >= 1


def test_a_finished_node_that_is_called_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that loses its last row is one that this library must never be."""
    from orchestra_graph.store.memory import MemoryStore

    lost: list[int] = []

    def crash_and_lose(self: MemoryStore) -> None:
        was(self)
        for kept in self.database.runs.values():
            if kept.log[-1].kind == "NodeFinished":
                lost.append(kept.log.pop().seq)

    was = MemoryStore.crash
    two: Graph[Sheet] = Graph(Sheet, name="two")
    two.start(begin)
    two.chain(begin, sync)
    settled = __import__("orchestra_graph.testing.crash", fromlist=["settled_in"]).settled_in
    monkeypatch.setattr(MemoryStore, "crash", crash_and_lose)
    monkeypatch.setattr(
        "orchestra_graph.testing.crash.settled_in", lambda rows: settled(rows) | ({"begin"} if lost else set())
    )
    with pytest.raises(CrashFailure, match="begin had finished, and was called again"):
        crash(two)


def test_who_is_stuck_is_named() -> None:
    @node(writes="log")
    async def once() -> str:
        calls.append(1)
        if len(calls) > 1:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(1)
        return "once"

    graph: Graph[Sheet] = Graph(Sheet, name="stuck")
    graph.start(once)
    with pytest.raises(CrashFailure, match="it has not come to rest after 30 seconds"):
        crash(graph, setup=calls.clear, timeout=30.0)


def test_messages_are_sent_and_taken_once() -> None:
    hear = receive("note", str, writes="log", name="hear")
    graph: Graph[Sheet] = Graph(Sheet, name="mail")

    @node(writes="total")
    async def one() -> int:
        return 1

    graph.start(hear)
    graph.edge(hear, one)
    graph.edge(one, hear, when=lambda total: total < 3)
    graph.edge(one, begin, otherwise=True)
    assert crash(graph, messages=[("note", "a"), ("note", "b"), ("note", "c")]).outcome == "done"


@pytest.mark.asyncio
async def test_on_sqlite_it_is_the_same(tmp_path: Path) -> None:
    quick: Graph[Sheet] = Graph(Sheet, name="quick")
    quick.start(sync)
    quick.chain(sync, agree, forgetless)
    report = await crash_everywhere(quick, Sheet(), answers={"agree": True}, url=f"sqlite:///{tmp_path}/runs.db")
    assert report.outcome == "done"
    assert report.points + report.missed == 2 * report.commits + report.waits
    locks = [tmp_path / name for name in os.listdir(tmp_path) if "-owner-" in name]
    assert not [lock for lock in locks if is_held(lock)]


@node(writes="log")
async def forgetless() -> str:
    await asyncio.sleep(0)
    return "said"


def test_time_is_virtual_where_the_loop_is() -> None:
    async def main() -> float:
        await crash_everywhere(flow, Sheet(), answers={"agree": True})
        return elapsed()

    assert run_virtually(main()) > 100


def test_a_graph_that_ends_otherwise_by_itself_is_told_before_a_kill_is_blamed() -> None:
    calls = [0]

    class Drawn(State):
        n: int = 0

    @node(writes="n")
    async def draw() -> int:
        calls[0] += 1
        return calls[0]

    graph = Graph(Drawn, name="drawn")
    graph.start(draw)
    with pytest.raises(CrashFailure, match="two undisturbed runs") as caught:
        run_virtually(crash_everywhere(graph, Drawn()))
    assert "chance, the time, a global" in caught.value.problems[-1]
