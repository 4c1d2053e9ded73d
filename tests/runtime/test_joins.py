"""The rules of joins: what starts a node with several edges into it, in loops, in `each`, and where branches fail."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Annotated, Any

import pytest

from orchestra_graph import (
    END,
    Context,
    Engine,
    Graph,
    Item,
    Question,
    Retry,
    Run,
    StaleAnswer,
    State,
    add,
    all_of,
    append,
    ask,
    batches,
    each_one,
    first,
    node,
    until,
    zipped,
)
from orchestra_graph.graph.policies import JoinRule
from orchestra_graph.store.base import Append

from .common import asked, bodies, both_stores, done, events, failed, until_asked, until_logged, url_of, virtual
from .common import until as comes
from .stage import Board, Stage, ids, note, ran
from .virtual import elapsed, in_virtual_time

BRANCHES = ["a", "b", "c"]


def joined(rule: JoinRule | None, sources: list[Any], *, join: Any = None) -> Graph[Board]:
    """Branches that meet at ``join``; behind it stands ``after``."""
    graph = Graph(Board, name="joined")
    join = join or note("join")
    graph.start(sources)
    graph.edge(sources, join)
    graph.edge(join, note("after"))
    if rule is not None:
        graph.join(join, rule)
    return graph


def logged_b(log: list[str]) -> bool:
    return "b" in log


# -- every rule, in its plainest form ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "after_two", "final"),
    [
        (None, [], ["a", "b", "c", "join", "after"]),
        (all_of(), [], ["a", "b", "c", "join", "after"]),
        (
            each_one(),
            ["after~0", "after~1"],
            ["a", "b", "c", *(f"{n}~{i}" for i in range(3) for n in ("join", "after"))],
        ),
        (first(), ["after"], ["a", "b", "c", "join", "after"]),
        (first(2), ["after"], ["a", "b", "c", "join", "after"]),
        (first(3), [], ["a", "b", "c", "join", "after"]),
        (until(logged_b), ["after"], ["a", "b", "c", "join", "after"]),
        (until(lambda log: False), [], ["a", "b", "c", "join", "after"]),
        (zipped(), [], ["a", "b", "c", "join~0", "after~0"]),
        (batches(2), [], ["a", "b", "c", "join~0", "join~1", "after~0", "after~1"]),
    ],
    ids=str,
)
@both_stores
@pytest.mark.asyncio
async def test_a_rule_says_when_a_node_starts(
    rule: JoinRule | None, after_two: list[str], final: list[str], place: str, tmp_path: Path
) -> None:
    stage = Stage()
    graph = joined(rule, stage.nodes(*BRANCHES))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "a", "b")
        await comes(lambda: not _moving(run))
        assert [i for i in ids(await run.record(), "done") if i.startswith("after")] == after_two
        await stage.end(run, "c")
        assert sorted(done(await run.wait()).log) == sorted(final)


def _moving(run: Run[Any]) -> int:
    """What moves by itself: all but the nodes that wait for the test."""
    driven = run._engine._driving[run._row.number].drive
    return len([a for a in driven.run.live.values() if a.id not in BRANCHES]) + len(driven._inbox)


@pytest.mark.asyncio
async def test_what_comes_late_starts_nothing_and_counts_at_the_end() -> None:
    stage = Stage()
    graph = joined(first(), stage.nodes(*BRANCHES), join=(join := stage.node("join")))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "b")
        await stage.begins("join")
        await stage.end(run, "a", "c", "join")
        state = done(await run.wait())
        assert stage.began.count("join") == 1, join
        assert sorted(state.log) == ["a", "after", "b", "c", "join"]  # what losers gave to a reducer has happened


class Pairs(State):
    left: list[int] = [1, 2, 3]
    right: list[int] = [10, 20]
    met: Annotated[list[str], append] = []
    sums: Annotated[int, add] = 0


@pytest.mark.parametrize(
    ("rule", "met"),
    [(zipped(), ["pair~0", "pair~1"]), (batches(2), ["pair~0", "pair~1", "pair~2"]), (batches(9), ["pair~0"])],
    ids=str,
)
@pytest.mark.asyncio
async def test_lists_meet_in_pairs_or_in_batches(rule: JoinRule, met: list[str]) -> None:
    @node
    async def begin() -> None: ...

    @node(writes="sums")
    async def one(n: Item[int]) -> int:
        return n

    @node(writes="sums")
    async def other(n: Item[int]) -> int:
        return n

    @node(writes="met")
    async def pair(ctx: Context) -> str:
        return ctx.id

    graph = Graph(Pairs, name="pairs")
    graph.start(begin)
    graph.each(begin, "left", one, collect=pair)
    graph.each(begin, "right", other, collect=pair)
    graph.join(pair, rule)
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Pairs())).wait())
    assert state.met == met
    assert state.sums == 36  # what had no partner counts at the end


# -- in loops and in each ------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_first_counts_anew_in_every_turn(place: str, tmp_path: Path) -> None:
    """A loser of one turn that comes in the next is not counted there. The head must not wait for it, either."""
    stage = Stage()
    fork, quick, slow = note("fork"), note("quick"), stage.node("slow")
    join = stage.node("join")
    graph = Graph(Board, name="turns")
    graph.start(fork)
    graph.join(fork, each_one())
    graph.edge(fork, [quick, slow])
    graph.edge([quick, slow], join)
    graph.join(join, first())
    graph.edge(join, fork, when=lambda log: "join@1" not in log)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "join@0")
        await stage.begins("join@1", "slow@0~0", "slow@1~1")
        await stage.end(run, "slow@0~0", "join@1", "slow@1~1")
        state = done(await run.wait())
    assert [i for i in stage.began if i.startswith("join")] == ["join@0", "join@1"]
    forked = [f"{name}@{turn}~{turn}" for name in ("fork", "quick", "slow") for turn in (0, 1)]
    assert sorted(state.log) == sorted([*forked, "join@0", "join@1"])


@pytest.mark.asyncio
async def test_cancel_rest_ends_only_the_turn_that_is_over() -> None:
    stage = Stage()
    fork, quick, slow, join = note("fork"), note("quick"), stage.node("slow"), note("join")
    graph = Graph(Board, name="turns")
    graph.start(fork)
    graph.edge(fork, [quick, slow])
    graph.edge([quick, slow], join)
    graph.join(join, first(cancel_rest=True))
    graph.edge(join, fork, when=lambda log: "join@1" not in log)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        assert done(await run.wait()).log == ["fork@0", "quick@0", "join@0", "fork@1", "quick@1", "join@1"]
        assert stage.cancelled == [i for i in ("slow@0", "slow@1") if i in stage.began]
        assert ids(await run.record(), "withdrawn") == ["slow@0", "slow@1"]


@pytest.mark.parametrize(
    ("rule", "seen"), [(first(2), 2), (first(3), 3), (until(lambda log: len(log) >= 2), 2)], ids=str
)
@both_stores
@pytest.mark.asyncio
async def test_the_elements_of_a_list_count_one_by_one(rule: JoinRule, seen: int, place: str, tmp_path: Path) -> None:
    stage, came = Stage(), []

    @node
    async def begin() -> None: ...

    @node(writes="log")
    async def work(item: Item[str], ctx: Context) -> str:
        await stage.wait(ctx)
        return item

    @node
    async def collect(log: list[str]) -> None:
        came.append(log)

    graph = Graph(Board, name="elements")
    graph.start(begin)
    graph.each(begin, "items", work, collect=collect)
    graph.join(collect, rule)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, *["work#2", "work#0", "work#1"][:seen])
        await comes(lambda: came)
        assert came == [["a", "c"] if seen == 2 else ["a", "b", "c"]]
        if seen == 2:
            await stage.end(run, "work#1")
        assert done(await run.wait()).log == ["a", "b", "c"]


@pytest.mark.asyncio
async def test_a_rule_inside_of_an_each_holds_for_every_element_by_itself() -> None:
    stage = Stage()

    @node
    async def begin() -> None: ...

    @node
    async def fork(item: Item[str]) -> None: ...

    quick, slow, join, collect = note("quick"), stage.node("slow"), note("join"), note("collect")
    graph = Graph(Board, name="inside")
    graph.start(begin)
    graph.each(begin, "items", fork, collect=collect)
    graph.edge(fork, [quick, slow])
    graph.edge([quick, slow], join)
    graph.join(join, first(cancel_rest=True))
    graph.edge(join, collect)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board(items=["a", "b"]))
        log = done(await run.wait()).log
    assert sorted(log) == ["collect", "join#0", "join#1", "quick#0", "quick#1"]


@pytest.mark.asyncio
async def test_each_one_in_a_loop_tells_its_starts_apart() -> None:
    fork, join = note("fork"), note("join")
    graph = Graph(Board, name="side by side")
    graph.start(fork)
    graph.edge(fork, [note("a"), note("b")])
    graph.edge(["a", "b"], join)
    graph.join(join, each_one())
    graph.edge(join, END)
    assert sorted(await ran(graph)) == ["a", "b", "fork", "join~0", "join~1"]


@both_stores
@pytest.mark.asyncio
async def test_all_of_says_who_is_missing(place: str, tmp_path: Path) -> None:
    choose, left, right, join = note("choose"), note("left"), note("right"), note("join")
    graph = Graph(Board, name="all")
    graph.start([choose, right])
    graph.edge(choose, left, when="ok")
    graph.edge([left, right], join)
    graph.join(join, all_of())
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board(ok=False))
        outcome = failed(await run.wait())
        assert "join: all_of waits for every branch" in outcome.reason
        assert "from 'left'" in outcome.reason
        assert outcome.final  # nobody can mend it
        other = await engine.start(graph, Board(ok=True))
        assert sorted(done(await other.wait()).log) == ["choose", "join", "left", "right"]


@pytest.mark.asyncio
async def test_all_of_at_the_head_of_a_loop() -> None:
    head, left, right = note("head"), note("left"), note("right")
    graph = Graph(Board, name="head")
    graph.start(head)
    graph.edge(head, [left, right], when=lambda log: len(log) < 7)
    graph.edge([left, right], head)
    graph.join(head, all_of())
    assert await ran(graph) == [f"{n}@{t}" for t in range(2) for n in ("head", "left", "right")] + ["head@2"]


# -- branches that fail (P4) ---------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_first_does_without_a_branch_that_failed(place: str, tmp_path: Path) -> None:
    stage = Stage()
    graph = joined(first(2), stage.nodes(*BRANCHES))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "a")
        await stage.end(run, "b", "c")
        assert done(await run.wait()).log == ["b", "c", "join", "after"]


@both_stores
@pytest.mark.asyncio
async def test_too_few_fails_with_all_errors_and_a_retry_runs_what_failed(place: str, tmp_path: Path) -> None:
    stage = Stage()
    graph = joined(first(2), stage.nodes(*BRANCHES))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "a")
        await stage.fail(run, "c", KeyError("gone"))
        await stage.end(run, "b")
        outcome = failed(await run.wait())
        assert outcome.reason.startswith("join: first(2) got 1, and no more can come")
        assert sorted(outcome.errors) == sorted(outcome.errors)
        assert {(i, e.type) for i, e in outcome.errors} == {("a", "ValueError"), ("c", "KeyError")}
        assert not outcome.final
        assert ids(await run.record(), "failed") == ["a", "c"]
        stage.began.clear()
        await run.retry()
        await stage.end(run, "c")
        await stage.end(run, "a")
        state = done(await run.wait())
        assert sorted(stage.began) == ["a", "c"]  # b is done, and is not run again
        assert sorted(state.log) == ["a", "after", "b", "c", "join"]


@pytest.mark.asyncio
async def test_a_retry_that_fails_again_says_so_again() -> None:
    stage = Stage()
    graph = joined(first(2), stage.nodes("a", "b"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "b")
        for _ in range(3):
            await stage.fail(run, "a")
            assert [i for i, _ in failed(await run.wait()).errors] == ["a"]
            stage.began.clear()
            await run.retry()
        await stage.end(run, "a")
        assert sorted(done(await run.wait()).log) == ["a", "after", "b", "join"]


@pytest.mark.asyncio
async def test_short_fire_starts_with_what_there_is() -> None:
    stage = Stage()
    graph = joined(first(3, short="fire"), stage.nodes(*BRANCHES))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "a")
        await stage.fail(run, "b")
        await stage.end(run, "c")
        assert done(await run.wait()).log == ["c", "join", "after"]


@pytest.mark.parametrize("rule", [first(3, short="fire"), until(lambda log: False)], ids=str)
@pytest.mark.asyncio
async def test_without_any_branch_there_is_nothing_to_start_with(rule: JoinRule) -> None:
    stage = Stage()
    graph = joined(rule, stage.nodes("a", "b"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "a")
        await stage.fail(run, "b")
        outcome = failed(await run.wait())
        assert sorted(i for i, _ in outcome.errors) == ["a", "b"]
        stage.began.clear()
        await run.retry()
        await stage.end(run, "a")
        await stage.fail(run, "b")
        assert done(await run.wait()).log == ["a", "join", "after"]


@pytest.mark.asyncio
async def test_a_failure_behind_a_join_that_has_fired_is_only_recorded() -> None:
    stage = Stage()
    graph = joined(first(), stage.nodes(*BRANCHES), join=stage.node("join"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "a")
        await stage.begins("join")
        await stage.fail(run, "b")
        await stage.end(run, "c", "join")
        assert sorted(done(await run.wait()).log) == ["a", "after", "c", "join"]
        [failure] = await bodies(run, "NodeFailed")
        assert '"b"' in failure


@pytest.mark.asyncio
async def test_a_branch_that_leads_elsewhere_too_is_not_done_without() -> None:
    stage = Stage()
    a, b = stage.nodes("a", "b")
    graph = joined(first(), [a, b])
    graph.edge(b, note("elsewhere"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "b")
        await stage.end(run, "a")
        assert [i for i, _ in failed(await run.wait()).errors] == ["b"]


@in_virtual_time
async def test_a_branch_is_given_up_only_when_its_attempts_are_spent() -> None:
    tries: list[float] = []

    @node(retry=Retry(attempts=3, delay=5, factor=1, jitter=0, on=(ValueError,)))
    async def flaky() -> None:
        tries.append(elapsed())
        raise ValueError

    @node(writes="log")
    async def steady() -> str:
        await asyncio.sleep(20)
        return "steady"

    graph = joined(first(2, short="fire"), [flaky, steady])
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        assert done(await run.wait()).log == ["steady", "join", "after"]
    assert tries == [0, 5, 10]


@pytest.mark.asyncio
async def test_the_elements_of_a_list_may_fail() -> None:
    @node
    async def begin() -> None: ...

    @node(writes="log")
    async def work(item: Item[str]) -> str:
        if item == "b":
            raise ValueError(item)
        return item

    collect = note("collect")
    graph = Graph(Board, name="elements")
    graph.start(begin)
    graph.each(begin, "items", work, collect=collect, limit=1)
    graph.join(collect, first(2, short="fire"))
    assert await ran(graph) == ["a", "c", "collect"]


# -- until -------------------------------------------------------------------------------------------------


class Votes(State):
    votes: Annotated[list[str], append] = []
    needed: int = 2
    log: Annotated[list[str], append] = []


def enough(votes: list[str], needed: int) -> bool:
    return len(votes) >= needed


def poll(predicate: Any, stage: Stage, **options: Any) -> Graph[Votes]:
    def voter(name: str) -> Any:
        @node(writes="votes", name=name)
        async def vote(ctx: Context) -> str:
            await stage.wait(ctx)
            return name

        return vote

    @node(writes="log")
    async def count(votes: list[str]) -> str:
        return ", ".join(votes)

    voters = [voter(name) for name in BRANCHES]
    graph = Graph(Votes, name="poll")
    graph.start(voters)
    graph.edge(voters, count)
    graph.join(count, until(predicate, **options))
    return graph


@pytest.mark.parametrize(
    ("order", "needed", "counted"),
    [
        ("ab", 2, "a, b"),
        ("ca", 2, "a, c"),
        ("cba", 3, "a, b, c"),
        ("cba", 9, "a, b, c"),  # when no more can come it starts anyway
        ("b", 1, "b"),
    ],
)
@both_stores
@pytest.mark.asyncio
async def test_until_is_asked_of_the_merge_at_each_arrival(
    order: str, needed: int, counted: str, place: str, tmp_path: Path
) -> None:
    stage = Stage()
    graph = poll(enough, stage)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Votes(needed=needed))
        await stage.end(run, *order)
        await stage.end(run, *[name for name in BRANCHES if name not in order])
        assert done(await run.wait()).log == [counted]


@pytest.mark.asyncio
async def test_until_takes_the_name_of_a_field() -> None:
    stage = Stage()
    graph = poll("votes", stage)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Votes())
        await stage.end(run, *"cab")
        assert done(await run.wait()).log == ["c"]


@pytest.mark.asyncio
async def test_arrivals_in_one_moment_are_asked_about_as_often_as_is_needed() -> None:
    seen: list[int] = []

    def few(votes: list[str]) -> bool:
        seen.append(len(votes))
        return False

    stage = Stage()
    graph = poll(few, stage)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Votes())
        await stage.begins(*BRANCHES)
        for name in BRANCHES:
            stage.let(name)  # all at once: their ends are folded together
        assert done(await run.wait()).log == ["a, b, c"]
    assert seen == sorted(seen)
    assert seen.count(3) == 0  # of the last one nobody needs to be asked: no more can come


@both_stores
@pytest.mark.asyncio
async def test_a_predicate_that_raises_fails_the_run_and_is_asked_again(place: str, tmp_path: Path) -> None:
    broken = [True]

    def check(votes: list[str]) -> bool:
        if broken[0]:
            raise LookupError("no list of voters")
        return len(votes) >= 2

    stage = Stage()
    graph = poll(check, stage)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Votes())
        await stage.begins(*BRANCHES)
        stage.let("a")
        await until_logged(run, "JoinAsked")
        stage.let("b")
        stage.let("c")
        outcome = failed(await run.wait(), "LookupError")
        assert outcome.reason == "count: LookupError: no list of voters"
        assert outcome.errors[0][0] == "count"
        assert isinstance(outcome.cause, LookupError)
        broken[0] = False
        await run.retry()
        assert done(await run.wait()).log == ["a, b, c"]


@both_stores
@pytest.mark.asyncio
async def test_the_answer_of_a_predicate_is_kept_in_the_log(place: str, tmp_path: Path) -> None:
    asked_of: list[list[str]] = []

    def two(votes: list[str]) -> bool:
        asked_of.append(votes)
        return len(votes) >= 2

    stage = Stage()
    graph = poll(two, stage)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Votes())
        await stage.end(run, *BRANCHES)
        done(await run.wait())
        before = len(asked_of)
        assert (await run.state()).log == ["a, b"]
        assert (await run.state_at(len(await run.history()) - 1)).log == ["a, b"]
        assert len(asked_of) == before  # a replay does not ask
        fired = [body for body in await bodies(run, "JoinAsked") if '"fire":true' in body.replace(" ", "")]
        assert len(fired) == 1


@pytest.mark.asyncio
async def test_until_in_a_loop_is_asked_anew_in_every_turn() -> None:
    stage = Stage()
    fork, quick, slow, join = note("fork"), note("quick"), stage.node("slow"), note("join")

    def this_turn(log: list[str]) -> bool:
        return sum(line.startswith("quick") for line in log) > sum(line.startswith("join") for line in log)

    graph = Graph(Board, name="turns")
    graph.start(fork)
    graph.edge(fork, [quick, slow])
    graph.edge([quick, slow], join)
    graph.join(join, until(this_turn, cancel_rest=True))
    graph.edge(join, fork, when=lambda log: "join@2" not in log)
    log = await ran(graph)
    assert [line for line in log if line.startswith("join")] == ["join@0", "join@1", "join@2"]
    assert not [line for line in log if line.startswith("slow")]


# -- cancel_rest -------------------------------------------------------------------------------------------


@ask(writes="ok")
def agree() -> Question[bool]:
    return Question("Well?", to="ana")


@pytest.mark.parametrize("rule", [first(cancel_rest=True), until("log", cancel_rest=True)], ids=str)
@both_stores
@pytest.mark.asyncio
async def test_the_rest_is_withdrawn_its_nodes_and_its_questions(rule: JoinRule, place: str, tmp_path: Path) -> None:
    stage = Stage()
    quick, slow = stage.nodes("quick", "slow")
    graph = joined(rule, [quick, slow, agree], join=stage.node("join"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        await stage.begins("slow")
        await stage.end(run, "quick")
        await stage.begins("join")
        assert stage.cancelled == ["slow"]
        assert await run.questions() == []  # while the run goes on
        [row] = await engine.store.questions(run._row.number, status=())
        assert row.status == "withdrawn"
        with pytest.raises(StaleAnswer, match="its run went on without it"):
            await run.answer("agree", True)
        await stage.end(run, "join")
        assert done(await run.wait()).log == ["quick", "join", "after"]
        assert sorted(ids(await run.record(), "withdrawn")) == ["agree", "slow"]


@both_stores
@pytest.mark.asyncio
async def test_a_sync_node_is_left_alone_and_its_late_result_changes_nothing(place: str, tmp_path: Path) -> None:
    release, entered = threading.Event(), threading.Event()

    @node(writes="log")
    def slow() -> str:
        entered.set()
        release.wait(20)
        return "slow"

    stage = Stage()
    graph = joined(first(cancel_rest=True), [stage.node("quick"), slow], join=stage.node("join"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await comes(entered.is_set)
        await stage.end(run, "quick")
        await stage.begins("join")  # nobody waits for the thread
        release.set()
        await until_logged(run, "LateResult")
        await stage.end(run, "join")
        assert done(await run.wait()).log == ["quick", "join", "after"]
        [late] = await bodies(run, "LateResult")
        assert '"slow"' in late


@pytest.mark.asyncio
async def test_work_that_also_leads_elsewhere_goes_on() -> None:
    stage = Stage()
    quick, slow = stage.nodes("quick", "slow")
    graph = joined(first(cancel_rest=True), [quick, slow])
    graph.edge(slow, note("elsewhere"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "quick", "slow")
        assert sorted(done(await run.wait()).log) == ["after", "elsewhere", "join", "quick", "slow"]
        assert stage.cancelled == []
        assert await events(run, "NodeFailed") == []


@both_stores
@pytest.mark.asyncio
async def test_an_answer_that_comes_in_the_moment_of_the_withdrawal_changes_nothing(place: str, tmp_path: Path) -> None:
    """The question is answered in the store, but its node is withdrawn before the run looks."""
    stage = Stage()
    graph = joined(first(cancel_rest=True), [stage.node("quick"), agree], join=stage.node("join"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        await stage.begins("quick")
        stage.let("quick")
        await asyncio.gather(run.answer("agree", True), stage.end(run, "quick"), return_exceptions=True)
        await stage.end(run, "join")
        log = done(await run.wait()).log
    assert log[-2:] == ["join", "after"]
    assert log.count("join") == 1


@pytest.mark.asyncio
async def test_a_question_that_no_join_waits_for_still_holds_up_the_end() -> None:
    """A person is the third of which a join needs two: the run rests until the answer comes."""
    graph = joined(first(2), [note("a"), agree, note("b")])
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        [question] = asked(await run.wait())
        assert sorted((await run.state()).log) == ["a", "after", "b", "join"]
        await run.answer(question.id, True)
        state = done(await run.wait())
    assert state.log == ["a", "b", "join", "after"]
    assert not state.ok  # who comes late has no claim to a field without a reducer


def closing(how: str, quick: Any) -> Graph[Board]:
    """A graph in which the end of ``quick`` withdraws a question."""
    graph = Graph(Board, name="closing")
    graph.start([quick, agree])
    if how == "terminate":
        graph.terminate(quick)
        return graph
    graph.edge([quick, agree], note("after"))
    if how == "race":
        graph.race(quick, agree)
    elif how == "limit":
        graph.limit(steps=1, then=note("cut"))
    else:
        graph.join("after", {"first": first(cancel_rest=True), "until": until("log", cancel_rest=True)}[how])
    return graph


@pytest.mark.parametrize("how", ["first", "until", "race", "limit", "terminate"])
@both_stores
@pytest.mark.asyncio
async def test_a_question_is_withdrawn_in_the_commit_of_what_withdraws_it(
    how: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    graph = closing(how, stage.node("quick"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        written: list[Append] = []
        store_it = engine.store.append

        async def keep(append: Append) -> Any:
            written.append(append)
            return await store_it(append)

        monkeypatch.setattr(engine.store, "append", keep)
        await stage.end(run, "quick")
        done(await run.wait())
        [commit] = [a for a in written if list(a.closed) == [("agree", "withdrawn")]]
        assert any(row.kind == "NodeFinished" and '"quick"' in row.body for row in commit.rows)
