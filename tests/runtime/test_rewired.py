"""`add(inputs=, outputs=, ...)`: nodes that are wired otherwise than their names say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, NamedTuple, TypedDict

import pytest
from pydantic import BaseModel

from orchestra_graph import (
    Context,
    Engine,
    Graph,
    Item,
    Patch,
    Question,
    Replace,
    Resource,
    Retry,
    State,
    add,
    append,
    ask,
    later,
    node,
)
from orchestra_graph.errors import NodeTimeout

from .common import asked, both_stores, done, failed, url_of, virtual
from .virtual import elapsed, in_virtual_time


class Address(BaseModel):
    town: str
    zip: str = "0000"


class Person(BaseModel):
    name: str
    home: Address


class Desk(State):
    left: str = "l"
    right: str = "r"
    person: Person = Person(name="Ana", home=Address(town="Rome"))
    people: list[Person] = [Person(name="A", home=Address(town="X")), Person(name="B", home=Address(town="Y"))]
    loud_left: str = later()
    loud_right: str = later()
    town: str = ""
    size: int = 0
    total: Annotated[int, add] = 0
    log: Annotated[list[str], append] = []
    ok: bool = False


@node(writes="left")
async def shout(text: str) -> str:
    return text.upper() + "!"


def desk() -> Graph[Desk]:
    return Graph(Desk, name="desk")


@both_stores
@pytest.mark.asyncio
async def test_one_node_twice_with_other_fields(place: str, tmp_path: Path) -> None:
    graph = desk()
    one = graph.add(shout, name="one", inputs={"text": "left"}, outputs="loud_left")
    other = graph.add(shout, name="other", inputs={"text": "right"}, outputs="loud_right")
    twice = graph.add(shout, name="twice", inputs={"text": "loud_left"}, outputs="loud_left")
    graph.start([one, other])
    graph.edge([one, other], twice)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Desk())
        state = done(await run.wait())
        assert (state.left, state.loud_left, state.loud_right) == ("l", "L!!", "R!")
        assert [a.id for a in (await run.record()).activations] == ["one", "other", "twice"]
    assert await shout(text="x") == "X!"  # called, a node is its function


@pytest.mark.asyncio
async def test_a_dotted_path_and_a_function_of_fields() -> None:
    def both(left: str, right: str) -> str:
        return left + right

    graph = desk()
    graph.start(graph.add(shout, name="path", inputs={"text": "person.home.town"}, outputs="town"))
    graph.edge("path", graph.add(shout, name="made", inputs={"text": both}, outputs="loud_left"))
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Desk())).wait())
    assert (state.town, state.loud_left) == ("ROME!", "LR!")


@both_stores
@pytest.mark.asyncio
async def test_a_function_that_raises_is_an_error_of_the_node(place: str, tmp_path: Path) -> None:
    def broken(left: str) -> str:
        raise LookupError(left)

    graph = desk()
    graph.start(graph.add(shout, name="made", inputs={"text": broken}, outputs="loud_left"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Desk())
        assert failed(await run.wait(), "LookupError").errors[0][0] == "made"


class Named(Patch[Desk]):
    town: str
    size: int


class Typed(TypedDict):
    where: str
    many: int


class Tupled(NamedTuple):
    where: str
    many: int


@node
async def named() -> Named:
    return Named(town="Oslo", size=3)


class Half(Patch[Desk]):
    town: str = ""
    size: int = 0


@node
async def half() -> Half:
    return Half(size=3)


@node
async def typed() -> Typed:
    return {"where": "Oslo", "many": 3}


@node
async def tupled() -> Tupled:
    return Tupled("Oslo", 3)


@pytest.mark.parametrize(
    ("work", "outputs", "found"),
    [
        (named, {"town": "left"}, ("Oslo", "", 3)),  # what is not named goes where it went
        (named, {"town": "left", "size": "total"}, ("Oslo", "", 0)),
        (half, {"town": "left"}, ("l", "", 3)),
        (typed, {"where": "left", "many": "size"}, ("Oslo", "", 3)),
        (tupled, {"where": "left", "many": "size"}, ("Oslo", "", 3)),
    ],
)
@pytest.mark.asyncio
async def test_what_a_patch_calls_a_field_goes_where_it_is_told(
    work: object, outputs: dict[str, str], found: tuple[str, str, int]
) -> None:
    graph = desk()
    graph.start(graph.add(work, name="work", outputs=outputs))  # type: ignore[arg-type]
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Desk())).wait())
    assert (state.left, state.town, state.size) == found
    assert state.total == (3 if "total" in outputs.values() else 0)


@pytest.mark.asyncio
async def test_names_may_be_swapped() -> None:
    class Pair(Patch[Desk]):
        left: str
        right: str

    @node
    async def swap(left: str, right: str) -> Pair:
        return Pair(left=left, right=right)

    graph = desk()
    graph.start(graph.add(swap, outputs={"left": "right", "right": "left"}))
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Desk())).wait())
    assert (state.left, state.right) == ("r", "l")


@pytest.mark.asyncio
async def test_a_value_may_replace_what_a_reducer_has_folded() -> None:
    @node(writes="total")
    async def reset() -> Replace[list[str]]:
        return Replace(["anew"])

    graph = desk()
    graph.start(graph.add(reset, outputs="log"))
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Desk(log=["old"]))).wait())
    assert state.log == ["anew"]


@both_stores
@pytest.mark.asyncio
async def test_a_question_is_wired_like_any_node(place: str, tmp_path: Path) -> None:
    @ask(writes="size")
    def agree(what: str) -> Question[bool]:
        return Question(f"Is {what} right?")

    graph = desk()
    graph.start(graph.add(agree, name="first", inputs={"what": "left"}, outputs="ok"))
    graph.edge("first", graph.add(agree, name="second", inputs={"what": "person.name"}, outputs="ok"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Desk())
        for prompt in ("Is l right?", "Is Ana right?"):
            [question] = asked(await run.wait())
            assert question.prompt == prompt
            await run.answer(question.id, True)
        assert done(await run.wait()).ok


@pytest.mark.asyncio
async def test_the_work_of_an_each_is_wired_too() -> None:
    @node(writes="town")
    async def visit(person: Item[Person], greeting: str, ctx: Context) -> str:
        return f"{greeting} {person.name} {ctx.node}"

    @node
    async def begin() -> None: ...

    graph = desk()
    graph.start(begin)
    graph.each(begin, "people", graph.add(visit, name="tour", inputs={"greeting": "left"}, outputs="log"))
    async with Engine(graphs=[graph]) as engine:
        assert done(await (await engine.start(graph, Desk())).wait()).log == ["l A tour", "l B tour"]


@in_virtual_time
async def test_options_are_those_of_the_place() -> None:
    tries: list[tuple[str, float]] = []

    @node(writes="log", timeout=100)
    async def slow(ctx: Context) -> str:
        tries.append((ctx.id, elapsed()))
        await asyncio.sleep(30 if len(tries) < 3 else 1)
        return ctx.id

    graph = desk()
    quick = graph.add(
        slow, name="quick", timeout=5, retry=Retry(attempts=3, delay=10, factor=1, jitter=0, on=(NodeTimeout,))
    )
    graph.start(quick)
    graph.edge(quick, slow)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Desk())
        assert done(await run.wait()).log == ["quick", "slow"]
    assert tries == [("quick", 0), ("quick", 15), ("quick", 30), ("slow", 31)]
    assert slow.options.timeout == 100  # the node itself is as it was


@pytest.mark.asyncio
async def test_an_effect_and_unattended_are_options_too() -> None:
    @node(writes="log")
    async def pay(ctx: Context) -> str:
        return ctx.id

    graph = desk()
    graph.start(graph.add(pay, effect="irreversible", unattended=True))
    plan = graph.compile()
    assert plan.by_name["pay"].options.effect == "irreversible"
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Desk())
        done(await run.wait())
        assert [step.what for step in await run.history()] == ["RunStarted", "NodeStarted", "NodeFinished", "RunEnded"]


@pytest.mark.asyncio
async def test_resources_and_context_are_not_wired() -> None:
    class Till:
        name = "till"

    @node(writes="town")
    async def pay(what: str, till: Annotated[Till, Resource], ctx: Context) -> str:
        return f"{what} {till.name} {ctx.node}"

    graph = desk()
    graph.start(graph.add(pay, name="here", inputs={"what": "right"}))
    async with Engine(graphs=[graph], resources=[Till()]) as engine:
        assert done(await (await engine.start(graph, Desk())).wait()).town == "r till here"


@both_stores
@pytest.mark.asyncio
async def test_a_wired_node_inside_of_a_graph(place: str, tmp_path: Path) -> None:
    class Inner(State):
        right: str
        own: str = "own"
        made: str = later()

    inner = Graph(Inner, name="inner")
    inner.start(inner.add(shout, name="one", inputs={"text": "own"}, outputs="made"))
    inner.edge("one", inner.add(shout, name="two", inputs={"text": "made"}, outputs="right"))
    graph = desk()
    graph.start(inner)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        assert done(await (await engine.start(graph, Desk())).wait()).right == "OWN!!"
