"""Reducers and `Replace` in runs: whatever finishes first, in loops, and read back by another engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest

from orchestra_graph import (
    END,
    Done,
    Engine,
    Failed,
    Graph,
    GraphError,
    Node,
    Patch,
    Question,
    Replace,
    State,
    Waiting,
    add,
    append,
    ask,
    extend,
    later,
    maximum,
    merge,
    minimum,
    node,
    reducer,
    union,
)
from orchestra_graph.runtime import scribe


@reducer
def counted(known: dict[str, int], word: str) -> dict[str, int]:
    return {**known, word: known.get(word, 0) + 1}


class Desk(State):
    """A field for every reducer."""

    log: Annotated[list[str], append] = ["start"]
    notes: Annotated[tuple[str, ...], extend] = ()
    total: Annotated[int, add] = 100
    tags: Annotated[set[str], union] = {"start"}
    prices: Annotated[dict[str, int], merge] = {"a": 0}
    best: Annotated[int | None, maximum] = None
    worst: Annotated[int | None, minimum] = None
    words: Annotated[dict[str, int], counted] = {}
    ready: bool = False


class Write(Patch[Desk]):
    log: str | Replace[list[str]]
    notes: list[str] | Replace[tuple[str, ...]]
    total: int | Replace[int]
    tags: set[str] | Replace[set[str]]
    prices: dict[str, int] | Replace[dict[str, int]]
    best: int | Replace[int | None] | None
    worst: int | Replace[int | None] | None
    words: str | Replace[dict[str, int]]


def folding(name: str, value: int) -> Node[Any]:
    """A node that gives an operand to every field."""

    @node(name=name)
    async def fold() -> Write:
        await pause(name)
        return Write(
            log=name,
            notes=[name, name],
            total=value,
            tags={name},
            prices={"a": value, name: value},
            best=value,
            worst=value,
            words="w",
        )

    return fold


def replacing(name: str) -> Node[Any]:
    """A node that sets every field anew."""

    @node(name=name)
    async def replace() -> Write:
        await pause(name)
        return Write(
            log=Replace([f"{name}!"]),
            notes=Replace((f"{name}!",)),
            total=Replace(0),
            tags=Replace(set()),
            prices=Replace({}),
            best=Replace(None),
            worst=Replace(None),
            words=Replace({"new": 1}),
        )

    return replace


ORDER: list[str] = []
"""The nodes that end one after the other in this order; others end when they are called."""
ENDED: dict[str, asyncio.Event] = {}


async def pause(name: str) -> None:
    if name in ORDER:
        place = ORDER.index(name)
        if place:
            await ENDED[ORDER[place - 1]].wait()
        ENDED[name].set()


def finish_in(order: Sequence[str]) -> None:
    ORDER[:] = order
    ENDED.clear()
    ENDED.update((name, asyncio.Event()) for name in order)


def values(state: Desk) -> dict[str, Any]:
    return state.model_dump(exclude={"ready"})


FOLDED = {  # `one`, then `two`
    "log": ["start", "one", "two"],
    "notes": ("one", "one", "two", "two"),
    "total": 103,
    "tags": {"start", "one", "two"},
    "prices": {"a": 2, "one": 1, "two": 2},
    "best": 2,
    "worst": 1,
    "words": {"w": 2},
}
RESET = {  # a replacing `one`, then `two`
    "log": ["one!", "two"],
    "notes": ("one!", "two", "two"),
    "total": 2,
    "tags": {"two"},
    "prices": {"a": 2, "two": 2},
    "best": 2,
    "worst": 2,
    "words": {"new": 1, "w": 1},
}
EMPTIED = {  # `one`, then a replacing `two`
    "log": ["two!"],
    "notes": ("two!",),
    "total": 0,
    "tags": set(),
    "prices": {},
    "best": None,
    "worst": None,
    "words": {"new": 1},
}
PROGRAMS = {
    "all fold": (folding("one", 1), folding("two", 2), FOLDED),
    "the first replaces": (replacing("one"), folding("two", 2), RESET),
    "the second replaces": (folding("one", 1), replacing("two"), EMPTIED),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("program", PROGRAMS)
async def test_one_after_the_other(program: str) -> None:
    one, two, expected = PROGRAMS[program]
    graph = Graph(Desk, name="desk")
    graph.start(one)
    graph.edge(one, two)
    assert values(await graph.run(Desk())) == expected


@pytest.mark.asyncio
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
async def test_side_by_side_logical_order_decides_and_not_who_ends_first(program: str, order: Sequence[str]) -> None:
    one, two, expected = PROGRAMS[program]
    finish_in(order)

    @node(writes="ready")
    async def see(log: list[str], total: int) -> bool:
        return log == expected["log"] and total == expected["total"]

    graph = Graph(Desk, name="desk")
    graph.start([one, two])
    graph.edge([one, two], see)
    state = await graph.run(Desk())
    assert values(state) == expected
    assert state.ready


@pytest.mark.asyncio
async def test_a_choice_behind_a_node_sees_what_it_replaced() -> None:
    @node(writes="total")
    async def clear() -> Replace[int]:
        return Replace(0)

    @node(writes="log")
    async def more() -> str:
        return "there is some"

    def some(total: int) -> bool:
        return total > 0

    graph = Graph(Desk, name="desk")
    graph.start(clear)
    graph.edge(clear, more, when=some)
    graph.edge(clear, END, otherwise=True)
    state = await graph.run(Desk())
    assert (state.total, state.log) == (0, ["start"])


class Rolling(State):
    turns: int
    turn: Annotated[int, add] = 0
    recent: Annotated[list[int], append] = []
    seen: Annotated[set[int], union] = set()
    agreed: bool = False


@node(writes="turn")
async def tick() -> int:
    return 1


@node(writes="recent")
async def keep(turn: int, recent: list[int]) -> int | Replace[list[int]]:
    """Never more than three: the oldest go."""
    return turn if len(recent) < 3 else Replace([*recent[-2:], turn])


@node(writes="seen")
async def note(turn: int, seen: set[int]) -> list[int] | Replace[set[int]]:
    return [turn] if turn % 4 else Replace({turn})


@ask(writes="agreed")
def agree() -> Question[bool]:
    return Question("Go on?")


def more(turns: int, turn: int) -> bool:
    return turn % turns != 0


rolling = Graph(Rolling, name="rolling")
rolling.start(tick)
rolling.edge(tick, [keep, note])
rolling.edge([keep, note], tick, when=more)
rolling.edge([keep, note], agree, otherwise=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("snapshots", [False, True], ids=["log alone", "snapshots"])
async def test_another_engine_goes_on_from_what_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshots: bool
) -> None:
    if snapshots:
        monkeypatch.setattr(scribe, "_SNAPSHOT_ROWS", 3)
        monkeypatch.setattr(scribe, "_SNAPSHOT_GROWTH", 0)
    url = f"sqlite:///{tmp_path}/runs.db"
    async with Engine(url, graphs=[rolling]) as engine:
        outcome = await (await engine.start(rolling, Rolling(turns=10), key="r")).wait()
        assert isinstance(outcome, Waiting)
    async with Engine(url, graphs=[rolling]) as engine:
        run = await engine.get("r", rolling)
        state = await run.state()
        assert (state.recent, state.seen) == ([8, 9, 10], {8, 9, 10})
        await run.answer((await run.questions())[0].id, True)
        outcome = await run.wait()
    assert isinstance(outcome, Done)
    assert (outcome.state.recent, outcome.state.seen) == ([8, 9, 10], {8, 9, 10})


@pytest.mark.asyncio
async def test_replace_of_a_field_without_a_reducer_is_a_write() -> None:
    @node(writes="ready")
    async def begin() -> Replace[bool]:
        return Replace(True)

    graph = Graph(Desk, name="desk")
    graph.start(begin)
    assert (await graph.run(Desk())).ready


@pytest.mark.asyncio
async def test_what_replaces_must_fit_the_field() -> None:
    @node(writes="log")
    async def begin() -> Replace[Any]:
        return Replace("text")

    graph = Graph(Desk, name="desk")
    graph.start(begin)
    async with Engine(graphs=[graph]) as engine:
        outcome = await (await engine.start(graph, Desk())).wait()
    assert isinstance(outcome, Failed)
    [(_, error)] = outcome.errors
    assert error.type == "BadWrite"
    assert "what it wrote to 'log' does not fit: Input should be a valid list" in error.message


class Fussy(State):
    names: Annotated[list[str], reducer(lambda acc, x: [*acc, x] if x else 1 / 0)] = []


@pytest.mark.asyncio
async def test_a_reducer_that_raises_fails_the_node_that_wrote_and_not_the_log(tmp_path: Path) -> None:
    @node(writes="names")
    async def begin() -> Any:
        return []

    graph = Graph(Fussy, name="fussy")
    graph.start(begin)
    url = f"sqlite:///{tmp_path}/runs.db"
    async with Engine(url, graphs=[graph]) as engine:
        outcome = await (await engine.start(graph, Fussy(), key="f")).wait()
    assert isinstance(outcome, Failed)
    assert "the reducer <lambda> of 'names' raised ZeroDivisionError" in outcome.errors[0][1].message
    async with Engine(url, graphs=[graph]) as engine:
        assert (await (await engine.get("f", graph)).state()).names == []


class Dates(State):
    newest: Annotated[datetime | None, maximum] = None
    said: str = ""


@node(writes="newest")
async def local() -> datetime:
    return datetime(2030, 1, 1)


@node(writes="newest")
async def universal() -> datetime:
    return datetime(2031, 1, 1, tzinfo=UTC)


@pytest.mark.asyncio
async def test_values_that_cannot_be_folded_where_branches_meet_fail_the_run_there(tmp_path: Path) -> None:
    @node(writes="said")
    async def look(newest: datetime | None) -> str:
        return str(newest)

    graph = Graph(Dates, name="dates")
    graph.start([local, universal])
    graph.edge([local, universal], look)
    url = f"sqlite:///{tmp_path}/runs.db"
    for _ in range(2):  # the second one finds it so
        async with Engine(url, graphs=[graph]) as engine:
            outcome = await (await engine.start(graph, Dates(), key="d")).wait()
        assert isinstance(outcome, Failed)
        assert outcome.final
        [(where, error)] = outcome.errors
        assert (where, error.type) == ("look", "MergeConflict")
        assert "'newest' could not take what universal wrote: the reducer maximum raised TypeError" in error.message


@pytest.mark.asyncio
async def test_a_whole_value_mends_what_could_not_be_folded() -> None:
    @node(writes="newest")
    async def settle() -> Replace[datetime]:
        return Replace(datetime(2032, 1, 1))

    graph = Graph(Dates, name="dates")
    graph.start([local, universal])
    graph.edge([local, universal], settle)
    assert (await graph.run(Dates())).newest == datetime(2032, 1, 1)


class Words(State):
    words: Annotated[dict[str, int], counted] = later()
    first: Annotated[set[str], union] = later()
    done: bool = False


@pytest.mark.asyncio
async def test_an_operand_of_another_type_than_its_field_can_be_asked_about_by_a_condition() -> None:
    @node(writes="words")
    async def begin() -> Replace[dict[str, int]]:
        return Replace({})

    @node(writes="words")
    async def count() -> str:
        return "word"

    @node(writes="done")
    async def end(words: dict[str, int]) -> bool:
        return words == {"word": 3}

    def enough(words: dict[str, int]) -> bool:
        return words["word"] >= 3

    graph = Graph(Words, name="words")
    graph.start(begin)
    graph.edge(begin, count)
    graph.edge(count, end, when=enough)
    graph.edge(count, count, otherwise=True)
    assert (await graph.run(Words())).done


def alone(step: Any) -> Graph[Any]:
    graph: Graph[Any] = Graph(Desk, name="desk")
    graph.start(step)
    return graph


@pytest.mark.parametrize(
    ("field", "declared", "says", "mend"),
    [
        ("tags", str, "union takes a set or list of elements of Desk.tags: set[str]", "-> set[str]"),
        ("tags", list[int], "union takes a set or list of elements of Desk.tags: set[str]", "-> set[str]"),
        ("prices", dict[str, str], "but Desk.prices is dict[str, int]", "-> dict[str, int]"),
        ("best", str, "but Desk.best is int | None", "-> int | None"),
        ("log", Replace[str], "Replace takes a whole Desk.log: list[str]", "-> Replace[list[str]]"),
        ("log", list[str] | Replace[list[str]], "append takes one element of Desk.log: str", "-> str"),
        ("total", int | Replace[str], "Replace takes a whole Desk.total: int", "-> Replace[int]"),
        ("ready", Replace[str], "Replace takes a whole Desk.ready: bool", "-> Replace[bool]"),
    ],
)
def test_a_wrong_operand_is_found_before_anything_runs(field: str, declared: Any, says: str, mend: str) -> None:
    async def step() -> Any:
        return None

    step.__annotations__["return"] = declared
    with pytest.raises(GraphError) as caught:
        alone(node(writes=field)(step)).compile()
    [problem] = caught.value.problems
    assert problem.code == "wrong-type-written"
    assert says in problem.what
    assert problem.mend == mend


@pytest.mark.parametrize(
    ("field", "declared"),
    [
        ("tags", list[str]),
        ("tags", frozenset[str]),
        ("tags", set[str] | Replace[set[str]]),
        ("best", None),
        ("best", int | Replace[None]),
        ("prices", Replace[dict[str, int]]),
        ("words", str | Replace[dict[str, int]]),
        ("log", Replace[Any]),
    ],
)
def test_a_right_operand_is_left_in_peace(field: str, declared: Any) -> None:
    async def step() -> Any:
        return None

    step.__annotations__["return"] = declared
    assert alone(node(writes=field)(step)).compile().warnings == ()


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Annotated[list[str], union], "has the reducer union, which needs a set or frozenset, not list[str]"),
        (Annotated[set[str], merge], "has the reducer merge, which needs a dict, not set[str]"),
    ],
)
def test_a_reducer_at_a_field_that_it_cannot_fold_is_refused(annotation: Any, says: str) -> None:
    from pydantic import create_model

    state: Any = create_model("Wrong", __base__=State, field=(annotation, later()))

    @node
    async def begin() -> None:
        return None

    graph: Graph[Any] = Graph(state, name="wrong")
    graph.start(begin)
    with pytest.raises(GraphError) as caught:
        graph.compile()
    [problem] = caught.value.problems
    assert problem.code == "reducer-type"
    assert says in problem.what


class Inner(State):
    """A graph in a graph: the log is the one outside, the rest its own."""

    log: Annotated[list[str], append] = []
    own: Annotated[list[str], append] = ["own"]
    made: Annotated[int, add] = 0


@node(writes="own")
async def gather(own: list[str]) -> str | Replace[list[str]]:
    return "one" if len(own) < 2 else Replace(["anew"])


@node(writes="log")
async def cut(log: list[str], own: list[str]) -> Replace[list[str]]:
    return Replace([*log[-1:], *own])


@node(writes="made")
async def seven() -> Replace[int]:
    return Replace(7)


@pytest.mark.asyncio
async def test_in_a_graph_that_stands_in_another_one() -> None:
    """Shared fields are replaced for all, private ones for the call; what a call gives is one operand."""
    inner = Graph(Inner, name="inner")
    inner.start(gather)
    again = inner.add(gather, name="again")
    inner.chain(gather, again, cut, seven)
    graph = Graph(Desk, name="desk")
    first = graph.add(inner, name="first", outputs={"made": "total"})
    second = graph.add(inner, name="second", outputs={"made": "total"})
    graph.start(first)
    graph.edge(first, second)
    state = await graph.run(Desk())
    assert state.log == ["anew", "anew"]  # the last line so far, and the private ones of the second call
    assert state.total == 100 + 7 + 7
