"""Which edges are taken, by what is there when a node is done."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel

from orchestra_graph import END, Graph, State, append, extend, later, node
from orchestra_graph.core.revisions import UNSET
from orchestra_graph.errors import NotWritten, SwitchMissed
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.routes import read_choice, route


class Kind(enum.Enum):
    A = "a"
    B = "b"


class Approval(BaseModel):
    granted: bool
    extra: dict[str, int] = {}


class Desk(State):
    flag: bool = False
    number: int = 0
    name: str | None = None
    kind: Kind = Kind.A
    word: Literal["x", "y"] = "x"
    words: list[Literal["x", "y"]] = []
    approval: Approval = later()
    items: list[int] = []
    log: Annotated[list[str], append] = []
    more: Annotated[list[str], extend] = []


@node
async def source() -> None: ...


@node
async def a() -> None: ...


@node
async def b() -> None: ...


@node
async def c() -> None: ...


def compiled(declare: Any) -> Plan:
    graph: Graph[Desk] = Graph(Desk, name="g")
    graph.start(source)
    declare(graph)
    return graph.compile()


def ways(plan: Plan, **fields: Any) -> list[str]:
    """The names of the nodes that follow `source`, with how often where that is more than once."""
    values = {**defaults(plan), **fields}
    found = route(plan, plan.by_name["source"], lambda name: values.get(name, UNSET))
    names = []
    for edge, times in found.taken:
        name = plan.nodes[plan.edges[edge].target].name
        names.append(name if times is None else f"{name} x{times}")
    return names


def defaults(plan: Plan) -> dict[str, Any]:
    """What the fields of the state begin with."""
    return {name: spec.default for name, spec in plan.schema.fields.items() if not spec.later}


def test_every_edge_whose_condition_holds_is_taken_and_otherwise_when_none_does() -> None:
    def declare(graph: Graph[Desk]) -> None:
        graph.edge(source, a, when="flag")
        graph.edge(source, b, when=lambda number: number > 3)
        graph.edge(source, c, otherwise=True)

    plan = compiled(declare)
    assert ways(plan) == ["c"]
    assert ways(plan, flag=True) == ["a"]
    assert ways(plan, flag=True, number=4) == ["a", "b"]


@pytest.mark.parametrize(
    ("field", "value", "holds"),
    [
        ("flag", True, True),
        ("flag", False, False),
        ("name", None, False),
        ("name", "", False),
        ("name", "x", True),
        ("items", [], False),
        ("items", [0], True),
        ("number", 0, True),  # a number is there, whatever it is
        ("approval", UNSET, False),
        ("approval", Approval(granted=False), True),
        ("approval.granted", Approval(granted=False), False),
        ("approval.granted", Approval(granted=True), True),
    ],
)
def test_a_field_as_a_condition_holds_when_there_is_something(field: str, value: Any, holds: bool) -> None:
    def declare(graph: Graph[Desk]) -> None:
        graph.edge(source, a, when=field)
        graph.edge(source, b, otherwise=True)

    plan = compiled_unchecked(declare)
    assert ways(plan, **{field.split(".")[0]: value}) == (["a"] if holds else ["b"])


def compiled_unchecked(declare: Any) -> Plan:
    """Compile where `approval` is written before, so that the checks have nothing against reading it."""

    @node(writes="approval")
    async def before() -> Approval:
        return Approval(granted=True)

    graph: Graph[Desk] = Graph(Desk, name="g")
    graph.start(before)
    graph.edge(before, source)
    declare(graph)
    return graph.compile()


def test_a_node_without_a_way_ends_its_branch() -> None:
    plan = compiled(lambda graph: graph.edge(source, a, when="flag"))
    assert ways(plan) == ["END"]
    assert ways(plan, flag=True) == ["a"]
    assert ways(compiled(lambda graph: None)) == ["END"]
    assert ways(compiled(lambda graph: graph.edge(source, END))) == ["END"]


def test_a_switch_takes_exactly_one_way() -> None:
    def declare(graph: Graph[Desk]) -> None:
        graph.switch(source, "kind", {Kind.A: a, Kind.B: [b, c]})

    plan = compiled(declare)
    assert ways(plan, kind=Kind.A) == ["a"]
    assert ways(plan, kind=Kind.B) == ["b", "c"]


def test_a_switch_over_a_path_tells_true_from_one() -> None:
    def declare(graph: Graph[Desk]) -> None:
        graph.switch(source, "approval.granted", {True: a, False: b})

    plan = compiled_unchecked(declare)
    assert ways(plan, approval=Approval(granted=True)) == ["a"]
    assert ways(plan, approval=Approval(granted=False)) == ["b"]
    numbers = compiled(lambda graph: graph.switch(source, "number", {0: a, 1: b}, default=c))
    assert ways(numbers, number=1) == ["b"]
    assert ways(numbers, number=True) == ["c"]
    assert ways(numbers, number=7) == ["c"]


def test_a_switch_over_a_list_takes_every_case_that_is_named_once() -> None:
    def declare(graph: Graph[Desk]) -> None:
        graph.switch(source, "words", {"x": a, "y": b})

    plan = compiled(declare)
    assert ways(plan, words=["y", "x", "y"]) == ["b", "a"]
    assert ways(plan, words=[]) == ["END"]


def test_a_value_without_a_case_is_told_with_the_cases_that_there_are() -> None:
    def declare(graph: Graph[Desk]) -> None:
        graph.switch(source, "word", {"x": a, "y": b})

    plan = compiled(declare)
    with pytest.raises(SwitchMissed, match="no case for 'z'; it has 'x', 'y'") as caught:
        ways(plan, word="z")
    assert (caught.value.node, caught.value.value, caught.value.cases) == ("source", "z", ("x", "y"))


def test_groups_are_independent_and_each_that_applies_is_followed() -> None:
    def declare(graph: Graph[Desk]) -> None:
        graph.edge(source, c)
        graph.switch(source, "word", {"x": a, "y": b})

    assert ways(compiled(declare), word="y") == ["c", "b"]


def test_an_each_is_taken_once_for_every_item_and_an_empty_one_goes_elsewhere() -> None:
    plan = compiled(lambda graph: graph.each(source, "items", a, collect=b))
    assert ways(plan, items=[7, 8, 9]) == ["a x3"]
    assert ways(plan, items=[]) == ["b"]
    plan = compiled(lambda graph: graph.each(source, "items", a, collect=b, empty=c))
    assert ways(plan, items=[]) == ["c"]


def test_items_that_a_function_makes_are_kept_for_the_log() -> None:
    def doubled(items: list[int]) -> list[int]:
        return [2 * n for n in items]

    plan = compiled(lambda graph: graph.each(source, doubled, a, collect=b))
    values = {**defaults(plan), "items": [1, 2]}
    found = route(plan, plan.by_name["source"], values.__getitem__)
    [(edge, times)] = found.taken
    assert times == 2
    assert found.made == {edge: [2, 4]}


def test_a_choice_is_a_field_a_path_or_a_function_of_fields() -> None:
    approval = Approval(granted=True, extra={"deep": 3})
    look = {"approval": approval, "number": 5}.__getitem__
    assert read_choice("number", look) == 5
    assert read_choice("approval.granted", look) is True
    assert read_choice("approval.extra.deep", look) == 3
    assert read_choice(lambda number, approval: (number, approval.granted), look) == (5, True)


def test_a_function_of_what_is_not_there_is_told_so() -> None:
    with pytest.raises(NotWritten, match="number is not written yet"):
        read_choice(lambda number: number, lambda name: UNSET)


def test_a_switch_over_an_empty_list_that_nobody_declared_goes_to_the_default() -> None:
    @node
    async def ask_it() -> None: ...

    @node
    async def one() -> None: ...

    graph = Graph(Desk, name="g")
    graph.start(ask_it)
    graph.switch(ask_it, lambda number: [], {1: one}, default=END)
    plan = graph.compile()
    (taken,) = route(plan, plan.by_name["ask_it"], lambda name: 0).taken
    assert plan.edges[taken.edge].kind == "default"
