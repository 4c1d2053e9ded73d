"""The node cache: what was run on the same is not run again."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, field_validator

from orchestra_graph import (
    END,
    Cache,
    Context,
    Engine,
    Graph,
    GraphError,
    Item,
    Patch,
    Question,
    Resource,
    Run,
    State,
    add,
    append,
    ask,
    later,
    node,
    reducer,
)
from orchestra_graph.core import events as ev
from orchestra_graph.runtime.blobs import LARGE, read_events

from .common import both_stores, database, done, failed, url_of, virtual
from .virtual import in_virtual_time


class Counter:
    """Counts calls; no plain data, so it is no part of a node's code version."""

    def __init__(self) -> None:
        self.calls = 0

    def more(self) -> int:
        self.calls += 1
        return self.calls


class Money:
    """A resource."""


class Desk(State):
    topic: str = "bees"
    tags: set[str] = set()
    when: datetime | None = None
    score: float = 0.0
    report: str = later()
    words: int = later()
    route: str = ""
    log: Annotated[list[str], append] = []
    total: Annotated[int, add] = 0


def desk(*nodes: Any, name: str = "desk", state: Any = Desk) -> Graph[Any]:
    graph: Graph[Any] = Graph(state, name=name)
    graph.start(nodes[0])
    graph.chain(*nodes)
    return graph


def research(counter: Counter, cache: Cache | None = None, word: str = "on") -> Any:
    @node(name="research", writes="report", cache=cache or Cache())
    async def run(topic: str, tags: set[str]) -> str:
        counter.more()
        return f"{word} {topic}"

    return run


async def ran(engine: Engine, graph: Graph[Any], state: Any = None, key: str | None = None) -> Any:
    return done(await (await engine.start(graph, state or Desk(), key=key)).wait())


async def finished(run: Run[Any]) -> list[ev.NodeFinished]:
    rows = await run._engine.store.log(run._row.number)
    found = await read_events(run._engine.store, rows, run._plan())
    return [event for event in found if isinstance(event, ev.NodeFinished)]


# -- hits ------------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_the_second_run_on_the_same_is_given_what_the_first_one_gave(place: str, tmp_path: Path) -> None:
    counter = Counter()
    graph = desk(research(counter))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        first, second = [await engine.start(graph, Desk(), key=key) for key in "ab"]
        assert done(await first.wait()).report == "on bees"
        second = await engine.start(graph, Desk(), key="c")
        assert done(await second.wait()).report == "on bees"
        assert [event.cached for event in await finished(second)] == [True]
        assert [event.writes for event in await finished(second)] == [{"report": "on bees"}]
        calls = counter.calls
        await ran(engine, graph)
        assert counter.calls == calls <= 2, "a and b may both have run"


@pytest.mark.asyncio
async def test_another_process_finds_it_and_so_does_a_turn_of_the_same_run(tmp_path: Path) -> None:
    class Round(State):
        topic: str = "bees"
        turns: Annotated[int, add] = 0
        log: Annotated[list[str], append] = []

    def graph_of(counter: Counter) -> Graph[Round]:
        @node(writes="log", cache=Cache())
        async def look(topic: str) -> str:
            return f"{topic} {counter.more()}"

        @node(writes="turns")
        async def count() -> int:
            return 1

        graph = Graph(Round, name="round")
        graph.start(look)
        graph.edge(look, count)
        graph.edge(count, look, when=lambda turns: turns < 3)
        graph.edge(count, END, otherwise=True)
        return graph

    for expected in (1, 0):
        counter = Counter()
        async with Engine(database(tmp_path), graphs=[graph := graph_of(counter)]) as engine:
            assert (await ran(engine, graph, Round())).log == ["bees 1"] * 3
            assert counter.calls == expected


