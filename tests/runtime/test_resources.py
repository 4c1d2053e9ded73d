"""Resources: found by type or by name, exactly one."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

import pytest

from orchestra_graph import Graph, GraphError, Resource, node
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.resources import Resources

from .common import Sheet, chain


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
