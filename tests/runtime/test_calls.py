"""Graphs in graphs: what they share, what is their own, and everything that may stand in one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from orchestra_graph import (
    END,
    Context,
    Engine,
    Graph,
    GraphError,
    Item,
    NotWritten,
    Patch,
    Question,
    Resource,
    Retry,
    State,
    add,
    append,
    ask,
    each_one,
    extend,
    first,
    later,
    node,
    until,
)
from orchestra_graph import events as public
from orchestra_graph.errors import NodeTimeout
from orchestra_graph.render.picture import picture_of_run
from orchestra_graph.render.text import text_of
from orchestra_graph.runtime.records import shape_of

from .common import asked, both_stores, database, done, failed, url_of, virtual
from .stage import Board, Stage, ids, note, ran
from .virtual import elapsed, in_virtual_time


class Shop(State):
    text: str = "order 7"
    log: Annotated[list[str], append] = []
    facts: Annotated[list[str], extend] = []
    items: list[str] = ["a", "b", "c"]
    verdicts: Annotated[list[str], append] = []
    verdict: str = ""
    total: Annotated[int, add] = 0
    ok: bool = False
    turns: int = 0


class Review(State):
    """Shares ``text``, ``log`` and ``facts`` with `Shop`; the rest is its own."""

    text: str
    log: Annotated[list[str], append] = []
    facts: Annotated[list[str], extend] = []
    notes: Annotated[list[str], append] = []
    draft: str = later()
    rounds: int = 0
    opinion: Literal["good", "bad"] = later()


@node(writes="draft")
async def write(text: str, rounds: int) -> str:
    return f"{text} v{rounds}"


@node(writes="notes")
async def remember(draft: str) -> str:
    return draft


@node(writes="facts")
async def learn(draft: str) -> list[str]:
    return [f"fact of {draft}"]


@node(writes="opinion")
async def judge(notes: list[str]) -> Literal["good", "bad"]:
    return "good" if len(notes) > 1 else "bad"


@node(writes="rounds")
async def again(rounds: int) -> int:
    return rounds + 1


def review(name: str = "review") -> Graph[Review]:
    """A loop over private fields: the second draft is good."""
    graph = Graph(Review, name=name)
    graph.start(write)
    graph.edge(write, [remember, learn])
    graph.edge([remember, learn], judge)
    graph.switch(judge, "opinion", {"bad": again, "good": END})
    graph.edge(again, write)
    return graph


@node(writes="turns")
async def turn(turns: int) -> int:
    return turns + 1


def few(turns: int) -> bool:
    return turns < 3


# -- fields ------------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_what_is_shared_is_the_same_field_and_what_is_appended_is_appended_once(
    place: str, tmp_path: Path
) -> None:
    graph = Graph(Shop, name="shop")
    called = graph.add(review(), outputs={"draft": "verdict", "notes": "facts"})
    graph.start(called)
    graph.edge(called, note("after"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Shop(facts=["known"]))).wait())
    learned = ["fact of order 7 v0", "fact of order 7 v1"]
    assert state.facts == ["known", *learned, "order 7 v0", "order 7 v1"]  # and its notes, as one operand, at its end
    assert state.verdict == "order 7 v1"
    assert not hasattr(state, "notes")


@both_stores
@pytest.mark.asyncio
async def test_its_own_fields_are_fresh_each_time(place: str, tmp_path: Path) -> None:
    graph = Graph(Shop, name="shop")
    called = graph.add(review(), outputs={"draft": "verdicts"})
    graph.start(turn)
    graph.edge(turn, called)
    graph.edge(called, turn, when=few)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        state = done(await run.wait())
        assert state.verdicts == ["order 7 v1"] * 3
        assert len(state.facts) == 6
        assert "review/write@2.1" in ids(await run.record(), "done")


class Noted(State):
    log: Annotated[list[str], append] = []
    said: Annotated[list[str], append]
    doubled: Annotated[int, add] = 10
    first: str = later()


@pytest.mark.asyncio
async def test_inputs_fill_own_fields_even_those_with_reducers_and_outputs_go_into_reducers() -> None:
    class Outer(State):
        log: Annotated[list[str], append] = []
        lines: list[str] = ["one", "two"]
        total: Annotated[int, add] = 5

    @node(writes="said")
    async def say(said: list[str]) -> str:
        return f"after {len(said)}"

    @node(writes="doubled")
    async def double(doubled: int) -> int:
        return doubled

    @node(writes="log")
    async def tell(said: list[str], doubled: int) -> str:
        return f"{said} {doubled}"

    inner = Graph(Noted, name="inner")
    inner.start([say, double])
    inner.edge([say, double], tell)
    graph = Graph(Outer, name="outer")
    called = graph.add(inner, inputs={"said": "lines"}, outputs={"doubled": "total"})
    graph.start(called)
    graph.edge(called, note("after"))
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Outer())).wait())
    assert state.log == ["['one', 'two', 'after 2'] 20", "after"]
    assert state.total == 25
    assert state.lines == ["one", "two"]


@pytest.mark.asyncio
async def test_an_input_may_be_a_path_or_a_function_and_may_part_from_a_shared_name() -> None:
    class Copy(State):
        text: str
        size: int
        log: Annotated[list[str], append] = []

    def shout(text: str) -> str:
        return text.upper()

    def size(items: list[str]) -> int:
        return len(items)

    @node
    async def change() -> None: ...

    @node(writes="text")
    async def rewrite(text: str, size: int) -> str:
        return f"{text} {size}"

    @node(writes="log")
    async def tell(text: str) -> str:
        return text

    inner = Graph(Copy, name="inner")
    inner.start(rewrite)
    inner.edge(rewrite, tell)
    graph = Graph(Shop, name="outer")
    graph.start(graph.add(inner, inputs={"text": shout, "size": size}))
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Shop())).wait())
    assert state.log == ["ORDER 7 3"]
    assert state.text == "order 7"  # its own text, not the one outside


def test_what_comes_out_must_have_been_written_on_every_path() -> None:
    class Maybe(State):
        ok: bool
        found: str = later()

    @node(writes="found")
    async def find() -> str:
        return "found"

    inner = Graph(Maybe, name="inner")
    inner.start(look := node(name="look")(_nothing))
    inner.switch(look, "ok", {True: find, False: END})
    graph = Graph(Shop, name="outer")
    graph.start(graph.add(inner, outputs={"found": "verdict"}))
    with pytest.raises(GraphError, match="found"):
        graph.compile()


async def _nothing() -> None:
    return None


@pytest.mark.asyncio
async def test_a_parameter_of_the_calls_state_is_a_snapshot_of_its_fields() -> None:
    seen: list[Review] = []

    @node
    async def look(state: Review) -> None:
        seen.append(state)

    inner = Graph(Review, name="review")
    inner.start(write)
    inner.edge(write, look)
    graph = Graph(Shop, name="shop")
    graph.start(inner)
    graph.edge(inner, note("after"))
    async with Engine(graphs=[graph]) as engine:
        done(await (await engine.start(graph, Shop(facts=["f"]))).wait())
    [state] = seen
    assert isinstance(state, Review)
    assert (state.text, state.facts, state.draft, state.rounds) == ("order 7", ["f"], "order 7 v0", 0)
    with pytest.raises(NotWritten):
        assert state.opinion


@pytest.mark.asyncio
async def test_a_patch_inside_writes_own_and_shared_fields() -> None:
    class Both(Patch[Review]):
        draft: str
        facts: list[str]

    @node
    async def both() -> Both:
        return Both(draft="d", facts=["f"])

    @node(writes="log")
    async def tell(draft: str, facts: list[str]) -> str:
        return f"{draft} {facts}"

    inner = Graph(Review, name="review")
    inner.start(both)
    inner.edge(both, tell)
    graph = Graph(Shop, name="shop")
    graph.start(inner)
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Shop())).wait())
    assert (state.facts, state.log) == (["f"], ["d ['f']"])


@pytest.mark.asyncio
async def test_conditions_and_switches_over_own_fields() -> None:
    class Choosing(State):
        log: Annotated[list[str], append] = []
        size: int = 3
        words: list[str] = ["x", "y"]

    def large(size: int) -> bool:
        return size > 2

    def sort(words: list[str]) -> Literal["none", "some"]:
        return "some" if words else "none"

    inner = Graph(Choosing, name="inner")
    inner.start(note("begin"))
    inner.edge("begin", note("large"), when=large)
    inner.edge("begin", note("small"), otherwise=True)
    inner.switch("large", sort, {"some": note("some"), "none": note("none")})
    inner.edge("some", note("by_name"), when="words")
    graph = Graph(Board, name="outer")
    graph.start(inner)
    assert await ran(graph) == [f"inner/{n}" for n in ("begin", "large", "some", "by_name")]


@pytest.mark.asyncio
async def test_a_join_over_own_fields() -> None:
    """`until` inside of a graph in an each: every element has votes of its own."""

    class Poll(State):
        who: Item[str]
        log: Annotated[list[str], append] = []
        votes: Annotated[list[str], append] = []

    stage = Stage()

    def voter(name: str) -> Any:
        @node(writes="votes", name=name)
        async def vote(who: str, ctx: Context) -> str:
            await stage.wait(ctx)
            return f"{name} of {who}"

        return vote

    @node(writes="log")
    async def count(votes: list[str]) -> str:
        return " and ".join(votes)

    def two(votes: list[str]) -> bool:
        return len(votes) > 1

    inner = Graph(Poll, name="poll")
    voters = [voter(name) for name in ("x", "y", "z")]
    inner.start(voters)
    inner.edge(voters, count)
    inner.join(count, until(two, cancel_rest=True))
    graph = Graph(Shop, name="shop")
    graph.start(turn)
    graph.each(turn, "items", inner, collect=note("collect"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Shop(items=["a", "b"]))
        await stage.begins("poll/x#0", "poll/x#1")
        await stage.end(run, "poll/z#1", "poll/y#0", "poll/x#1", "poll/x#0")
        assert done(await run.wait()).log == ["x of a and y of a", "x of b and z of b", "collect"]
        assert sorted(stage.cancelled) == ["poll/y#1", "poll/z#0"]


@pytest.mark.asyncio
async def test_a_node_inside_may_take_the_element_itself() -> None:
    """Where the graph is the work of an each, and has no field for it."""

    @node(writes="log")
    async def look(element: Item[str]) -> str:
        return element

    inner = Graph(Board, name="inner")
    inner.start(look)
    graph = Graph(Board, name="outer")
    graph.start(begin := node(name="begin")(_nothing))
    graph.each(begin, "items", inner, collect=note("collect"))
    assert await ran(graph) == ["a", "b", "c", "collect"]


@pytest.mark.asyncio
async def test_an_each_over_a_graph_may_come_back_to_its_source() -> None:
    """The loop of an agent: plan, do all of it side by side, plan again."""

    class Agent(State):
        log: Annotated[list[str], append] = []
        items: list[str] = later()

    class Tool(State):
        call: Item[str]
        log: Annotated[list[str], append] = []
        own: str = ""

    @node(writes="items")
    async def plan(log: list[str]) -> list[str]:
        return ["x", "y"] if len(log) < 4 else []

    @node(writes="own")
    async def prepare(call: str, own: str) -> str:
        return f"{own}{call}"

    @node(writes="log")
    async def use(own: str) -> str:
        return own

    inner = Graph(Tool, name="tool")
    inner.start(prepare)
    inner.edge(prepare, use)
    graph = Graph(Agent, name="agent")
    graph.start(plan)
    graph.each(plan, "items", inner, collect=plan)
    async with Engine(graphs=[graph]) as engine:
        assert done(await (await engine.start(graph, Agent())).wait()).log == ["x", "y", "x", "y"]


# -- where it ends -------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_it_ends_when_all_in_it_has_ended_by_end_by_no_edge_or_by_none_taken(place: str, tmp_path: Path) -> None:
    """Several starts, several ends; what is behind it starts once."""
    stage = Stage()
    inner = Graph(Board, name="inner")
    a, b, c = stage.nodes("a", "b", "c")
    inner.start([a, b, c])
    inner.edge(a, END)
    inner.edge(b, note("never"), when="ok")
    graph = Graph(Board, name="outer")
    graph.start(inner)
    graph.edge(inner, note("after"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.end(run, "inner/c", "inner/a")
        assert "after" not in [a.id for a in (await run.record()).activations]
        await stage.end(run, "inner/b")
        assert done(await run.wait()).log == ["inner/a", "inner/b", "inner/c", "after"]


@pytest.mark.asyncio
async def test_a_graph_without_edges_and_a_graph_behind_a_graph() -> None:
    inner = Graph(Board, name="one")
    inner.start(note("x"))
    other = Graph(Board, name="two")
    other.start(note("x"))
    graph = Graph(Board, name="outer")
    graph.start(inner)
    graph.chain(inner, other, END)
    assert await ran(graph) == ["one/x", "two/x"]


# -- one in another ----------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_two_calls_of_one_graph_side_by_side(place: str, tmp_path: Path) -> None:
    inner = review()
    graph = Graph(Shop, name="shop")
    one = graph.add(inner, name="one", outputs={"draft": "verdicts"})
    other = graph.add(inner, name="other", outputs={"draft": "verdicts"}, inputs={"text": "verdict"})
    graph.start([one, other])
    graph.edge([one, other], note("after"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Shop(verdict="given"))).wait())
    assert state.verdicts == ["order 7 v1", "given v1"]
    assert len(state.facts) == 4


@both_stores
@pytest.mark.asyncio
async def test_calls_in_calls(place: str, tmp_path: Path) -> None:
    class Middle(State):
        text: str
        facts: Annotated[list[str], extend] = []
        log: Annotated[list[str], append] = []
        drafts: Annotated[list[str], append] = []
        rounds: int = 0

    @node(writes="log")
    async def tell(drafts: list[str], rounds: int) -> str:
        return f"{rounds}: {', '.join(drafts)}"

    middle = Graph(Middle, name="middle")
    called = middle.add(review(), outputs={"draft": "drafts"}, inputs={"rounds": "rounds"})
    middle.start(again)
    middle.edge(again, called)
    middle.edge(called, again, when=lambda rounds: rounds < 2)
    middle.edge(called, tell, otherwise=True)
    graph = Graph(Shop, name="shop")
    graph.start(turn)
    graph.edge(turn, middle)
    graph.edge(middle, turn, when=lambda turns: turns < 2)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        assert done(await run.wait()).log == ["2: order 7 v2, order 7 v3"] * 2
        assert "middle/review/write@1.1.1" in ids(await run.record(), "done")


@both_stores
@pytest.mark.asyncio
async def test_in_an_each_with_the_element_as_a_field(place: str, tmp_path: Path) -> None:
    class Word(State):
        word: Item[str]
        seen: str = later()
        log: Annotated[list[str], append] = []

    stage = Stage()

    @node(writes="seen")
    async def look(word: str, ctx: Context) -> str:
        await stage.wait(ctx)
        return word.upper()

    @node(writes="log")
    async def tell(seen: str, ctx: Context) -> str:
        return f"{ctx.id} {seen}"

    inner = Graph(Word, name="word")
    inner.start(look)
    inner.edge(look, tell)
    graph = Graph(Shop, name="shop")
    graph.start(turn)
    work = graph.add(inner, outputs={"seen": "verdicts"})
    graph.each(turn, "items", work, collect=note("collect"), limit=2)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        await stage.begins("word/look#0", "word/look#1")
        assert "word/look#2" not in stage.began  # at most two at once
        await stage.end(run, "word/look#1", "word/look#2", "word/look#0")
        state = done(await run.wait())
    assert state.verdicts == ["A", "B", "C"]
    assert state.log == [*(f"word/tell#{i} {w}" for i, w in enumerate("ABC")), "collect"]


@both_stores
@pytest.mark.asyncio
async def test_with_a_loop_and_an_each_of_its_own_in_an_each_in_a_loop(place: str, tmp_path: Path) -> None:
    class Group(State):
        members: Item[list[str]]
        visited: Annotated[list[str], append] = []
        rounds: int = 0

    @node(writes="visited")
    async def visit(member: Item[str], rounds: int) -> str:
        return f"{member}{rounds}"

    inner = Graph(Group, name="group")
    inner.start(again)
    inner.each(again, "members", visit, collect=(last := node(name="last")(_nothing)))
    inner.edge(last, again, when=lambda rounds: rounds < 2)
    graph = Graph(Outing, name="outing")
    graph.start(turn)
    work = graph.add(inner, outputs={"visited": "found"})
    graph.each(turn, "groups", work, collect=(home := node(name="home")(_nothing)))
    graph.edge(home, turn, when=lambda turns: turns < 2)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Outing())
        state = done(await run.wait())
        assert state.found == ["a1", "b1", "a2", "b2", "c1", "c2"] * 2
        assert "group/visit@1#0@1#1" in ids(await run.record(), "done")


class Outing(State):
    groups: list[list[str]] = [["a", "b"], ["c"]]
    found: Annotated[list[str], extend] = []
    turns: int = 0


# -- people, resources, attempts -----------------------------------------------------------------------------


class Approval(State):
    text: str
    log: Annotated[list[str], append] = []
    granted: bool = later()


@ask(writes="granted")
def approve(text: str) -> Question[bool]:
    return Question(f"Grant {text}?", to="ana")


@node(writes="log")
async def tell_it(granted: bool, ctx: Context) -> str:
    return f"{ctx.id} {granted}"


def approval() -> Graph[Approval]:
    graph = Graph(Approval, name="approval")
    graph.start(approve)
    graph.edge(approve, tell_it)
    return graph


def in_a_loop() -> Graph[Shop]:
    graph = Graph(Shop, name="shop")
    called = graph.add(approval(), name="review")
    graph.start(turn)
    graph.edge(turn, called)
    graph.edge(called, turn, when=few)
    return graph


@both_stores
@pytest.mark.asyncio
async def test_a_question_inside_is_answered_by_its_path(place: str, tmp_path: Path) -> None:
    graph = in_a_loop()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        for number in range(3):
            [question] = asked(await run.wait())
            assert (question.id, question.node) == (f"review/approve@{number}", "review/approve")
            assert question.prompt == "Grant order 7?"
            await run.answer(question.id, number == 1)
        log = done(await run.wait()).log
    assert log == ["review/tell_it@0 False", "review/tell_it@1 True", "review/tell_it@2 False"]


@pytest.mark.asyncio
async def test_a_question_inside_is_answered_from_another_engine_that_has_no_code(tmp_path: Path) -> None:
    graph = in_a_loop()
    url = database(tmp_path)
    for number in range(3):
        async with Engine(url, graphs=[graph]) as engine:
            run = await engine.start(graph, Shop(), key="k")
            assert [q.id for q in asked(await run.wait())] == [f"review/approve@{number}"]
        async with Engine(url) as other:
            await (await other.get("k")).answer(f"review/approve@{number}", True)
    async with Engine(url, graphs=[graph]) as engine:
        assert len(done(await (await engine.get("k", graph)).wait()).log) == 3


@pytest.mark.asyncio
async def test_resources_inside() -> None:
    class Till:
        def __init__(self) -> None:
            self.paid: list[str] = []

    opened: list[str] = []

    @contextmanager
    def named() -> Iterator[str]:
        opened.append("open")
        yield "eu"
        opened.append("closed")

    @node
    async def pay(text: str, till: Annotated[Till, Resource], region: Annotated[str, Resource("region")]) -> None:
        till.paid.append(f"{text} {region}")

    inner = Graph(Approval, name="inner")
    inner.start(pay)
    graph = Graph(Shop, name="shop")
    graph.start(inner)
    till = Till()
    async with Engine(graphs=[graph], resources={"till": till, "region": named()}) as engine:
        done(await (await engine.start(graph, Shop())).wait())
    assert till.paid == ["order 7 eu"]
    assert opened == ["open", "closed"]


@in_virtual_time
async def test_attempts_and_timeouts_inside() -> None:
    tries: list[tuple[str, int, float]] = []

    @node(writes="log", timeout=5, retry=Retry(attempts=3, delay=10, factor=1, jitter=0, on=(NodeTimeout,)))
    async def slow(ctx: Context) -> str:
        tries.append((ctx.idempotency_key, ctx.attempt, elapsed()))
        await asyncio.sleep(60 if ctx.attempt < 3 else 1)
        return ctx.id

    inner = Graph(Board, name="inner")
    inner.start(slow)
    graph = Graph(Board, name="outer")
    graph.start(inner)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board(), key="k")
        assert done(await run.wait()).log == ["inner/slow"]
    assert tries == [("k/inner/slow", 1, 0), ("k/inner/slow", 2, 15), ("k/inner/slow", 3, 30)]


@pytest.mark.asyncio
async def test_plain_functions_inside() -> None:
    @node(writes="log")
    def plain(ctx: Context) -> str:
        return ctx.node

    inner = Graph(Board, name="inner")
    inner.start(plain)
    graph = Graph(Board, name="outer")
    graph.start(inner)
    assert await ran(graph) == ["inner/plain"]


# -- going wrong -------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_what_goes_in_must_fit_and_says_so(place: str, tmp_path: Path) -> None:
    class Typed(State):
        size: int
        log: Annotated[list[str], append] = []

    def broken(text: str) -> int:
        raise LookupError(f"no size of {text}")

    inner = Graph(Typed, name="inner")
    inner.start(note("begin"))
    graph = Graph(Shop, name="shop")
    called = graph.add(inner, inputs={"size": broken})
    graph.start(note("before"))
    graph.edge("before", called)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        outcome = failed(await run.wait(), "LookupError")
        assert outcome.errors[0][0] == "inner"
        assert outcome.state.log == ["before"]


@both_stores
@pytest.mark.asyncio
async def test_a_limit_of_a_graph_as_a_node(place: str, tmp_path: Path) -> None:
    """Its steps, each time that it is entered; what is left of it is withdrawn."""
    stage = Stage()
    inner = Graph(Board, name="inner")
    inner.start([note("one"), note("two"), stage.node("slow")])
    graph = Graph(Board, name="outer")
    graph.start(inner)
    graph.edge(inner, note("whole"))
    graph.limit(inner, steps=2, then=note("cut"))
    assert sorted(await ran(graph, url=url_of(place, tmp_path))) == ["cut", "inner/one", "inner/two"]


@pytest.mark.asyncio
async def test_a_limit_of_how_often_a_graph_is_entered() -> None:
    inner = Graph(Board, name="inner")
    inner.start(note("one"))
    graph = Graph(Board, name="outer")
    graph.start(inner)
    graph.edge(inner, inner)
    graph.limit(inner, turns=2, then=note("after"))
    log = await ran(graph)
    assert [i.partition("~")[0] for i in log] == ["inner/one@0", "inner/one@1", "after"]


@both_stores
@pytest.mark.asyncio
async def test_a_join_rule_of_a_graph(place: str, tmp_path: Path) -> None:
    stage = Stage()
    inner = Graph(Board, name="inner")
    inner.start(note("one"))
    graph = Graph(Board, name="outer")
    graph.start(stage.nodes("a", "b"))
    graph.edge(["a", "b"], inner)
    graph.join(inner, first(cancel_rest=True))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.begins("a")
        await stage.end(run, "b")
        assert done(await run.wait()).log == ["b", "inner/one"]
        assert stage.cancelled == ["a"]


@both_stores
@pytest.mark.asyncio
async def test_each_one_of_a_graph_makes_calls_side_by_side(place: str, tmp_path: Path) -> None:
    graph = Graph(Shop, name="shop")
    called = graph.add(review(), outputs={"draft": "verdicts"})
    graph.start([note("a"), note("b")])
    graph.edge(["a", "b"], called)
    graph.join(called, each_one())
    graph.edge(called, END)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        state = done(await run.wait())
        assert state.verdicts == ["order 7 v1"] * 2
        inside = [i for i in ids(await run.record(), "done") if i.startswith("review/judge")]
        assert len(inside) == len(set(inside)) == 4


@both_stores
@pytest.mark.asyncio
async def test_a_graph_does_without_a_graph_that_failed(place: str, tmp_path: Path) -> None:
    """`first` over graphs: the one whose only branch has failed is not needed."""
    stage = Stage()
    parts = []
    for name in ("one", "two"):
        inner = Graph(Board, name=name)
        inner.start(stage.node("work"))
        parts.append(inner)
    graph = Graph(Board, name="outer")
    graph.start(parts)
    graph.edge(parts, note("join"))
    graph.join("join", first(1))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "one/work")
        await stage.end(run, "two/work")
        assert done(await run.wait()).log == ["two/work", "join"]


def changed(*, more: bool = False, wired: bool = False) -> Graph[Shop]:
    inner = Graph(Review, name="review")
    inner.start(write)
    inner.edge(write, ask_inside)
    if more:
        inner.edge(ask_inside, remember)
    graph = Graph(Shop, name="shop")
    called = graph.add(inner, inputs={"text": "verdict"} if wired else None)
    graph.start(called)
    return graph


@ask(writes="rounds")
def ask_inside() -> Question[int]:
    return Question("How many?")


@pytest.mark.parametrize(
    ("change", "named"), [({"more": True}, "node 'review/remember' is new"), ({"wired": True}, "review/text")]
)
@both_stores
@pytest.mark.asyncio
async def test_a_change_inside_of_a_graph_is_named(change: Any, named: str, place: str, tmp_path: Path) -> None:
    before, after = changed(), changed(**change)
    async with Engine(url_of(place, tmp_path), graphs=[before]) as engine:
        run = await engine.start(before, Shop(), key="k")
        asked(await run.wait())
        again = await engine.get("k", after)
        await again.answer("review/ask_inside", 3)
        done(await again.wait())
        (move,) = [e async for e in again.events(follow=False) if isinstance(e, public.RunMoved)]
        assert any(named in line for line in move.changes)


# -- without the code ----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_another_process_reads_records_and_history_without_the_code(tmp_path: Path) -> None:
    graph = in_a_loop()
    url = database(tmp_path)
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, Shop(), key="k")
        asked(await run.wait())
        await run.answer("review/approve@0", True)
        asked(await run.wait())
        mine, steps = await run.record(), await run.history()
    async with Engine(url) as other:
        run = await other.get("k")  # type: ignore[assignment]
        record = await run.record()
        assert record == mine
        nodes = [i for i in ids(record, "done") if not i.startswith(("review@", "review/END@"))]
        assert nodes == ["turn@0", "review/approve@0", "review/tell_it@0", "turn@1"]
        assert ids(record, "waiting") == ["review/approve@1"]
        assert [step.node for step in await run.history()] == [step.node for step in steps]
        assert "review/approve" in str(await run.explain())
        assert [q.id for q in await run.questions()] == ["review/approve@1"]
        shown = text_of(picture_of_run(await shape_of(other.store, run._row), record))
        assert "review" in shown
        assert "approve" in shown


@both_stores
@pytest.mark.asyncio
async def test_the_state_at_each_step_has_the_fields_outside(place: str, tmp_path: Path) -> None:
    graph = Graph(Shop, name="shop")
    called = graph.add(review(), outputs={"draft": "verdict"})
    graph.start(called)
    graph.edge(called, note("after"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        done(await run.wait())
        states = [await run.state_at(step.number) for step in await run.history()]
        assert all(type(state) is Shop for state in states)
        assert [len(state.facts) for state in states] == sorted(len(state.facts) for state in states)
        assert states[-1].verdict == "order 7 v1"