@pytest.mark.asyncio
async def test_a_hit_survives_a_resume_and_a_large_result_is_kept_once(tmp_path: Path) -> None:
    counter = Counter()

    @node(writes="report", cache=Cache())
    async def write(topic: str) -> str:
        counter.more()
        return "x" * LARGE

    graph = desk(write)
    for key in ("a", "b"):
        async with Engine(database(tmp_path), graphs=[graph]) as engine:
            await ran(engine, graph, key=key)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        for key in ("a", "b"):
            assert (await (await engine.get(key, graph)).state()).report == "x" * LARGE
    assert counter.calls == 1
    with closing(sqlite3.connect(tmp_path / "runs.db")) as base:
        assert base.execute("SELECT count(*) FROM blobs").fetchall() == [(1,)]
        assert base.execute("SELECT run FROM blob_uses ORDER BY run").fetchall() == [(1,), (2,)]
        assert base.execute("SELECT max(length(body)) < 500 FROM node_cache").fetchall() == [(1,)]


@pytest.mark.asyncio
async def test_where_the_run_goes_from_a_hit_is_decided_anew() -> None:
    counter = Counter()

    @node(writes="total")
    async def good() -> int:
        return 1

    @node(writes="total")
    async def poor() -> int:
        return 2

    graph = Graph(Desk, name="ways")
    judge = research(counter)
    graph.start(judge)
    graph.edge(judge, good, when=lambda score: score > 0.5)
    graph.edge(judge, poor, otherwise=True)
    async with Engine(graphs=[graph]) as engine:
        assert (await ran(engine, graph, Desk(score=0.9))).total == 1
        assert (await ran(engine, graph, Desk(score=0.1))).total == 2
        assert counter.calls == 1


@pytest.mark.asyncio
async def test_an_operand_is_folded_onto_what_is_there() -> None:
    class Found(Patch[Desk]):
        log: str
        total: int

    counter = Counter()

    @node(cache=Cache())
    async def add_up(topic: str) -> Found:
        counter.more()
        return Found(log=topic, total=5)

    graph = desk(add_up)
    async with Engine(graphs=[graph]) as engine:
        await ran(engine, graph)
        state = await ran(engine, graph, Desk(log=["before"], total=10))
        assert (state.log, state.total, counter.calls) == (["before", "bees"], 15, 1)


@pytest.mark.asyncio
async def test_the_elements_of_an_each_are_what_their_instances_read() -> None:
    counter = Counter()

    @node
    async def begin() -> None: ...

    @node(writes="log", cache=Cache())
    async def work(word: Item[str]) -> str:
        counter.more()
        return word.upper()

    graph = Graph(Desk, name="each")
    graph.start(begin)
    graph.each(begin, lambda topic: topic.split(), work)
    async with Engine(graphs=[graph]) as engine:
        assert (await ran(engine, graph, Desk(topic="a b c"))).log == ["A", "B", "C"]
        assert (await ran(engine, graph, Desk(topic="b d"))).log == ["B", "D"]
        assert counter.calls == 4


@pytest.mark.asyncio
async def test_resources_and_the_context_are_not_compared() -> None:
    counter = Counter()

    @node(writes="report", cache=Cache())
    async def pay(topic: str, money: Annotated[Money, Resource], ctx: Context) -> str:
        counter.more()
        return ctx.run

    graph = desk(pay)
    for _ in range(2):
        async with Engine(graphs=[graph], resources=[Money()]) as engine:
            assert (await ran(engine, graph, key="a")).report == "a"
            assert (await ran(engine, graph, key="b")).report == "a"
    assert counter.calls == 2, "each engine had a memory of its own"


