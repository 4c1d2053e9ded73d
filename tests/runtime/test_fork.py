"""Forks: what is run again, what is taken from the log, and that the original is not touched."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import Field

from orchestra_graph import (
    Engine,
    Graph,
    Item,
    Limits,
    Node,
    Patch,
    Question,
    State,
    Waiting,
    ask,
    first,
    later,
    node,
    receive,
)
from orchestra_graph import events as public
from orchestra_graph.errors import BadInput, RunEnded, RunKeyTaken, UnknownStep
from orchestra_graph.store.keys import Keys

from .common import Sheet, asked, both_stores, chain, done, failed, stopped, until_logged, url_of, virtual
from .virtual import in_virtual_time


class Turn(Patch[Sheet]):
    total: int
    log: str


ran: list[str] = []
"""Which functions were called, in order."""


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@node(writes="left")
async def use_text(text: str) -> str:
    ran.append("use_text")
    return text.upper()


@node(writes="right")
async def use_count(count: int) -> str:
    ran.append("use_count")
    return str(count)


@node(writes="log")
async def put_together(left: str, right: str) -> str:
    ran.append("put_together")
    return left + right


def diamond() -> Graph[Sheet]:
    graph = Graph(Sheet, name="diamond")
    graph.start([use_text, use_count])
    graph.edge([use_text, use_count], put_together)
    return graph


async def rows_of(engine: Engine, run: Any) -> Any:
    store, number = engine.store, run._row.number
    return await store.log(number), await store.questions(number, status=()), await store.find(run.key)


@both_stores
@pytest.mark.asyncio
async def test_only_what_reads_something_else_is_run_again(place: str, tmp_path: Path) -> None:
    graph = diamond()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1), key="one")
        assert done(await run.wait()).log == ["A1"]
        before = await rows_of(engine, run)
        ran.clear()
        fork = await run.fork(at=0, update={"count": 2})
        assert done(await fork.wait()).log == ["A2"]
        assert sorted(ran) == ["put_together", "use_count"]
        assert await fork.reused() == ["use_text"]
        marked = {a.id: a.reused for a in (await fork.record()).activations}
        assert marked == {"use_text": "one", "use_count": None, "put_together": None}
        told = [e async for e in fork.events(follow=False)]
        forked = [e for e in told if isinstance(e, public.RunForked)]
        assert [(e.origin, e.step, e.update) for e in forked] == [("one", 0, {"count": 2})]
        assert [e.id for e in told if isinstance(e, public.NodeFinished) and e.reused == "one"] == ["use_text"]
        assert await rows_of(engine, run) == before
        row = await engine.store.find(fork.key)
        assert row is not None
        assert row.origin == "one"


@both_stores
@pytest.mark.asyncio
async def test_without_an_update_nothing_runs_at_any_step(place: str, tmp_path: Path) -> None:
    graph = diamond()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1), key="one")
        final = done(await run.wait())
        steps = await run.history()
        ran.clear()
        for step in steps:
            fork = await run.fork(at=step.number)
            assert done(await fork.wait()) == final
            after = [s.id for s in steps if s.number > step.number and s.what == "NodeFinished"]
            assert await fork.reused() == after
        assert ran == []


@pytest.mark.asyncio
async def test_a_node_with_other_code_is_run_again() -> None:
    def graph_with(answer: str) -> Graph[Sheet]:
        @node(writes="left")
        async def work(text: str) -> str:
            ran.append(answer)
            return answer

        return chain(work, use_left)

    old, new = graph_with("old"), graph_with("new")
    async with virtual(old) as engine:
        run = await engine.start(old, Sheet(text="t"), key="one")
        assert done(await run.wait()).log == ["old"]
        ran.clear()
        again = await engine.get("one", new)
        fork = await again.fork(at=0)
        assert done(await fork.wait()).log == ["new"]
        assert ran == ["new", "use_left"]
        third = await fork.fork(at=0)  # a fork of a fork, by the same code
        assert done(await third.wait()).log == ["new"]
        assert await third.reused() == ["work", "use_left"]
        assert ran == ["new", "use_left"]


@node(writes="log")
async def use_left(left: str) -> str:
    ran.append("use_left")
    return left


@pytest.mark.asyncio
async def test_a_fork_of_a_fork_takes_from_both() -> None:
    graph = diamond()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1), key="one")
        await run.wait()
        other = await run.fork(at=0, update={"count": 2}, key="two")
        await other.wait()
        ran.clear()
        at = next(step.number for step in await other.history() if step.what == "RunForked")
        third = await other.fork(at=at, update={"count": 1}, key="three")
        assert done(await third.wait()).log == ["A1"]
        assert ran == []
        how = {s.id: s.reused for s in await third.history() if s.what == "NodeFinished"}
        assert how == {"use_text": "two", "use_count": "one", "put_together": "one"}


@pytest.mark.asyncio
async def test_the_items_of_an_each_are_taken_one_by_one() -> None:
    @node(writes="items")
    async def plan(count: int, items: list[int]) -> list[int]:
        ran.append("plan")
        return [*range(count)]

    @node(writes="total")
    async def work(item: Item[int], text: str) -> int:
        ran.append(f"work {item}")
        return item * 10

    @node(writes="log")
    async def end(total: int) -> str:
        return str(total)

    graph = Graph(Sheet, name="wide")
    graph.start(plan)
    graph.each(plan, "items", work, collect=end)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="t", count=3))
        assert done(await run.wait()).log == ["30"]
        ran.clear()
        fork = await run.fork(at=0, update={"count": 5})
        assert done(await fork.wait()).log == ["100"]
        assert ran == ["plan", "work 3", "work 4"]
        assert await fork.reused() == ["work#0", "work#1", "work#2"]


@pytest.mark.asyncio
async def test_a_loop_goes_other_ways_from_the_turn_on_where_it_reads_something_else() -> None:
    @node
    async def turn(total: int) -> Turn:
        ran.append(f"turn {total}")
        return Turn(total=1, log=f"{total}")

    graph = Graph(Sheet, name="loop")
    graph.start(turn)
    graph.edge(turn, turn, when=lambda total, count: total < count)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(count=3))
        assert done(await run.wait()).log == ["0", "1", "2"]
        ran.clear()
        fork = await run.fork(at=0, update={"count": 5})  # only the condition reads it
        assert done(await fork.wait()).log == ["0", "1", "2", "3", "4"]
        assert ran == ["turn 3", "turn 4"]
        assert await fork.reused() == ["turn@0", "turn@1", "turn@2"]
        later = await run.fork(at=1, update={"total": 10})
        assert done(await later.wait()).total == 11


@pytest.mark.asyncio
async def test_a_failed_run_is_mended_by_an_update_where_it_failed() -> None:
    @node(writes="right")
    async def picky(text: str) -> str:
        ran.append("picky")
        if text == "bad":
            raise ValueError(text)
        return text

    graph = chain(use_count, picky)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="bad"), key="one")
        failed(await run.wait(), "ValueError")
        ran.clear()
        fork = await run.fork(update={"text": "good"})
        assert done(await fork.wait()).right == "good"
        assert ran == ["picky"]
        failed(await run.wait(), "ValueError")


# -- people, and what cannot be undone ---------------------------------------------------------------------


@ask(writes="ok")
async def approve(text: str) -> Question[bool]:
    ran.append("approve")
    return Question(f"Approve {text}?", to="ana")


@node(writes="right")
async def use_ok(ok: bool, count: int) -> str:
    ran.append("use_ok")
    return f"{ok} {count}"


@both_stores
@pytest.mark.asyncio
async def test_the_same_question_takes_the_answer_of_the_original(place: str, tmp_path: Path) -> None:
    graph = chain(approve, use_ok)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(text="t"), key="one")
        asked(await run.wait())
        await run.answer("approve", True)
        done(await run.wait())
        before = await rows_of(engine, run)
        ran.clear()
        for step in (0, 1):  # before it was asked, and while it was
            fork = await run.fork(at=step, update={"count": 7})
            assert done(await fork.wait()).right == "True 7"
            assert await fork.reused() == ["approve"]
        assert ran == ["use_ok", "use_ok"]
        other = await run.fork(at=0, update={"text": "u"})
        assert [q.prompt for q in asked(await other.wait())] == ["Approve u?"]
        await other.answer("approve", False)
        assert done(await other.wait()).right == "False 0"
        assert await rows_of(engine, run) == before


@both_stores
@pytest.mark.asyncio
async def test_a_question_that_waits_is_asked_anew_where_it_would_be_another_one(place: str, tmp_path: Path) -> None:
    graph = chain(approve, use_ok)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(text="t"), key="one")
        asked(await run.wait())
        same = await run.fork(update={"count": 1})
        assert [(q.id, q.prompt) for q in asked(await same.wait())] == [("approve", "Approve t?")]
        await same.answer("approve", True)
        assert done(await same.wait()).right == "True 1"
        other = await run.fork(update={"text": "u"})
        assert [(q.id, q.prompt) for q in asked(await other.wait())] == [("approve!2", "Approve u?")]
        told = [e async for e in other.events(follow=False)]
        assert [e.question for e in told if isinstance(e, public.QuestionWithdrawn)] == ["approve"]
        await other.answer("approve!2", True)
        assert done(await other.wait()).right == "True 0"
        assert len(asked(await run.wait())) == 1  # the original waits as before


def refunding() -> Graph[Sheet]:
    @node(writes="log", effect="irreversible", unattended=True)
    async def refund(count: int) -> str:
        ran.append(f"refund {count}")
        return f"refunded {count}"

    @node(writes="right")
    async def tell(text: str) -> str:
        return text

    return chain(refund, tell)


@both_stores
@pytest.mark.asyncio
async def test_what_cannot_be_undone_is_taken_or_a_person_decides(place: str, tmp_path: Path) -> None:
    graph = refunding()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(text="t", count=50), key="one")
        done(await run.wait())
        same = await run.fork(at=0, update={"text": "u"})
        assert done(await same.wait()).log == ["refunded 50"]
        assert ran == ["refund 50"]
        begun = next(step.number for step in await run.history() if step.what == "NodeStarted")
        there = await run.fork(at=begun, update={"text": "v"})
        assert done(await there.wait()).log == ["refunded 50"]
        other = await run.fork(at=0, update={"count": 60})
        (question,) = asked(await other.wait())
        assert "has happened in run 'one', of which this is a fork, on other values" in question.prompt
        assert ran == ["refund 50"]
        await other.answer(question.id, {"happened": True, "log": "refunded 50 by hand"})
        assert done(await other.wait()).log == ["refunded 50 by hand"]
        once_more = await run.fork(at=0, update={"count": 70})
        (question,) = asked(await once_more.wait())
        await once_more.answer(question.id, {"happened": False})
        assert done(await once_more.wait()).log == ["refunded 70"]
        assert ran == ["refund 50", "refund 70"]
        third = await other.fork(at=0, update={"count": 80})  # what happened in the run before that counts, too
        assert len(asked(await third.wait())) == 1


@pytest.mark.asyncio
async def test_that_it_happened_is_known_though_the_run_where_it_did_is_gone() -> None:
    graph = refunding()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="t", count=50), key="one")
        done(await run.wait())
        same = await run.fork(at=0, update={"text": "u"}, key="two")
        done(await same.wait())
        doubtful = await run.fork(at=0, update={"count": 60}, key="three")
        (question,) = asked(await doubtful.wait())
        await doubtful.answer(question.id, {"happened": True, "log": "by hand"})
        done(await doubtful.wait())
        others = [await one.fork(at=0, update={"count": 70}, drive=False) for one in (same, doubtful)]
        from_doubtful = await doubtful.fork(at=0, update={"count": 60})
        assert done(await from_doubtful.wait()).log == ["by hand"]
        assert "one" in await engine.store.prune(before=9e12, status=["done"], limit=1)
        for other in others:
            assert len(asked(await other.wait())) == 1
        assert ran == ["refund 50"]


# -- choices -----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_race_whose_branches_are_all_known_has_the_same_winner_and_begins_no_loser() -> None:
    def runner(name: str, seconds: float) -> Node[Any]:
        @node(name=name, writes="log")
        async def run() -> str:
            ran.append(name)
            await asyncio.sleep(seconds)
            return name

        return run

    slow, fast, far, end = runner("slow", 9), runner("fast", 1), runner("far", 2), runner("end", 0)
    graph = Graph(Sheet, name="race")
    graph.start([slow, fast])
    graph.edge(fast, far)
    graph.edge([slow, far], end)
    graph.join(end, first(cancel_rest=True))
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        final = done(await run.wait())
        ran.clear()
        fork = await run.fork(at=0)
        assert done(await fork.wait()) == final
        assert await fork.reused() == ["fast", "far", "end"]
        assert ran == []


@in_virtual_time
async def test_the_first_to_come_is_the_same_though_the_others_came_later_and_are_at_hand_at_once() -> None:
    def runner(name: str, seconds: float) -> Node[Any]:
        @node(name=name, writes="log")
        async def run() -> str:
            ran.append(name)
            await asyncio.sleep(seconds)
            return name

        return run

    @node(writes="text")
    async def winner(log: list[str]) -> str:
        await asyncio.sleep(60)
        return log[-1]

    late, one, two = runner("late", 5), runner("one", 1), runner("two", 2)
    graph = Graph(Sheet, name="race")
    graph.start([late, one])
    graph.edge(one, two)
    graph.edge([late, two], winner)
    graph.join(winner, first())
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        final = done(await run.wait())
        assert final.text == "two"
        ran.clear()
        fork = await run.fork(at=0)
        assert done(await fork.wait()) == final
        assert (ran, await fork.reused()) == ([], ["one", "two", "late", "winner"])


# -- what is asked wrong -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_does_not_fit_is_refused_and_nothing_is_made() -> None:
    graph = diamond()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1), key="one")
        await run.wait()
        with pytest.raises(BadInput, match=r"'counts' is no field of Sheet.*Did you mean 'count'"):
            await run.fork(at=0, update={"counts": 1})
        with pytest.raises(BadInput, match="field 'count' does not fit"):
            await run.fork(at=0, update={"count": "many"})
        with pytest.raises(UnknownStep):
            await run.fork(at=99)
        with pytest.raises(UnknownStep):
            await run.fork(at=-1)
        assert [found.key for found in await engine.find()] == ["one"]


@pytest.mark.asyncio
async def test_a_key_gives_the_same_fork_or_is_taken() -> None:
    graph = diamond()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1), key="one")
        await run.wait()
        two = await run.fork(at=0, update={"count": 2}, key="two")
        again = await run.fork(at=0, update={"count": 2}, key="two")
        assert again.key == two.key
        for other in ({"at": 1, "update": {"count": 2}}, {"at": 0, "update": {"count": 3}}, {"at": 0}):
            with pytest.raises(RunKeyTaken, match="no fork of 'one' at step"):
                await run.fork(**other, key="two")
        with pytest.raises(RunKeyTaken):
            await run.fork(at=0, key="one")
        with pytest.raises(RunKeyTaken, match="it is a fork of run 'one'"):
            await engine.start(graph, Sheet(text="a", count=1), key="two")
        done(await two.wait())


@pytest.mark.asyncio
async def test_a_cancelled_run_is_forked_before_that() -> None:
    graph = chain(approve, use_ok)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="t"), key="one")
        asked(await run.wait())
        await run.cancel()
        last = (await run.history())[-1].number
        with pytest.raises(RunEnded, match="cancelled"):
            await run.fork(at=last)
        fork = await run.fork()
        assert [q.id for q in asked(await fork.wait())] == ["approve"]


@pytest.mark.asyncio
async def test_a_run_that_a_limit_stopped_goes_on_with_another_one() -> None:
    @node(writes="total")
    async def turn(total: int) -> int:
        ran.append("turn")
        return 1

    graph = Graph(Sheet, name="loop")
    graph.start(turn)
    graph.edge(turn, turn, when=lambda total: total < 6)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), limits=Limits(steps=2))
        stopped(await run.wait())
        fork = await run.fork(limits=Limits(steps=10))
        assert done(await fork.wait()).total == 6
        assert len(ran) == 6
        same = await run.fork()
        assert stopped(await same.wait()).state.total == 4


# -- graphs inside, defaults, large values, other processes ------------------------------------------------


@pytest.mark.asyncio
async def test_a_fork_is_resumed_like_any_run_and_large_values_are_shared(tmp_path: Path) -> None:
    @node(writes="text")
    async def large(count: int) -> str:
        ran.append("large")
        return "x" * 50_000

    graph = chain(large, approve, use_ok)
    url = url_of("sqlite", tmp_path)
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="one")
        asked(await run.wait())
        fork = await run.fork(update={"count": 3}, key="two")
        asked(await fork.wait())
    async with Engine(url, graphs=[graph]) as engine:
        fork = await engine.get("two", graph)
        await fork.answer("approve", True)
        final = done(await fork.wait())
        assert (final.right, len(final.text)) == ("True 3", 50_000)
        third = await fork.fork(at=1, update={"count": 4}, key="three")
        final = done(await third.wait())
        assert (final.right, len(final.text)) == ("True 4", 50_000)
        assert await third.reused() == ["approve"]
    assert ran.count("large") == 1


@pytest.mark.asyncio
async def test_a_reducer_is_set_anew_by_an_update_and_goes_on_from_there() -> None:
    graph = diamond()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1, log=["given"]))
        done(await run.wait())
        fork = await run.fork(at=1, update={"log": ["anew"]})
        assert done(await fork.wait()).log == ["anew", "A1"]
        assert (await run.state()).log == ["given", "A1"]


@pytest.mark.asyncio
async def test_an_update_at_the_end_changes_the_final_state_only() -> None:
    graph = diamond()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1))
        done(await run.wait())
        ran.clear()
        fork = await run.fork(update={"count": 9})
        final = done(await fork.wait())
        assert (final.count, final.log) == (9, ["A1"])
        assert ran == []


@pytest.mark.asyncio
async def test_a_message_that_was_taken_is_taken_again_and_the_others_stay() -> None:
    hear = receive("user", str, writes="text")

    @node(writes="log")
    async def say(text: str, count: int) -> str:
        ran.append("say")
        return f"{text} {count}"

    graph = Graph(Sheet, name="talk")
    graph.start(hear)
    graph.edge(hear, say)
    graph.edge(say, hear, when=lambda log: len(log) < 2)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(), key="one")
        await run.send("user", "a")
        assert isinstance(await run.wait(), Waiting)
        assert (await run.state()).log == ["a 0"]
        fork = await run.fork(at=0, update={"count": 7})
        assert isinstance(await fork.wait(), Waiting)
        assert (await fork.state()).log == ["a 7"]
        assert await fork.reused() == ["user@0"]
        await run.send("user", "b")
        assert isinstance(await fork.wait(), Waiting)
        await fork.send("user", "c")
        assert done(await fork.wait()).log == ["a 7", "c 7"]
        assert done(await run.wait()).log == ["a 0", "b 0"]


class Inner(State):
    token: str = Field(default_factory=lambda: uuid4().hex)
    text: str = ""
    left: str = later()


@pytest.mark.asyncio
async def test_what_a_graph_inside_made_by_default_is_what_it_was() -> None:
    @node(writes="left")
    async def sign(text: str, token: str) -> str:
        ran.append("sign")
        return f"{text} {token}"

    inner = Graph(Inner, name="inner")
    inner.start(sign)
    graph = Graph(Sheet, name="outer")
    graph.start(inner)
    graph.edge(inner, use_count)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="t"))
        final = done(await run.wait())
        ran.clear()
        fork = await run.fork(at=0, update={"count": 5})
        assert done(await fork.wait()).left == final.left
        assert ran == ["use_count"]
        other = await run.fork(at=0, update={"text": "u"})
        assert done(await other.wait()).left == final.left.replace("t ", "u ", 1)


@pytest.mark.asyncio
async def test_hooks_hear_only_what_happens_in_the_fork() -> None:
    heard: list[public.RunEvent] = []
    graph = diamond()
    async with virtual(graph, hooks=[heard.append]) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1), key="one")
        await run.wait()
        fork = await run.fork(at=1, update={"count": 2}, key="two")
        await fork.wait()
    told = [event for event in heard if event.run == "two"]
    assert isinstance(told[0], public.RunForked)
    finished = [event.id for event in told if isinstance(event, public.NodeFinished)]
    assert len(finished) == len(set(finished)) <= 3


@pytest.mark.asyncio
async def test_a_fork_of_a_run_that_is_gone_simply_runs() -> None:
    graph = diamond()
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1), key="one")
        done(await run.wait())
        fork = await run.fork(at=0, drive=False)
        assert await fork.status() == "running"
        assert await engine.store.prune(before=9e12, status=["done"]) == ["one"]
        ran.clear()
        assert done(await fork.wait()).log == ["A1"]
        assert len(ran) == 3
        assert await fork.reused() == []


@both_stores
@pytest.mark.asyncio
async def test_a_fork_of_a_run_that_still_runs_leaves_it_alone(place: str, tmp_path: Path) -> None:
    go = asyncio.Event()

    @node(writes="right")
    async def slow(left: str, count: int) -> str:
        if count == 1:
            await go.wait()
        return f"{left} {count}"

    graph = chain(use_text, slow)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(text="a", count=1))
        await until_logged(run, "NodeFinished")
        fork = await run.fork(update={"count": 2})
        assert done(await fork.wait()).right == "A 2"
        go.set()
        assert done(await run.wait()).right == "A 1"


@both_stores
@pytest.mark.asyncio
async def test_a_fork_goes_on_with_another_form_of_the_graph_from_before_that_was_there(
    place: str, tmp_path: Path
) -> None:
    @node(writes="notes")
    async def check(left: str) -> list[str]:
        return [f"checked {left}"]

    old, new = Graph(Sheet, name="desk"), Graph(Sheet, name="desk")
    old.start(use_text)
    old.edge(use_text, use_count)
    new.start(use_text)
    new.chain(use_text, check, use_count)
    async with Engine(url_of(place, tmp_path), graphs=[old]) as engine:
        run = await engine.start(old, Sheet(text="a", count=1), key="one")
        assert done(await run.wait()).right == "1"
        again = await engine.get("one", new)
        before = await rows_of(engine, run)
        fork = await again.fork(at=0, update={"count": 2}, key="two")
        state = done(await fork.wait())
        assert (state.left, state.notes, state.right) == ("A", ["checked A"], "2")
        assert await fork.reused() == []  # what was done in another form is not taken
        assert (await fork.replay()).same
        assert await rows_of(engine, run) == before
        third = await fork.fork(at=0, update={"count": 3}, key="three")
        assert done(await third.wait()).right == "3"


async def _forked_with_a_large_value(url: str, keys: Keys | None = None) -> None:
    @node(writes="text")
    async def large(count: int) -> str:
        ran.append("large")
        return "x" * 50_000

    graph = chain(large, approve, use_ok)
    async with Engine(url, graphs=[graph], keys=keys) as engine:
        run = await engine.start(graph, Sheet(), key="one")
        asked(await run.wait())
        before = await rows_of(engine, run)
        fork = await run.fork(at=1, update={"count": 3, "log": ["y" * 50_000]}, key="two")
        asked(await fork.wait())
        await fork.answer("approve", True)
        final = done(await fork.wait())
        assert (final.right, len(final.text), len(final.log[0])) == ("True 3", 50_000, 50_000)
        assert (await fork.replay()).same
        third = await fork.fork(at=1, update={"count": 4}, key="three")
        assert done(await third.wait()).right == "True 4"
        assert await third.reused() == ["approve"]
        assert await rows_of(engine, run) == before
    assert ran.count("large") == 1


@pytest.mark.asyncio
async def test_forks_in_an_encrypted_database(tmp_path: Path) -> None:
    await _forked_with_a_large_value(url_of("sqlite", tmp_path) or "", Keys({"k": b"k" * 32}, use="k", strict=True))


@pytest.mark.asyncio
async def test_forks_on_postgresql(postgres_url: str) -> None:
    await _forked_with_a_large_value(postgres_url)
