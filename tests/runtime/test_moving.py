"""A run goes on with another form of its graph, or is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from orchestra_graph import (
    Context,
    Engine,
    Graph,
    GraphChanged,
    Item,
    Run,
    State,
    append,
    ask,
    first,
    later,
    node,
    receive,
)
from orchestra_graph import events as public
from orchestra_graph.graph.question import Question

from .common import asked, database, done, events

pytestmark = pytest.mark.asyncio


class Review(State):
    text: str
    ok: bool = later()
    log: Annotated[list[str], append] = []


@node(writes="log")
async def draft(text: str) -> str:
    return f"draft {text}"


@ask(writes="ok")
async def approve(text: str) -> Question[bool]:
    return Question(f"Publish {text}?")


@node(writes="log")
async def publish(ok: bool) -> str:
    return f"publish {ok}"


@node(writes="log")
async def announce() -> str:
    return "announce"


def review(*steps: Any, version: str = "1", state: type[State] = Review) -> Graph[Any]:
    graph = Graph(state, name="review", version=version)
    graph.start(steps[0])
    graph.chain(*steps)
    return graph


async def parked(url: str, graph: Graph[Any], state: State, key: str = "k") -> None:
    async with Engine(url, graphs=[graph]) as engine:
        asked(await (await engine.start(graph, state, key=key)).wait())


async def go_on(url: str, graph: Graph[Any], *, answer: tuple[str, Any] | None = None, key: str = "k") -> Any:
    """The state at the end of the run, which is answered and goes on with this code."""
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get(key, graph)
        if answer is not None:
            await run.answer(*answer)
        return done(await run.wait())


async def test_a_paused_run_goes_on_with_an_added_node(tmp_path: Path) -> None:
    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    graph = review(draft, approve, publish, announce)
    state = await go_on(url, graph, answer=("approve", True))
    assert state.log == ["draft a", "publish True", "announce"]
    async with Engine(url, graphs=[graph]) as engine:
        run: Run[Any] = await engine.get("k", graph)
        assert await events(run, "RunMoved", "RunResumed") == ["RunMoved", "RunResumed"]
        assert (await run.state()).log == state.log


@ask(writes="ok")
async def sign_off(text: str) -> Question[bool]:
    return Question(f"Sign {text}?")


async def refused(url: str, graph: Graph[Any], key: str = "k") -> GraphChanged:
    """What is said of a run that cannot go on, which is left as it is."""
    async with Engine(url, graphs=[graph]) as engine:
        row = await engine.store.find(key)
        assert row is not None
        log, run = await engine.store.log(row.number), await engine.get(key, graph)
        with pytest.raises(GraphChanged) as caught:
            await run.wait()
        with pytest.raises(GraphChanged):
            await run.resume()
        assert await engine.store.log(row.number) == log
        now = await engine.store.find(key)
        assert now is not None
        assert (now.fingerprint, now.status, now.owner) == (row.fingerprint, row.status, None)
    return caught.value


async def test_a_pending_node_that_was_renamed_is_refused_until_a_migration_says_so(tmp_path: Path) -> None:
    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    error = await refused(url, review(draft, sign_off, publish))
    assert error.why == ("'approve' waits for a person, and there is no 'approve' any more",)
    assert 'Graph(..., version="2")   and   review.migrate("1", nodes={"approve": "sign_off"})' in error.mends
    assert "node 'approve' is gone" in error.changes
    graph = review(draft, sign_off, publish, version="2")
    graph.migrate("1", nodes={"approve": "sign_off"})
    state = await go_on(url, graph, answer=("approve", True))
    assert state.log == ["draft a", "publish True"]
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        record = await run.record()
        assert [(a.id, a.node, a.status) for a in record.activations if a.id == "approve"] == [
            ("approve", "sign_off", "done")
        ]
        assert record.version == "2"


async def test_an_answer_from_before_the_move_counts(tmp_path: Path) -> None:
    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    async with Engine(url) as engine:  # somebody without the code
        await (await engine.get("k")).answer_json("approve", True)
    graph = review(draft, sign_off, publish, version="2")
    graph.migrate("1", nodes={"approve": "sign_off"})
    assert (await go_on(url, graph)).ok is True


async def test_a_pending_node_that_is_gone_for_good_is_withdrawn_with_its_question(tmp_path: Path) -> None:
    def both(*middle: Any, version: str = "1") -> Graph[Any]:
        graph = Graph(Review, name="review", version=version)
        graph.start(draft)
        graph.edge(draft, [announce, *middle])
        graph.edge(announce, second)
        if middle:
            graph.edge(middle[0], second)
        return graph

    @ask(writes="ok")
    async def second(text: str) -> Question[bool]:
        return Question("Second?")

    url = database(tmp_path)
    await parked(url, both(approve), Review(text="a"))
    await refused(url, both())
    graph = both(version="2")
    graph.migrate("1", nodes={"approve": None})
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        await run.resume()
        assert [q.id for q in asked(await run.wait())] == ["second"]
        told = [type(e).__name__ async for e in run.events(follow=False)]
        assert told[told.index("RunMoved") :][:3] == ["RunMoved", "QuestionWithdrawn", "NodeWithdrawn"]
        await run.answer("second", True)
        assert done(await run.wait()).log == ["draft a", "announce"]


class Priced(Review):
    price: float


class Commented(Review):
    comment: str = "none"


class Graded(Review):
    grade: str = later()


async def test_a_new_field_with_a_default_goes_on_by_itself(tmp_path: Path) -> None:
    @node(writes="log")
    async def tell(comment: str) -> str:
        return comment

    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    graph = review(draft, approve, publish, tell, state=Commented)
    state = await go_on(url, graph, answer=("approve", True))
    assert state.log == ["draft a", "publish True", "none"]
    assert state.comment == "none"


async def test_a_new_required_field_needs_a_value_from_a_migration(tmp_path: Path) -> None:
    @node(writes="log")
    async def bill(price: float) -> str:
        return f"costs {price}"

    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="abc"))
    error = await refused(url, review(draft, approve, publish, bill, state=Priced))
    assert error.why == ("field 'price' is new and has no default",)
    assert any('review.migrate("1", fields={"price": lambda old: ...})' in line for line in error.mends)
    graph = review(draft, approve, publish, bill, state=Priced, version="2")
    graph.migrate("1", fields={"price": lambda old: float(len(old["text"]))})
    state = await go_on(url, graph, answer=("approve", True))
    assert (state.price, state.log[-1]) == (3.0, "costs 3.0")


async def test_a_later_field_must_be_written_by_what_is_still_to_run(tmp_path: Path) -> None:
    @node(writes="grade")
    async def grade() -> str:
        return "good"

    @node(writes="log")
    async def tell(grade: str) -> str:
        return grade

    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    error = await refused(url, review(draft, grade, approve, publish, tell, state=Graded))
    assert "field 'grade' is new, and 'tell' reads it before anything that is still to run writes it" in error.why
    state = await go_on(url, review(draft, approve, publish, grade, tell, state=Graded), answer=("approve", True))
    assert state.log[-1] == "good"


class Short(State):
    text: str
    ok: bool = later()


async def test_a_removed_field_with_a_value_is_refused_until_a_migration_leaves_it_behind(tmp_path: Path) -> None:
    @node
    async def quiet(ok: bool) -> None: ...

    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    error = await refused(url, review(approve, quiet, state=Short))
    assert error.why == ("field 'log' is gone, and it holds a value",)
    assert any('fields={"log": None}' in line for line in error.mends)
    graph = review(approve, quiet, state=Short, version="2")
    graph.migrate("1", fields={"log": None})
    state = await go_on(url, graph, answer=("approve", True))
    assert state == Short(text="a", ok=True)


class Renamed(State):
    title: str
    ok: bool | None = later()
    log: Annotated[list[str | int], append] = []


async def test_fields_are_renamed_and_types_may_take_more(tmp_path: Path) -> None:
    @ask(name="approve", writes="ok")
    async def approve_title(title: str) -> Question[bool]:
        return Question("?")

    @node(writes="log")
    async def count(title: str) -> int:
        return len(title)

    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="abc"))
    graph = review(approve_title, count, state=Renamed, version="2")
    graph.migrate("1", fields={"text": "title"})
    state = await go_on(url, graph, answer=("approve", True))
    assert state == Renamed(title="abc", ok=True, log=["draft abc", 3])


class Narrow(State):
    text: str
    ok: bool = later()
    log: Annotated[list[int], append] = []


async def test_a_field_that_takes_less_or_folds_otherwise_is_refused(tmp_path: Path) -> None:
    class Plain(State):
        text: str
        ok: bool = later()
        log: list[str] = []

    @node
    async def quiet(ok: bool) -> None: ...

    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    error = await refused(url, review(approve, quiet, state=Narrow))
    assert error.why == ("field 'log' was list[str], and is list[int], and it holds a value",)
    error = await refused(url, review(approve, quiet, state=Plain))
    assert error.why == ("field 'log' was folded by append, and is by nothing, and it holds a value",)
    graph = review(approve, quiet, state=Narrow, version="2")
    graph.migrate("1", fields={"log": lambda old: [len(entry) for entry in old["log"]]})
    assert (await go_on(url, graph, answer=("approve", True))).log == [7]


# -- loops, joins, eaches, graphs inside ---------------------------------------------------------------


def looped(*, loop: bool, version: str = "1", first: Any = draft) -> Graph[Any]:
    graph = Graph(Review, name="review", version=version)
    graph.start(first)
    graph.chain(first, approve)
    if loop:
        graph.switch(approve, "ok", {True: publish, False: first})
    else:
        graph.edge(approve, publish)
    return graph


async def test_a_loop_around_a_live_position_is_refused_until_a_migration_names_the_node(tmp_path: Path) -> None:
    url = database(tmp_path)
    await parked(url, looped(loop=False), Review(text="a"))
    error = await refused(url, looped(loop=True))
    assert error.why == ("'approve' waits for a person, and the loops, eaches and graphs around it are not the same",)
    assert any('nodes={"approve": "approve"}' in line for line in error.mends)
    graph = looped(loop=True, version="2")
    graph.migrate("1", nodes={"approve": "approve"})
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        await run.answer("approve", False)
        (question,) = asked(await run.wait())
        assert question.id == "approve@1"
        await run.answer(question.id, True)
        assert done(await run.wait()).log == ["draft a", "draft a", "publish True"]


async def test_a_loop_that_is_gone_is_left_in_the_turn_that_the_run_had(tmp_path: Path) -> None:
    url = database(tmp_path)
    old = looped(loop=True)
    async with Engine(url, graphs=[old]) as engine:
        run = await engine.start(old, Review(text="a"), key="k")
        asked(await run.wait())
        await run.answer("approve@0", False)
        assert [q.id for q in asked(await run.wait())] == ["approve@1"]
    await refused(url, looped(loop=False))
    graph = looped(loop=False, version="2")
    graph.migrate("1", nodes={"approve": "approve"})
    state = await go_on(url, graph, answer=("approve@1", True))
    assert state.log == ["draft a", "draft a", "publish True"]


class Work(State):
    jobs: list[int] = []
    results: Annotated[list[int], append] = []
    ok: bool = later()
    total: int = later()


@node(writes="results")
async def job(n: Item[int]) -> int:
    return n * 10


@ask(writes="results")
async def look(n: Item[int]) -> Question[int]:
    return Question(f"How much is {n}?")


@node
async def begin() -> None: ...


@node(writes="total")
async def collect(results: list[int]) -> int:
    return sum(results)


@node
async def report(total: int) -> None: ...


def fan_out(*after: Any, version: str = "1", work: Any = look) -> Graph[Any]:
    graph = Graph(Work, name="review", version=version)
    graph.start(begin)
    graph.each(begin, "jobs", work, collect=collect)
    graph.chain(collect, *after)
    return graph


async def test_an_each_goes_on_where_it_was(tmp_path: Path) -> None:
    url = database(tmp_path)
    old = fan_out()
    async with Engine(url, graphs=[old]) as engine:
        run = await engine.start(old, Work(jobs=[1, 2, 3]), key="k")
        assert len(asked(await run.wait())) == 3
        await run.answer("look#1", 20)
        assert len(asked(await run.wait())) == 2
    graph = fan_out(report)
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        await run.answer("look#0", 10)
        await run.answer("look#2", 30)
        state = done(await run.wait())
        assert (state.results, state.total) == ([10, 20, 30], 60)


async def test_an_each_that_goes_over_something_else_is_refused(tmp_path: Path) -> None:
    def doubled(jobs: list[int]) -> list[int]:
        return [*jobs, *jobs]

    url = database(tmp_path)
    await parked(url, fan_out(), Work(jobs=[1, 2]))
    graph = Graph(Work, name="review")
    graph.start(begin)
    graph.each(begin, doubled, look, collect=collect)
    error = await refused(url, graph)
    assert error.why == ("the each after 'begin' is at work over 'jobs', and goes over 'doubled' now",)


def joined(*, extra: bool = False, other: Any = None, version: str = "1") -> Graph[Any]:
    graph = Graph(Review, name="review", version=version)
    graph.start(draft)
    side = announce if other is None else other
    graph.edge(draft, [side, approve])
    graph.edge([side, approve], publish)
    if extra:
        graph.edge(publish, last_one)
    return graph


@node(writes="log")
async def last_one() -> str:
    return "last"


@node(writes="log")
async def shout() -> str:
    return "shout"


async def test_a_join_in_progress_keeps_what_has_come(tmp_path: Path) -> None:
    url = database(tmp_path)
    await parked(url, joined(), Review(text="a"))
    state = await go_on(url, joined(extra=True), answer=("approve", True))
    assert state.log == ["draft a", "announce", "publish True", "last"]


async def test_a_token_of_a_node_that_is_gone_is_refused_until_a_migration_says_what_it_is_called(
    tmp_path: Path,
) -> None:
    url = database(tmp_path)
    await parked(url, joined(), Review(text="a"))
    error = await refused(url, joined(other=shout))
    assert error.why == (
        "'publish' waits for more, with what came from 'announce', and there is no 'announce' any more",
    )
    graph = joined(other=shout, version="2")
    graph.migrate("1", nodes={"announce": "shout"})
    state = await go_on(url, graph, answer=("approve", True))
    assert state.log == ["draft a", "announce", "publish True"]


async def test_nothing_that_has_run_already_is_led_to_again(tmp_path: Path) -> None:
    url = database(tmp_path)
    old = review(draft, approve, publish)
    old.edge(draft, announce)
    await parked(url, old, Review(text="a"))
    graph = review(draft, approve, publish)
    graph.edge(draft, announce)
    graph.edge(approve, announce)
    error = await refused(url, graph)
    assert error.why == ("'approve' is live and leads to 'announce' now, which has run already",)


def inner(*steps: Any) -> Graph[Any]:
    graph = Graph(Review, name="inner")
    graph.start(steps[0])
    graph.chain(*steps)
    return graph


async def test_a_graph_inside_goes_on_inside(tmp_path: Path) -> None:
    def outer(*steps: Any, version: str = "1", name: str = "inner") -> Graph[Any]:
        graph = Graph(Review, name="review", version=version)
        graph.start(announce)
        graph.edge(announce, inside := graph.add(inner(*steps), name=name))
        graph.edge(inside, last_one)
        return graph

    url = database(tmp_path)
    await parked(url, outer(draft, approve), Review(text="a"))
    await refused(url, outer(draft, approve, publish, name="desk"))
    state = await go_on(url, outer(draft, approve, publish), answer=("inner/approve", True))
    assert state.log == ["announce", "draft a", "publish True", "last"]
    await parked(url, outer(draft, approve), Review(text="b"), key="b")
    graph = outer(draft, approve, publish, name="desk", version="2")
    graph.migrate("1", nodes={"inner": "desk"})
    state = await go_on(url, graph, answer=("inner/approve", True), key="b")
    assert state.log == ["announce", "draft b", "publish True", "last"]


# -- readers, snapshots, several moves ------------------------------------------------------------------


async def test_a_run_moves_twice_and_everybody_reads_it_alike(tmp_path: Path) -> None:
    @ask(writes="ok")
    async def third(text: str) -> Question[bool]:
        return Question("Third?")

    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    two = review(draft, approve, third, publish, version="2", state=Commented)
    async with Engine(url, graphs=[two]) as engine:
        run = await engine.get("k", two)
        await run.answer("approve", False)
        assert [q.id for q in asked(await run.wait())] == ["third"]
        middle = [e async for e in run.events(follow=False)]
    three = review(draft, approve, sign_off, publish, announce, version="3", state=Commented)
    three.migrate("1", nodes={"approve": "sign_off"})
    three.migrate("2", nodes={"third": "sign_off"})
    state = await go_on(url, three, answer=("third", True))
    assert (state.log, state.comment) == (["draft a", "publish True", "announce"], "none")
    async with Engine(url, graphs=[three]) as engine:
        run = await engine.get("k", three)
        assert await run.state() == state
        steps = await run.history()
        moves = [step.number for step in steps if step.what == "RunMoved"]
        assert len(moves) == 2
        assert (await run.state_at(moves[0] - 1)).log == ["draft a"]
        assert (await run.state_at(moves[1])).ok is False
        assert await run.state_at(len(steps) - 1) == state
        told = [e async for e in run.events(follow=False)]
        assert told[: len(middle)] == middle
        assert [(e.was, e.version) for e in told if isinstance(e, public.RunMoved)] == [("1", "2"), ("2", "3")]
        again = [e async for e in run.events(after=told[3].cursor, follow=False)]
        assert again == told[4:]
        assert (await run.record()).status == "done"
        assert "done" in str(await run.explain())


async def test_migrations_follow_one_another(tmp_path: Path) -> None:
    class Later(State):
        text: str
        ok: bool = later()
        notes: list[str] = []
        size: int = 0

    @node
    async def quiet(ok: bool) -> None: ...

    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="abc"))
    graph = review(sign_off, quiet, state=Later, version="3")
    graph.migrate("1", nodes={"approve": "check"}, fields={"log": "entries"})
    graph.migrate(
        "2",
        nodes={"check": "sign_off"},
        fields={"entries": None, "notes": lambda old: [*old["entries"], "moved"]},
        state=lambda old: {"size": len(old["text"])},
    )
    state = await go_on(url, graph, answer=("approve", True))
    assert state == Later(text="abc", ok=True, notes=["draft abc", "moved"], size=3)


@pytest.mark.parametrize("rows", [1, 4])
async def test_snapshots_before_and_after_a_move_change_nothing(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestra_graph.runtime import scribe

    monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", rows)
    monkeypatch.setattr(scribe, "_SNAPSHOT_GROWTH", 0)
    url = database(tmp_path)
    await parked(url, joined(), Review(text="a"))
    graph = joined(extra=True, version="2")
    state = await go_on(url, graph, answer=("approve", True))
    assert state.log == ["draft a", "announce", "publish True", "last"]
    async with Engine(url, graphs=[graph]) as engine:
        assert await (await engine.get("k", graph)).state() == state


# -- who may move what ----------------------------------------------------------------------------------


async def test_code_of_an_older_version_leaves_a_run_alone_that_has_moved(tmp_path: Path) -> None:
    url = database(tmp_path)
    old, new = review(draft, approve, publish), review(draft, approve, publish, announce, version="2")
    await parked(url, old, Review(text="a"))
    async with Engine(url, graphs=[new]) as engine:
        run = await engine.get("k", new)
        await run.resume()
        asked(await run.wait())
    error = await refused(url, old)
    assert error.why == ("it had this form before, and went on with that of version '2'",)
    error = await refused(url, review(draft, approve, announce, publish))
    assert error.why == ("it is of version '2', and this code is version '1', an older one",)
    assert (await go_on(url, new, answer=("approve", True))).log[-1] == "announce"


async def test_a_run_of_another_form_that_has_ended_is_read_as_it_is(tmp_path: Path) -> None:
    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    state = await go_on(url, review(draft, approve, publish), answer=("approve", True))
    async with Engine(url, graphs=[review(draft, sign_off)]) as engine:
        run = await engine.get("k")
        assert await run.state() == state
        assert done(await run.wait()) == state
        assert await events(run, "RunMoved") == []


async def test_of_two_engines_with_two_versions_the_newer_one_keeps_the_run(tmp_path: Path) -> None:
    url = database(tmp_path)
    old, new = review(draft, approve, publish), review(draft, approve, publish, announce, version="2")
    async with Engine(url, graphs=[old]) as before, Engine(url, graphs=[new]) as after:
        first = await before.start(old, Review(text="a"), key="k")
        asked(await first.wait())
        second = await after.get("k", new)
        await second.resume()
        asked(await second.wait())
        with pytest.raises(GraphChanged, match="it had this form before"):
            await first.wait()
        await first.answer("approve", True)  # anybody may answer, whatever code they have
        assert done(await second.wait()).log[-1] == "announce"
        assert done(await first.wait()).log[-1] == "announce"
        row = await before.store.find("k")
        assert row is not None
        assert (row.version, row.fingerprint) == ("2", new.compile().fingerprint)


async def test_a_pinned_run_is_never_moved(tmp_path: Path) -> None:
    url = database(tmp_path)
    old = review(draft, approve, publish)
    async with Engine(url, graphs=[old]) as engine:
        asked(await (await engine.start(old, Review(text="a"), key="k", pinned=True)).wait())
    for version in ("1", "2"):
        error = await refused(url, review(draft, approve, publish, announce, version=version))
        assert "pinned to version '1'" in str(error)
    assert (await go_on(url, old, answer=("approve", True))).ok is True


async def test_a_failed_run_is_retried_with_other_code(tmp_path: Path) -> None:
    @node(name="publish", writes="log")
    async def broken(text: str) -> str:
        raise ValueError("no")

    url = database(tmp_path)
    async with Engine(url, graphs=[graph := review(draft, broken)]) as engine:
        run = await engine.start(graph, Review(text="a", ok=True), key="k")
        assert type(await run.wait()).__name__ == "Failed"

    @node(name="publish", writes="log")
    async def mended(text: str) -> str:
        return "published"

    graph = review(draft, mended, announce)
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        await run.retry()
        assert done(await run.wait()).log == ["draft a", "published", "announce"]
        assert (await events(run))[-5:] == ["RunMoved", "RunRetried", "NodeFinished", "NodeFinished", "RunEnded"]


async def test_a_run_that_moved_is_forked_before_and_after_the_move(tmp_path: Path) -> None:
    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    graph = review(draft, approve, publish, announce, version="2")
    state = await go_on(url, graph, answer=("approve", True))
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        move = next(step.number for step in await run.history() if step.what == "RunMoved")
        for at in (move - 1, move, move + 1):
            fork = await run.fork(at=at, key=f"fork {at}")
            assert done(await fork.wait()) == state
            assert (await events(fork)).count("RunMoved") == 1


async def test_the_same_key_finds_a_run_of_an_older_form(tmp_path: Path) -> None:
    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    graph = review(draft, approve, publish, state=Commented)
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, Commented(text="a"), key="k")
        await run.answer("approve", True)
        assert done(await run.wait()).comment == "none"


async def test_a_migration_that_raises_or_gives_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    @node
    async def bill(price: float) -> None: ...

    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    graph = review(draft, approve, publish, bill, state=Priced, version="2")
    graph.migrate("1", fields={"price": lambda old: old["gone"]})
    error = await refused(url, graph)
    assert "the migration from version '1' raised KeyError: 'gone'" in error.why
    graph = review(draft, approve, publish, bill, state=Priced, version="2")
    graph.migrate("1", fields={"price": lambda old: "much"})
    error = await refused(url, graph)
    assert error.why[-1].startswith("field 'price' would begin with 'much', which does not fit")


async def test_a_new_private_field_of_a_graph_that_is_under_way_begins_with_its_default(tmp_path: Path) -> None:
    class Desk(State):
        ok: bool = later()
        private: int = 1

    class Desk2(Desk):
        more: str = "more"

    @ask(name="approve", writes="ok")
    async def asks() -> Question[bool]:
        return Question("?")

    @node(writes="private")
    async def tell(more: str) -> int:
        return len(more)

    def outer(state: type[State], *steps: Any) -> Graph[Any]:
        desk = Graph(state, name="desk")
        desk.start(steps[0])
        desk.chain(*steps)
        graph = Graph(Review, name="review")
        graph.start(desk)
        graph.edge(desk, publish)
        return graph

    url = database(tmp_path)
    await parked(url, outer(Desk, asks), Review(text="a"))
    state = await go_on(url, outer(Desk2, asks, tell), answer=("desk/approve", True))
    assert (state.ok, state.log) == (True, ["publish True"])


async def test_what_waits_for_a_message_goes_on_waiting(tmp_path: Path) -> None:
    def graph_of(*more: Any) -> Graph[Any]:
        graph = Graph(Review, name="review")
        word = receive("words", str, writes="log")
        graph.start(word)
        graph.chain(word, *more)
        return graph

    url = database(tmp_path)
    async with Engine(url, graphs=[old := graph_of(announce)]) as engine:
        run = await engine.start(old, Review(text="a"), key="k")
        await run.wait()
    async with Engine(url, graphs=[new := graph_of(announce, last_one)]) as engine:
        run = await engine.get("k", new)
        await run.send("words", "hello")
        assert done(await run.wait()).log == ["hello", "announce", "last"]


async def test_a_step_that_is_done_is_not_done_again_under_another_form(tmp_path: Path) -> None:
    did: list[str] = []

    def graph_of(broken: bool, *more: Any, name: str = "work", version: str = "1") -> Graph[Any]:
        @node(name=name, writes="log")
        async def work(ctx: Context) -> str:
            async def effect() -> str:
                did.append("effect")
                return "done"

            said = await ctx.step("effect", effect, returns=str)
            if broken:
                raise ValueError("no")
            return said

        return review(work, *more, version=version)

    url = database(tmp_path)
    async with Engine(url, graphs=[old := graph_of(True)]) as engine:
        run = await engine.start(old, Review(text="a"), key="k")
        await run.wait()
    new = graph_of(False, announce, name="labour", version="2")
    new.migrate("1", nodes={"work": "labour"})
    async with Engine(url, graphs=[new]) as engine:
        run = await engine.get("k", new)
        await run.retry()
        assert done(await run.wait()).log == ["done", "announce"]
    assert did == ["effect"]


async def test_a_join_that_does_without_a_branch_that_failed_is_carried_over(tmp_path: Path) -> None:
    @node(writes="log")
    async def wrong(text: str) -> str:
        raise ValueError("no")

    def graph_of(*more: Any, version: str = "1", asker: Any = approve) -> Graph[Any]:
        graph = Graph(Review, name="review", version=version)
        graph.start(draft)
        graph.edge(draft, [wrong, asker, announce])
        graph.edge([wrong, asker, announce], publish_log)
        graph.join(publish_log, first(2))
        graph.chain(publish_log, *more)
        return graph

    @node(writes="log")
    async def publish_log() -> str:
        return "out"

    url = database(tmp_path)
    await parked(url, graph_of(last_one), Review(text="a"))
    new = graph_of(last_one, shout, version="2", asker=sign_off)
    new.migrate("1", nodes={"approve": "sign_off"})
    state = await go_on(url, new, answer=("approve", True))
    assert state.log == ["draft a", "announce", "out", "last", "shout"]


async def test_a_run_in_memory_moves_too() -> None:
    old, new = review(draft, approve, publish), review(draft, approve, publish, announce, version="2")
    async with Engine(graphs=[old]) as engine:
        run = await engine.start(old, Review(text="a"), key="k")
        asked(await run.wait())
        run = await engine.get("k", new)
        await run.answer("approve", True)
        assert done(await run.wait()).log == ["draft a", "publish True", "announce"]


async def test_a_private_field_that_nobody_will_give_is_refused(tmp_path: Path) -> None:
    class Desk(State):
        ok: bool = later()

    class Given(Desk):
        reason: str

    @ask(name="approve", writes="ok")
    async def asks() -> Question[bool]:
        return Question("?")

    @node
    async def tell(reason: str) -> None: ...

    def outer(state: type[State], *steps: Any, **more: Any) -> Graph[Any]:
        desk = Graph(state, name="desk")
        desk.start(steps[0])
        desk.chain(*steps)
        graph = Graph(Review, name="review")
        graph.start(called := graph.add(desk, **more))
        graph.edge(called, publish)
        return graph

    url = database(tmp_path)
    await parked(url, outer(Desk, asks), Review(text="a"))
    error = await refused(url, outer(Given, asks, tell, inputs={"reason": "text"}))
    what = "field 'desk/reason' is new, and 'desk/tell' reads it before anything that is still to run writes it"
    assert error.why == (what,)


async def test_who_waits_for_a_run_moves_it_where_the_new_code_has_something_to_do(tmp_path: Path) -> None:
    """The migration takes away what it waits for: nobody will say anything to it."""
    url = database(tmp_path)
    await parked(url, review(draft, approve, announce), Review(text="a"))
    after = Graph(Review, name="review", version="2")
    after.start(draft)
    after.edge(draft, approve_itself)
    after.edge(approve_itself, announce)
    after.migrate("1", nodes={"approve": "approve_itself"})
    assert (await go_on(url, after)).log == ["draft a", "announce"]


@node(writes="ok")
async def approve_itself() -> bool:
    return True