@pytest.mark.asyncio
async def test_the_whole_state_and_models_in_it_can_be_what_is_read() -> None:
    @dataclass(frozen=True)
    class Place:
        name: str

    class Source(BaseModel):
        names: frozenset[str] = frozenset()
        places: dict[str, Place] = Field(default_factory=dict)

    class Library(State):
        sources: list[Source] = []
        other: float = 0.0
        report: str = later()

    counter = Counter()

    @node(writes="report", cache=Cache())
    async def read(state: Library) -> str:
        return f"{counter.more()}"

    graph = desk(read, name="library", state=Library)
    names = [f"name {n}" for n in range(20)]

    def library(turned: bool, place: str = "a", other: float = float("nan")) -> Library:
        ordered = names[::-1] if turned else names
        return Library(sources=[Source(names=frozenset(ordered), places={"p": Place(place)})], other=other)

    async with Engine(graphs=[graph]) as engine:
        assert (await ran(engine, graph, library(False))).report == "1"
        assert (await ran(engine, graph, library(True))).report == "1"
        assert (await ran(engine, graph, library(True, "b"))).report == "2"
        assert (await ran(engine, graph, library(True, other=1.0))).report == "3"


# -- misses ----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_another_input_another_code_and_another_graph_are_run() -> None:
    counter = Counter()
    graph, renamed = desk(research(counter)), desk(research(counter), name="another")
    async with Engine(graphs=[graph, renamed]) as engine:
        await ran(engine, graph, Desk(tags={"a", "b"}))
        await ran(engine, graph, Desk(tags={"b", "a"}, score=0.5))
        assert counter.calls == 1
        await ran(engine, graph, Desk(tags={"a"}))
        assert counter.calls == 2
        await ran(engine, renamed, Desk(tags={"a"}))
        assert counter.calls == 3
        changed = desk(research(counter, word="about"))
        assert (await ran(engine, changed, Desk(tags={"a"}))).report == "about bees"
        assert counter.calls == 4


@pytest.mark.asyncio
async def test_a_field_with_another_type_or_another_validator_is_written_anew() -> None:
    counter = Counter()

    class Any0(State):
        x: int = 1
        y: float = later()

    class Any1(State):
        x: int = 1
        y: Annotated[float, Field(ge=0)] = later()

    class Any2(State):
        x: int = 1
        y: float = later()

        @field_validator("y")
        @classmethod
        def whole(cls, value: float) -> float:
            return float(round(value))

    @node(writes="y", cache=Cache())
    async def halve(x: int) -> float:
        counter.more()
        return x / 2

    async with Engine() as engine:
        found = [(await ran(engine, desk(halve, name="g", state=kind), kind())).y for kind in (Any0, Any1, Any2, Any0)]
        assert found == [0.5, 0.5, 0, 0.5]
        assert counter.calls == 3


@in_virtual_time
async def test_after_its_time_it_is_run_again() -> None:
    counter = Counter()
    graph = desk(research(counter, Cache(ttl=timedelta(minutes=1))))
    async with virtual(graph) as engine:
        for wait, calls in ((0, 1), (59, 1), (1, 2), (30, 2), (29.9, 2), (0.2, 3)):
            await asyncio.sleep(wait)
            await ran(engine, graph)
            assert counter.calls == calls


@pytest.mark.asyncio
async def test_a_failure_is_not_kept() -> None:
    counter = Counter()

    @node(writes="report", cache=Cache())
    async def shaky(topic: str) -> str:
        if counter.more() == 1:
            raise ConnectionError("gone")
        return topic

    graph = desk(shaky)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Desk(), key="a")
        failed(await run.wait(), "ConnectionError")
        await run.retry()
        done(await run.wait())
        await ran(engine, graph)
        assert counter.calls == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE node_cache SET body = '{'",
        "UPDATE node_cache SET body = '[]'",
        """UPDATE node_cache SET body = '{"writes":{"words":"many"}}'""",
        """UPDATE node_cache SET body = '{"writes":{"topic":"bees"}}'""",
        """UPDATE node_cache SET body = '{"writes":{"nothing":1}}'""",
        "DELETE FROM blobs",
        "UPDATE blobs SET body = replace(body, 'x', 'y')",
    ],
)
async def test_what_does_not_fit_any_more_is_no_result(tmp_path: Path, harm: str) -> None:
    class Both(Patch[Desk]):
        report: str
        words: int

    counter = Counter()

    @node(cache=Cache())
    async def write(topic: str) -> Both:
        return Both(report="x" * LARGE, words=counter.more())

    graph = desk(write)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        await ran(engine, graph)
    with closing(sqlite3.connect(tmp_path / "runs.db")) as base, base:
        assert base.execute(harm).rowcount == 1
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Desk())
        state = done(await run.wait())
        assert (state.topic, state.words, counter.calls) == ("bees", 2, 2)


