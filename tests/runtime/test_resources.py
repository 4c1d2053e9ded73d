"""Resources: found by type or by name, exactly one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Annotated, Any, Protocol

import pytest

from orchestra_graph import Engine, Graph, GraphError, Resource, events, node
from orchestra_graph.errors import StoreClosed
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.resources import Resources

from .common import Sheet, chain, done


class Speaks(Protocol):
    name: str

    def speak(self, word: str) -> str: ...


class Shouts(Speaks, Protocol):
    def shout(self) -> None: ...


class Calls(Protocol):
    def __call__(self, word: str) -> str: ...


class Dog:
    name = "rex"

    def speak(self, word: str) -> str:
        return word

    def shout(self) -> None: ...


class Puppy(Dog):
    pass


class Cat:
    name = "tom"

    def speak(self, word: str) -> str:
        return word


def plan_with(annotation: Any) -> Plan:
    async def work(it: Any) -> None: ...

    work.__annotations__ = {"it": annotation, "return": None}
    graph: Graph[Sheet] = chain(node(name="work")(work))
    return graph.compile()


def found(given: Any, annotation: Any) -> Any:
    plan = plan_with(annotation)
    resources = Resources(given)
    resources.check(plan)
    [param] = plan.by_name["work"].params
    assert resources.find(param) is resources.find(param)
    return resources.find(param)


def test_a_resource_is_found_by_its_class_or_a_base_of_it() -> None:
    puppy = Puppy()
    assert found([Cat(), puppy], Annotated[Dog, Resource]) is puppy
    assert found([Cat(), puppy], Annotated[Puppy, Resource]) is puppy


def test_a_protocol_takes_what_has_all_its_members_those_of_its_bases_too() -> None:
    dog, cat = Dog(), Cat()
    assert found([dog, 3], Annotated[Speaks, Resource]) is dog
    assert found([dog, cat], Annotated[Shouts, Resource]) is dog
    assert found([cat, str.upper], Annotated[Calls, Resource]) == str.upper


def test_a_name_decides_where_there_are_several() -> None:
    eu, us = Dog(), Dog()
    assert found({"eu": eu, "us": us}, Annotated[Dog, Resource("us")]) is us
    assert found({"limit": 3}, Annotated[int, Resource("limit")]) == 3
    assert found({"dog": eu}, Annotated[Dog, Resource]) is eu


@pytest.mark.parametrize(
    ("given", "annotation", "says"),
    [
        ([Cat()], Annotated[Dog, Resource], "wants a resource that is a Dog for 'it', and none was given"),
        ([Dog(), Puppy()], Annotated[Dog, Resource], "and 2 were given"),
        ({"eu": Dog()}, Annotated[Dog, Resource("us")], "wants the resource 'us' for 'it', and none was given"),
        ([Dog()], Annotated[Dog, Resource("us")], 'resources={"us": ...}'),
        ([], Annotated[Speaks, Resource], r"resources=[Speaks(...)]"),
        ([3], Annotated[str, Resource], "none was given"),
    ],
)
def test_what_is_missing_or_not_clear_is_named_with_the_mend(given: Any, annotation: Any, says: str) -> None:
    with pytest.raises(GraphError) as caught:
        Resources(given).check(plan_with(annotation))
    [problem] = caught.value.problems
    assert problem.code == "resource"
    assert says in str(problem)
    assert "test_resources.py" in problem.where


# -- opened and closed with the engine -----------------------------------------------------------------


class Opened:
    """Makes resources, and notes what becomes of them."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @contextmanager
    def plain(self) -> Iterator[Dog]:
        self.log.append("dog opens")
        try:
            yield Dog()
        finally:
            self.log.append("dog closes")

    @asynccontextmanager
    async def slow(self) -> AsyncIterator[Cat]:
        await asyncio.sleep(0)
        self.log.append("cat opens")
        try:
            yield Cat()
        finally:
            await asyncio.sleep(0)
            self.log.append("cat closes")

    @asynccontextmanager
    async def broken(self) -> AsyncIterator[int]:
        await asyncio.sleep(0)
        raise OSError("no such server")
        yield 1


class Connection:
    """Is entered by a node, for a transaction: never by the engine."""

    entered = 0

    async def __aenter__(self) -> None:
        self.entered += 1

    async def __aexit__(self, *exc: object) -> None: ...


@node(writes="text")
async def speaks(dog: Annotated[Dog, Resource], cat: Annotated[Cat, Resource]) -> str:
    return f"{dog.name} {cat.speak('meets')} {cat.name}"


@pytest.mark.asyncio
async def test_what_a_context_manager_function_gives_is_open_as_long_as_the_engine_is() -> None:
    opened, graph = Opened(), chain(speaks)
    async with Engine(graphs=[graph], resources=[opened.plain(), opened.slow()]) as engine:
        assert opened.log == ["dog opens", "cat opens"]
        assert done(await (await engine.start(graph, Sheet())).wait()).text == "rex meets tom"
        assert opened.log == ["dog opens", "cat opens"]
    assert opened.log == ["dog opens", "cat opens", "cat closes", "dog closes"]


@pytest.mark.asyncio
async def test_they_are_closed_after_an_error_when_nothing_runs_any_more() -> None:
    opened, graph = Opened(), Graph(Sheet, name="g")

    @node
    async def hangs(dog: Annotated[Dog, Resource("dog")]) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            opened.log.append("node ends")

    async def use() -> None:
        async with Engine(graphs=[graph], resources={"dog": opened.plain(), "cat": opened.slow()}) as engine:
            run = await engine.start(graph, Sheet())
            async for event in run.events():
                if isinstance(event, events.NodeStarted):
                    break
            raise RuntimeError("of the user")

    graph.start(hangs)
    with pytest.raises(RuntimeError, match="of the user"):
        await use()
    assert opened.log == ["dog opens", "cat opens", "node ends", "cat closes", "dog closes"]


@pytest.mark.asyncio
async def test_one_that_cannot_be_opened_closes_those_before_it_and_the_store() -> None:
    opened = Opened()
    engine = Engine(resources=[opened.plain(), opened.broken(), opened.slow()])
    with pytest.raises(OSError, match="no such server"):
        await engine.__aenter__()
    assert opened.log == ["dog opens", "dog closes"]
    with pytest.raises(StoreClosed):
        await engine.find()


@pytest.mark.asyncio
async def test_what_is_only_a_context_manager_is_used_as_it_is() -> None:
    @node(writes="ok")
    async def looks(lock: Annotated[asyncio.Lock, Resource], connection: Annotated[Connection, Resource]) -> bool:
        assert isinstance(connection, AbstractAsyncContextManager)
        async with lock, connection:
            return lock.locked() and connection.entered == 1

    graph = chain(looks)
    async with Engine(graphs=[graph], resources=[asyncio.Lock(), Connection()]) as engine:
        assert done(await (await engine.start(graph, Sheet())).wait()).ok


@pytest.mark.asyncio
async def test_a_run_without_an_engine_opens_and_closes_them_too() -> None:
    opened = Opened()
    assert (await chain(speaks).run(Sheet(), resources=[opened.plain(), opened.slow()])).text == "rex meets tom"
    assert opened.log == ["dog opens", "cat opens", "cat closes", "dog closes"]
