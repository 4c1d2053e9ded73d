"""What a node gets, and what becomes of what it gives."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator, model_validator
from typing_extensions import TypedDict

from orchestra_graph import (
    Engine,
    Graph,
    GraphError,
    Item,
    NotWritten,
    Patch,
    State,
    add,
    append,
    extend,
    last,
    later,
    node,
    reducer,
)
from orchestra_graph.runtime.invoke import is_async

from ..state.kinds import KINDS
from .common import both_stores, database, done, failed, url_of, virtual
from .virtual import in_virtual_time


class Order(BaseModel):
    id: str
    total: Decimal = Decimal(0)
    tags: list[str] = []


class Desk(State):
    order: Order = later()
    orders: list[Order] = []
    kind: Literal["a", "b"] = later()
    amount: Annotated[int, Field(gt=0)] = 1
    maybe: str | None = "something"
    log: Annotated[list[str], append] = ["started"]
    notes: Annotated[tuple[str, ...], extend] = ("-",)
    total: Annotated[int, add] = 100
    newest: Annotated[str, last] = "none"
    best: Annotated[int, reducer(max)] = 5
    text: str = ""


def graph_of(*nodes: Any) -> Graph[Desk]:
    graph = Graph(Desk, name="desk")
    graph.start(nodes[0])
    graph.chain(*nodes)
    return graph


# -- what is written ---------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_every_reducer_folds_onto_its_default(place: str, tmp_path: Path) -> None:
    @node(writes="log")
    async def one() -> str:
        return "one"

    @node(writes="notes")
    async def two() -> list[str]:
        return ["two", "three"]

    @node(writes="total")
    async def three() -> int:
        return 5

    @node(writes="newest")
    async def four() -> str:
        return "four"

    @node(writes="best")
    async def five() -> int:
        return 3

    graph = graph_of(one, two, three, four, five)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Desk())
        state = await run.result()
        assert state.log == ["started", "one"]
        assert state.notes == ("-", "two", "three")
        assert (state.total, state.newest, state.best) == (105, "four", 5)
        run = await engine.start(graph, Desk(log=[], notes=(), total=0, best=0))
        assert (await run.result()) == Desk(log=["one"], notes=("two", "three"), total=5, newest="four", best=3)


class Plan(Patch[Desk]):
    kind: Literal["a", "b"]
    amount: int = 3


class PlanDict(TypedDict, total=False):
    kind: Literal["a", "b"]
    amount: int


class PlanTuple(NamedTuple):
    kind: Literal["a", "b"]
    amount: int


@pytest.mark.asyncio
async def test_a_patch_writes_several_fields_and_what_is_left_out_is_not_written() -> None:
    @node
    async def model() -> Plan:
        return Plan(kind="a")

    @node
    async def typed_dict() -> PlanDict:
        return {"amount": 7}

    @node
    async def named_tuple() -> PlanTuple:
        return PlanTuple("b", 9)

    found: list[tuple[str, int]] = []
    for work in (model, typed_dict, named_tuple):
        graph = graph_of(work)
        async with Engine(graphs=[graph]) as engine:
            state = await (await engine.start(graph, Desk(kind="b"))).result()
            found.append((state.kind, state.amount))
    assert found == [("a", 1), ("b", 7), ("b", 9)]


@pytest.mark.asyncio
async def test_none_is_written_like_any_other_value() -> None:
    @node(writes="maybe")
    async def clear() -> str | None:
        return None

    graph = graph_of(clear)
    async with Engine(graphs=[graph]) as engine:
        assert (await (await engine.start(graph, Desk())).result()).maybe is None


@in_virtual_time
async def test_a_field_without_a_reducer_holds_the_newest_write() -> None:
    @node(writes="text")
    async def one() -> str:
        return "one"

    @node(writes="text")
    async def two(text: str) -> str:
        return text + " two"

    graph = graph_of(one, two)
    async with virtual(graph) as engine:
        assert (await (await engine.start(graph, Desk())).result()).text == "one two"


# -- what cannot be written --------------------------------------------------------------------------------


class WiderPlan(Plan):
    text: str = ""


def returns(value: object, writes: str | None = None, annotation: Any = None) -> Any:
    """A node that returns something else than it says."""

    async def work() -> Any:
        return value

    work.__annotations__["return"] = annotation
    return node(writes=writes)(work)


@pytest.mark.parametrize(
    ("work", "field", "says"),
    [
        (
            returns("much", "amount", int),
            "amount",
            "what it wrote to 'amount' does not fit: Input should be a valid int",
        ),
        (returns(0, "amount", int), "amount", "greater than 0"),
        (returns({"total": 1}, "order", Order), "order", "does not fit: id: Field required"),
        (returns(["a"], "log", str), "log", "valid string"),
        (returns("abc", "notes", list[str]), "notes", "valid tuple"),
        (returns(3, None, None), "", "it returned 3, though its annotation says that it returns None"),
        (returns(3, None, PlanDict), "", "it returned 3, not a patch of kind, amount"),
        (returns({"amuont": 3}, None, PlanDict), "amuont", "no field of the state. Did you mean 'amount'?"),
        (returns({"text": "x"}, None, PlanDict), "text", "which its return annotation does not name"),
        (returns(WiderPlan(kind="a", text="x"), None, Plan), "text", "which its return annotation does not name"),
        (returns({"kind": "c"}, None, PlanDict), "kind", "Input should be 'a' or 'b'"),
        (returns(Order.model_construct(id=3), "order", Order), "order", "cannot be stored"),
    ],
)
@pytest.mark.asyncio
async def test_what_does_not_fit_is_named_with_node_and_field_and_nothing_of_it_is_stored(
    work: Any, field: str, says: str
) -> None:
    @node(writes="log")
    async def before() -> str:
        return "before"

    graph = graph_of(before, work)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Desk())
        outcome = failed(await run.wait(), "BadWrite")
        [(identity, error)] = outcome.errors
        assert identity == "work"
        assert says in error.message
        assert field in error.message
        assert outcome.state == Desk(log=["started", "before"])  # the run stays readable
        assert (await run.record()).activations[-1].status == "failed"


@pytest.mark.asyncio
async def test_after_a_bad_value_a_retry_goes_on_with_the_mended_code(tmp_path: Path) -> None:
    ran: list[str] = []

    def versions(value: object) -> Graph[Desk]:
        @node(writes="log")
        async def before() -> str:
            ran.append("before")
            return "before"

        @node(writes="amount")
        async def work() -> int:
            ran.append("work")
            return value  # type: ignore[return-value]

        return graph_of(before, work)

    wrong, mended = versions("much"), versions(7)
    async with Engine(database(tmp_path), graphs=[wrong]) as engine:
        failed(await (await engine.start(wrong, Desk(), key="k")).wait(), "BadWrite")
    async with Engine(database(tmp_path), graphs=[mended]) as engine:
        run = await engine.get("k", mended)
        failed(await run.wait())  # nothing is tried again by itself
        assert (await run.state()).log == ["started", "before"]
        await run.retry()
        assert done(await run.wait()).amount == 7
    assert ran == ["before", "work", "work"]


def test_a_field_that_cannot_be_stored_is_refused_at_compile_time() -> None:
    class Login(State):
        password: SecretStr

    @node
    async def work() -> None: ...

    graph = Graph(Login, name="g")
    graph.start(work)
    with pytest.raises(GraphError, match="SecretStr is a secret"):
        graph.compile()


# -- validators --------------------------------------------------------------------------------------------

SEEN: list[str] = []


class Guarded(State):
    name: str = "-"
    low: int = 0
    high: int = 10
    log: Annotated[list[str], append] = []

    @field_validator("name")
    @classmethod
    def marked(cls, value: str) -> str:
        SEEN.append(value)
        return value + "!"

    @model_validator(mode="after")
    def in_order(self) -> Self:
        SEEN.append("whole")
        if self.low > self.high:
            raise ValueError(f"{self.low} is above {self.high}")
        return self


@both_stores
@pytest.mark.asyncio
async def test_field_validators_run_once_a_write_and_the_states_own_at_start_and_end(
    place: str, tmp_path: Path
) -> None:
    @node(writes="name")
    async def rename() -> str:
        return "ada"

    @node(writes="low")
    async def raise_low() -> int:
        return 20  # for a moment the state is not in order: only its end is judged

    @node(writes="log")
    async def look(state: Guarded) -> str:
        return f"{state.name} {state.low}"

    @node(writes="high")
    async def raise_high() -> int:
        return 30

    graph = Graph(Guarded, name="g")
    graph.start(rename)
    graph.chain(rename, raise_low, look, raise_high)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        SEEN.clear()
        given = Guarded(name="eve")
        assert SEEN == ["eve", "whole"]
        SEEN.clear()
        run = await engine.start(graph, given)
        state = await run.result()
        assert SEEN == ["ada", "whole"]
        assert (state.name, state.log) == ("ada!", ["ada! 20"])
        assert (await run.state()).name == "ada!"
        assert SEEN.count("ada") == 1


@pytest.mark.asyncio
async def test_a_final_state_that_does_not_fit_is_a_failure_that_can_be_mended() -> None:
    tops = [5]

    class Range(State):
        low: int = 0
        high: int = 10

        @model_validator(mode="after")
        def in_order(self) -> Self:
            if self.low > tops[0]:
                raise ValueError(f"{self.low} is above {tops[0]}")
            return self

    @node(writes="low")
    async def work() -> int:
        return 7

    graph = Graph(Range, name="g")
    graph.start(work)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Range())
        outcome = failed(await run.wait(), "ValidationError")
        assert "the final state does not fit" in outcome.reason
        assert outcome.state.low == 7
        assert await run.status() == "failed"
        tops[0] = 9
        await run.retry()
        assert done(await run.wait()).low == 7


@pytest.mark.asyncio
async def test_a_validator_that_is_wrong_itself_is_told_with_its_field() -> None:
    class Odd(State):
        name: str = ""
        text: str = later()

        @field_validator("text")
        @classmethod
        def looks_beside(cls, value: str, info: ValidationInfo) -> str:
            return f"{info.data['name']}{value}"  # a write knows of no other field

    @node(writes="text")
    async def work() -> str:
        return "t"

    graph = Graph(Odd, name="g")
    graph.start(work)
    async with Engine(graphs=[graph]) as engine:
        outcome = failed(await (await engine.start(graph, Odd())).wait(), "BadWrite")
        assert "checking what it wrote to 'text' raised TypeError" in outcome.reason


# -- what a node gets --------------------------------------------------------------------------------------


class Looks(State):
    text: str = "t"
    number: int = 3
    log: Annotated[list[str], append] = []


@pytest.mark.asyncio
async def test_a_node_may_read_the_whole_state() -> None:
    @node(writes="log")
    async def work(state: Looks) -> str:
        return f"{state.text} {state.number}"

    graph = Graph(Looks, name="g")
    graph.start(work)
    assert (await graph.run(Looks())).log == ["t 3"]


@pytest.mark.asyncio
async def test_reading_what_nothing_wrote_is_a_failure_of_the_node_that_reads() -> None:
    """The compiler sees that it may be unset, and lets the whole state be looked at all the same."""

    @node(writes="text")
    async def work(state: Desk) -> str:
        return state.kind

    graph = graph_of(work)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Desk())
        outcome = failed(await run.wait(), "NotWritten")
        assert "Desk.kind is not written yet" in outcome.reason
        with pytest.raises(NotWritten):
            _ = outcome.state.kind


class Worker:
    """Callable in both ways."""

    def __init__(self) -> None:
        self.__annotations__ = {}

    async def __call__(self) -> str:
        return "called"

    async def method(self) -> str:
        return "method"

    def plain(self) -> str:
        return "plain"


def with_prefix(prefix: str, text: str) -> str:
    return prefix + text


async def with_prefix_async(prefix: str, text: str) -> str:
    return prefix + text


@pytest.mark.parametrize(
    ("fn", "in_loop"),
    [
        (Worker().method, True),
        (Worker().plain, False),
        (Worker(), True),
        (functools.partial(with_prefix, "a"), False),
        (functools.partial(with_prefix_async, "a"), True),
        (functools.partial(functools.partial(with_prefix_async), "a"), True),
        (lambda: "x", False),
    ],
)
def test_what_must_run_in_a_thread_is_known(fn: Callable[..., Any], in_loop: bool) -> None:
    assert is_async(fn) is in_loop


@pytest.mark.asyncio
async def test_methods_partials_and_functions_that_return_awaitables_are_nodes() -> None:
    def promise() -> Awaitable[str]:
        return with_prefix_async("promised ", "text")

    promised: Any = node(name="promise", writes="log")(promise)
    bound = node(name="bound", writes="log")(Worker().method)
    sync = node(name="sync", writes="log")(Worker().plain)
    part = node(name="part", writes="log")(functools.partial(with_prefix_async, "my "))
    promise.__annotations__["return"] = "str"
    graph = graph_of(promised, bound, sync, part)
    async with Engine(graphs=[graph]) as engine:
        state = await (await engine.start(graph, Desk(text="own"))).result()
    assert state.log == ["started", "promised text", "method", "plain", "my own"]


# -- nothing is shared -------------------------------------------------------------------------------------


def spoil(value: Any) -> None:
    """Change a value in place as far as that goes."""
    if isinstance(value, BaseModel):
        for part in [*value.__dict__.values(), *(value.model_extra or {}).values()]:
            spoil(part)
        if not value.model_config.get("frozen"):
            value.__dict__.clear()
    elif isinstance(value, dict):
        for part in value.values():
            spoil(part)
        value.clear()
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            spoil(part)
        if isinstance(value, list | set):
            value.clear()
    elif hasattr(value, "__dict__") and hasattr(value, "__dataclass_fields__"):
        for part in vars(value).values():
            spoil(part)


class Hands:
    """Everybody who gets hold of a value of a run: they note it down, and spoil it."""

    def __init__(self) -> None:
        self.gives: Any = None
        self.held: list[Any] = []
        self.noted: list[Any] = []

    def take(self, *values: Any) -> None:
        self.held.extend(values)
        self.noted += copy.deepcopy(values)
        spoil(self.held)

    def give(self, value: Any) -> Any:
        """Return a value of its own, to be spoiled by whoever comes next."""
        made = copy.deepcopy(value)
        self.held.append(made)
        return made


@functools.cache
def held_graph(kind: str) -> tuple[Graph[Any], Hands]:
    """A graph in which values of one type pass through every place where user code meets one."""
    annotation: Any = KINDS[kind][0]
    many: Any = list[annotation]
    hands = Hands()
    defaults = {"two": later(), "grown": [], "newest": [], "items": []}
    hints = {"one": annotation, "two": annotation, "items": many}
    hints |= {"grown": Annotated[many, append], "newest": Annotated[many, last]}
    state: Any = type("Held", (State,), {"__annotations__": hints, "__module__": __name__, **defaults})

    def typed(fn: Any, returned: Any, **parameters: Any) -> Any:
        fn.__annotations__ = {**parameters, "return": returned}
        return fn

    async def give() -> Any:
        return hands.give(hands.gives)

    async def keep(one: Any, two: Any) -> Any:
        hands.take(one, two)
        return hands.give(hands.gives)

    async def keep_many(one: Any, two: Any) -> Any:
        pair = copy.deepcopy([one, two])
        hands.take(one, two)
        return hands.give(pair)

    async def work(item: Any, items: Any) -> None:
        hands.take(item, items)

    async def end(one: Any, two: Any, grown: Any, newest: Any, items: Any) -> None:
        hands.take(one, two, grown, newest, items)

    def look(one: Any, two: Any, grown: Any, newest: Any) -> str:
        hands.take(one, two, grown, newest)
        return "on"

    both = {"one": annotation, "two": annotation}
    first = node(writes="two")(typed(give, annotation))
    second = node(writes="grown")(typed(keep, annotation, **both))
    third = node(writes="newest")(typed(keep_many, many, **both))
    fourth = node(writes="items", name="many")(typed(keep_many, many, **both))
    inside = node(typed(work, None, item=Item[annotation], items=many))  # type: ignore[misc]
    behind = node(typed(end, None, **both, grown=many, newest=many, items=many))
    graph: Graph[Any] = Graph(state, name="held")
    graph.start(first)
    graph.chain(first, second, third)
    graph.switch(third, typed(look, str, **both, grown=many, newest=many), {"on": fourth}, default=fourth)
    graph.each(fourth, "items", inside, collect=behind)
    return graph, hands


def alike(one: Any, other: Any) -> bool:
    """Equal, part by part where something is not equal to itself (NaN)."""
    if isinstance(one, list | tuple) and type(one) is type(other):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other) or repr(one) == repr(other)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_nobody_who_holds_a_value_can_change_the_run(kind: str, data: st.DataObject) -> None:
    """Not through what was passed to the start, a node got or gave, an item, what a condition saw, or what was read."""
    values = KINDS[kind][1]
    graph, hands = held_graph(kind)
    first, hands.gives = data.draw(values), data.draw(values)
    one, two = copy.deepcopy(first), copy.deepcopy(hands.gives)
    hands.held, hands.noted = [], []

    async def main() -> None:
        async with Engine(graphs=[graph]) as engine:
            run = await engine.start(graph, graph.state(one=first))
            spoil(first)
            for _ in range(2):
                state: Any = await run.result()
                assert alike([state.one, state.two, state.grown], [one, two, [two]])
                assert alike([state.newest, state.items], [[one, two], [one, two]])
                spoil(list(state.__dict__.values()))

    asyncio.run(main())
    many = [one, two]
    seen = [one, two, one, two, one, two, [two], many, one, two, one, many, two, many, one, two, [two], many, many]
    assert alike(hands.noted, seen)