@pytest.mark.asyncio
async def test_a_reducer_that_cannot_take_what_was_kept_fails_the_node() -> None:
    @reducer
    def picky(acc: int, x: int) -> int:
        if acc < 0:
            raise ValueError("less than nothing")
        return acc + x

    class Purse(State):
        name: str = "a"
        total: Annotated[int, picky] = 0

    @node(writes="total", cache=Cache())
    async def earn(name: str) -> int:
        return 5

    graph = desk(earn, name="purse", state=Purse)
    async with Engine(graphs=[graph]) as engine:
        assert (await ran(engine, graph, Purse())).total == 5
        run = await engine.start(graph, Purse(total=-1))
        assert "less than nothing" in failed(await run.wait(), "BadWrite").reason


# -- a key of one's own ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_key_says_what_is_the_same() -> None:
    counter = Counter()

    def by_first_letter(topic: str) -> str:
        return topic[0]

    graph = desk(research(counter, Cache(key=by_first_letter)))
    async with Engine(graphs=[graph]) as engine:
        assert (await ran(engine, graph, Desk(topic="bees"))).report == "on bees"
        assert (await ran(engine, graph, Desk(topic="birds", tags={"x"}))).report == "on bees"
        assert (await ran(engine, graph, Desk(topic="ants"))).report == "on ants"
        assert counter.calls == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("key", "error"), [(lambda topic: 3, "TypeError"), (lambda topic: topic.missing, "AttributeError")]
)
async def test_a_key_that_is_wrong_fails_the_node(key: Any, error: str) -> None:
    graph = desk(research(Counter(), Cache(key=key)))
    async with Engine(graphs=[graph]) as engine:
        failed(await (await engine.start(graph, Desk())).wait(), error)


# -- declared wrong -----------------------------------------------------------------------------------------


def problems(graph: Graph[Any]) -> dict[str, str]:
    with pytest.raises(GraphError) as caught:
        graph.compile()
    return {problem.code: problem.what for problem in caught.value.problems}


def test_an_irreversible_node_has_no_cache() -> None:
    @node(writes="report", effect="irreversible", unattended=True, cache=Cache())
    async def pay(topic: str) -> str:
        return topic

    assert "'pay' is irreversible" in problems(desk(pay))["cache-irreversible"]


def test_a_question_has_no_cache() -> None:
    @ask(writes="report")
    async def confirm() -> Question[str]:
        return Question("Well?")

    assert "'confirm' asks a person" in problems(desk(confirm.altered(cache=Cache())))["cache-irreversible"]


def test_a_key_takes_parameters_of_its_node() -> None:
    def wrong(topik: str) -> str:
        return topik

    found = problems(desk(research(Counter(), Cache(key=wrong))))["cache-key"]
    assert "'topik'" in found
    assert "Did you mean 'topic'?" in found


@pytest.mark.parametrize("ttl", [0, -1, timedelta(0)])
def test_a_time_is_more_than_nothing(ttl: Any) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Cache(ttl=ttl)


# -- at the same moment ----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_was_kept_is_there_as_soon_as_the_event_is(tmp_path: Path) -> None:
    graph = desk(research(Counter()))
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        await ran(engine, graph)
    with closing(sqlite3.connect(tmp_path / "runs.db")) as base:
        [(body, expires_at)] = base.execute("SELECT body, expires_at FROM node_cache").fetchall()
    assert json.loads(body)["writes"] == {"report": "on bees"}
    assert expires_at is None
