"""Races: the first to finish withdraws the others, and what leads to them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import END, Engine, Graph, Item, Question, Retry, Run, StaleAnswer, ask, node

from .common import asked, both_stores, done, failed, until_asked, url_of, virtual
from .stage import Board, Stage, ids, note
from .virtual import elapsed, in_virtual_time


@ask(writes="ok")
def agree() -> Question[bool]:
    return Question("Well?", to="ana")


@ask(writes="ok")
def object_to() -> Question[bool]:
    return Question("Any objection?", to="bo")


def raced(*members: Any, after: bool = True) -> Graph[Board]:
    """Side by side from the start; behind each member stands a node of its own."""
    graph = Graph(Board, name="raced")
    graph.start(list(members))
    graph.race(*members)
    for member in members:
        if after:
            graph.edge(member, note(f"after_{member.name}"))
    return graph


async def statuses(engine: Engine, run: Run[Any]) -> dict[str, str]:
    return {row.id: row.status for row in await engine.store.questions(run._row.number, status=())}


@both_stores
@pytest.mark.asyncio
async def test_the_first_withdraws_the_others(place: str, tmp_path: Path) -> None:
    stage = Stage()
    graph = raced(*stage.nodes("a", "b", "c"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.begins("a", "b", "c")
        await stage.end(run, "b")
        assert done(await run.wait()).log == ["b", "after_b"]
        assert sorted(stage.cancelled) == ["a", "c"]
        assert ids(await run.record(), "withdrawn") == ["a", "c"]


@pytest.mark.parametrize(("answered", "other"), [("agree", "object_to"), ("object_to", "agree")])
@both_stores
@pytest.mark.asyncio
async def test_of_two_questions_the_first_answer_withdraws_the_other(
    answered: str, other: str, place: str, tmp_path: Path
) -> None:
    graph = raced(agree, object_to)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board(), key="k")
        assert sorted(q.id for q in asked(await run.wait())) == ["agree", "object_to"]
        await run.answer(answered, True)
        assert done(await run.wait()).log == [f"after_{answered}"]
        assert await statuses(engine, run) == {answered: "answered", other: "withdrawn"}
        with pytest.raises(StaleAnswer):
            await run.answer(other, True)


@both_stores
@pytest.mark.asyncio
async def test_of_two_answers_at_once_one_counts(place: str, tmp_path: Path) -> None:
    """Both are in the store before anybody looks: the run goes one way, and only that."""
    graph = raced(agree, object_to)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board(), key="k")
        asked(await run.wait())
        for question in ("agree", "object_to"):
            await engine.store.answer(run._row.number, question, "true", engine.clock.now())
        log = done(await run.wait()).log
        assert log in (["after_agree"], ["after_object_to"])
        assert len(ids(await run.record(), "withdrawn")) == 1


@both_stores
@pytest.mark.asyncio
async def test_a_node_against_a_question(place: str, tmp_path: Path) -> None:
    stage = Stage()
    graph = raced(stage.node("quick"), agree)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board(), key="node")
        await until_asked(run)
        await stage.end(run, "quick")
        assert done(await run.wait()).log == ["quick", "after_quick"]
        assert await statuses(engine, run) == {"agree": "withdrawn"}
        other = await engine.start(graph, Board(), key="person")
        await until_asked(other)
        await other.answer("agree", True)
        state = done(await other.wait())
        assert (state.log, state.ok) == (["after_agree"], True)
        assert stage.cancelled == ["quick"]


@in_virtual_time
async def test_a_deadline_on_a_person_is_a_race() -> None:
    @node
    async def wait() -> None:
        await asyncio.sleep(3600)

    graph = raced(agree, wait)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        assert done(await run.wait()).log == ["after_wait"]
        assert elapsed() == 3600


@both_stores
@pytest.mark.asyncio
async def test_what_leads_to_a_loser_is_withdrawn_with_it(place: str, tmp_path: Path) -> None:
    """Who has a node to go before it is raced is withdrawn there; what also leads elsewhere goes on."""
    stage = Stage()
    before, both, quick, slow, other = stage.nodes("before", "both", "quick", "slow", "other")
    graph = Graph(Board, name="ahead")
    graph.start([before, both, quick])
    graph.edge([before, both], slow)
    graph.edge(both, other)
    graph.edge(slow, note("after_slow"))
    graph.race(quick, slow)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.begins("before", "both")
        await stage.end(run, "quick")
        assert stage.cancelled == ["before"]
        await stage.end(run, "both", "other")
        assert sorted(done(await run.wait()).log) == ["both", "other", "quick"]
        assert "slow" not in stage.began


@both_stores
@pytest.mark.asyncio
async def test_tokens_that_wait_at_a_losing_join_are_withdrawn(place: str, tmp_path: Path) -> None:
    stage = Stage()
    quick = stage.node("quick")
    graph = Graph(Board, name="waiting")
    graph.start([note("a"), stage.node("b"), quick])
    graph.edge(["a", "b"], note("meet"))
    graph.edge("meet", note("after_meet"))
    graph.race(quick, "meet")
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.begins("b")
        await stage.end(run, "quick")
        assert sorted(done(await run.wait()).log) == ["a", "quick"]
        assert stage.cancelled == ["b"]


@both_stores
@pytest.mark.asyncio
async def test_every_turn_of_a_loop_has_a_race_of_its_own(place: str, tmp_path: Path) -> None:
    stage = Stage()
    graph = Graph(Board, name="turns")
    fork, quick, slow = note("fork"), stage.node("quick"), stage.node("slow")
    graph.start(fork)
    graph.edge(fork, [quick, slow, agree])
    graph.race(quick, slow, agree)
    graph.edge([quick, slow, agree], note("meet"))
    graph.edge("meet", fork, when=lambda log: "meet@2" not in log)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        await stage.end(run, "quick@0")
        await stage.end(run, "slow@1")
        await stage.begins("quick@2", "slow@2")

        async def last() -> bool:
            return [q.id for q in await run.questions()] == ["agree@2"]

        while not await last():
            await engine.store.changes(20)
        await run.answer("agree@2", True)
        state = done(await run.wait())
        assert state.log == ["fork@0", "quick@0", "meet@0", "fork@1", "slow@1", "meet@1", "fork@2", "meet@2"]
        assert state.ok
        assert sorted(stage.cancelled) == ["quick@1", "quick@2", "slow@0", "slow@2"]
        asked_once = await statuses(engine, run)
        assert asked_once["agree@2"] == "answered"
        assert set(asked_once.values()) <= {"answered", "withdrawn"}


@pytest.mark.asyncio
async def test_every_element_has_a_race_of_its_own() -> None:
    stage = Stage()

    @node
    async def begin() -> None: ...

    @node
    async def fork(item: Item[str]) -> None: ...

    graph = Graph(Board, name="elements")
    quick, slow, collect = stage.node("quick"), stage.node("slow"), note("collect")
    graph.start(begin)
    graph.each(begin, "items", fork, collect=collect)
    graph.edge(fork, [quick, slow])
    graph.race(quick, slow)
    graph.edge([quick, slow], note("meet"))
    graph.edge("meet", collect)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board(items=["a", "b"]))
        await stage.begins("quick#0", "slow#0", "quick#1", "slow#1")
        await stage.end(run, "slow#1", "quick#0")
        assert done(await run.wait()).log == ["quick#0", "meet#0", "slow#1", "meet#1", "collect"]
        assert stage.cancelled == ["quick#1", "slow#0"]


def part(stage: Stage, name: str = "part") -> Graph[Board]:
    """Two nodes one after the other, and beside them a third."""
    graph = Graph(Board, name=name)
    one, two, beside = stage.nodes("one", "two", "beside")
    graph.start([one, beside])
    graph.edge(one, two)
    return graph


@pytest.mark.parametrize("winner", ["graph", "node"])
@both_stores
@pytest.mark.asyncio
async def test_a_graph_is_a_member(winner: str, place: str, tmp_path: Path) -> None:
    """It completes when all inside of it has ended; and as a loser it is withdrawn wherever it stands."""
    stage = Stage()
    graph = raced(part(stage), stage.node("other"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "part/one")
        await stage.begins("part/two", "part/beside", "other")
        assert stage.cancelled == []  # that it was entered decides nothing
        if winner == "graph":
            await stage.end(run, "part/beside", "part/two")
            assert sorted(done(await run.wait()).log) == ["after_part", "part/beside", "part/one", "part/two"]
            assert stage.cancelled == ["other"]
        else:
            await stage.end(run, "other")
            assert done(await run.wait()).log == ["part/one", "other", "after_other"]
            assert sorted(stage.cancelled) == ["part/beside", "part/two"]


@both_stores
@pytest.mark.asyncio
async def test_two_graphs_race_and_a_question_inside_is_withdrawn(place: str, tmp_path: Path) -> None:
    stage = Stage()
    talk = Graph(Board, name="talk")
    talk.start(note("begin"))
    talk.edge("begin", agree)
    graph = raced(part(stage), talk)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        await stage.end(run, "part/one", "part/two", "part/beside")
        done(await run.wait())
        assert await statuses(engine, run) == {"talk/agree": "withdrawn"}
        other = await engine.start(graph, Board())
        await until_asked(other)
        await other.answer("talk/agree", True)
        assert "after_talk" in done(await other.wait()).log


@pytest.mark.asyncio
async def test_a_race_inside_of_a_graph_leaves_what_is_outside_alone() -> None:
    stage = Stage()
    inner = Graph(Board, name="inner")
    quick, slow, outside = stage.nodes("quick", "slow", "outside")
    inner.start([quick, slow])
    inner.race(quick, slow)
    graph = Graph(Board, name="outer")
    graph.start([inner, outside])
    graph.edge([inner, outside], note("meet"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.begins("inner/slow")
        await stage.end(run, "inner/quick")
        assert stage.cancelled == ["inner/slow"]
        await stage.end(run, "outside")
        assert sorted(done(await run.wait()).log) == ["inner/quick", "meet", "outside"]


@pytest.mark.asyncio
async def test_a_member_that_fails_has_not_finished() -> None:
    """The other may still win; a failure that nobody takes fails the run, and a retry goes on with what is left."""
    stage = Stage()
    graph = raced(*stage.nodes("a", "b"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "a")
        await stage.end(run, "b")
        assert [i for i, _ in failed(await run.wait()).errors] == ["a"]
        await run.retry()
        assert done(await run.wait()).log == ["b", "after_b"]
        assert stage.began == ["a", "b"]  # a has lost, and is not run again


@both_stores
@pytest.mark.asyncio
async def test_the_way_of_an_error_is_no_win(place: str, tmp_path: Path) -> None:
    stage = Stage()
    graph = raced(*stage.nodes("a", "b"))
    graph.edge("a", note("mend"), on_error=ValueError)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "a")
        await stage.end(run, "b")
        assert sorted(done(await run.wait()).log) == ["after_b", "b", "mend"]


@in_virtual_time
async def test_who_waits_for_another_attempt_loses_too() -> None:
    tries: list[float] = []

    @node(retry=Retry(attempts=9, delay=10, jitter=0, factor=1, on=(ValueError,)))
    async def flaky() -> None:
        tries.append(elapsed())
        raise ValueError

    @node
    async def steady() -> None:
        await asyncio.sleep(25)

    graph = raced(flaky, steady)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        assert done(await run.wait()).log == ["after_steady"]
    assert tries == [0, 10, 20]


@pytest.mark.asyncio
async def test_who_is_slow_comes_to_nothing() -> None:
    """A token that comes to a member that has lost is taken in: what it brought to reducers counts at the end."""
    stage = Stage()
    both, quick, slow = stage.nodes("both", "quick", "slow")
    graph = Graph(Board, name="late")
    graph.start([both, quick])
    graph.edge(both, [slow, END])
    graph.race(quick, slow)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "quick", "both")
        assert sorted(done(await run.wait()).log) == ["both", "quick"]
        assert stage.began.count("slow") == 0
