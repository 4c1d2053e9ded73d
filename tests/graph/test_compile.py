"""From a declared graph to a plan, or to everything that is wrong with it."""

from typing import Any

import pytest
from pydantic import SecretStr

from orchestra_graph.errors import GraphError
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, Item, ask, node
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.question import Question
from orchestra_graph.state.schema import State, later


class Job(State):
    text: str
    parts: list[str] = []
    topics: list[str] = []
    done: bool = False
    allowed: bool = later()


@node
def first(text: str) -> None: ...


@node
def second(text: str) -> None: ...


@node
def third(text: str) -> None: ...


@node
def part(item: Item[str]) -> None: ...


def compiled(graph: Graph[Any]) -> Plan:
    plan = graph.compile()
    assert plan.warnings == ()
    return plan


def edges(plan: Plan, source: str) -> list[tuple[str, str]]:
    index = plan.by_name[source].index
    return [(e.kind, plan.nodes[e.target].name) for e in plan.edges if e.source == index]


def codes(graph: Graph[Any]) -> list[str]:
    with pytest.raises(GraphError) as caught:
        graph.compile()
    return [problem.code for problem in caught.value.problems]


def job() -> Graph[Job]:
    graph = Graph(Job, name="job")
    graph.start(first)
    return graph


def test_the_start_is_the_first_vertex_and_the_end_the_last() -> None:
    plan = compiled(job())

    assert [(n.index, n.name, n.kind) for n in plan.nodes] == [
        (0, "START", "start"),
        (1, "first", "work"),
        (2, "END", "end"),
    ]
    assert plan.topology.size == 3


def test_a_node_without_edges_leads_to_the_end() -> None:
    assert edges(compiled(job()), "first") == [("drop", "END")]


def test_a_node_whose_conditions_may_all_fail_leads_to_the_end() -> None:
    graph = job()
    graph.edge(first, second, when="done")

    assert edges(compiled(graph), "first") == [("when", "second"), ("drop", "END")]


def test_a_node_with_an_otherwise_never_drops() -> None:
    graph = job()
    graph.edge(first, second, when="done")
    graph.edge(first, third, otherwise=True)

    assert edges(compiled(graph), "first") == [("when", "second"), ("otherwise", "third")]


def test_a_switch_over_a_list_may_take_nothing() -> None:
    graph = job()
    graph.switch(first, "topics", {"a": second}, default=third)

    assert edges(compiled(graph), "first") == [("case", "second"), ("default", "third"), ("drop", "END")]


def test_an_empty_list_goes_to_the_collector() -> None:
    graph = job()
    graph.each(first, "parts", part, collect=second)

    plan = compiled(graph)

    assert edges(plan, "first") == [("each", "part"), ("empty", "second")]
    assert edges(plan, "part") == [("always", "second")]
    assert plan.topology.scopes[0].members == {plan.by_name["part"].index}


def test_an_empty_list_goes_where_it_is_told() -> None:
    graph = job()
    graph.each(first, "parts", part, collect=second, empty=third)

    plan = compiled(graph)

    assert edges(plan, "first") == [("each", "part"), ("empty", "third")]
    assert plan.topology.rule[plan.by_name["second"].index].kind == "gather"


def test_an_each_that_nobody_waits_for_ends_by_itself() -> None:
    graph = job()
    graph.each(first, "parts", part)

    plan = compiled(graph)

    assert edges(plan, "first") == [("each", "part"), ("drop", "END")]
    assert edges(plan, "part") == [("drop", "END")]


def test_an_each_that_comes_back_is_a_loop() -> None:
    graph = job()
    graph.each(first, "parts", part, collect=first)

    plan = compiled(graph)

    assert edges(plan, "first") == [("each", "part"), ("drop", "END")]
    assert edges(plan, "part") == [("always", "first")]
    assert [region.kind for region in plan.topology.regions] == ["loop", "scope"]


def test_values_of_one_target_share_an_edge() -> None:
    graph = job()
    graph.switch(first, "text", {"a": second, "b": [second, third]}, default=END)

    plan = compiled(graph)

    assert [(e.values, plan.nodes[e.target].name) for e in plan.edges if e.kind == "case"] == [
        (("a", "b"), "second"),
        (("b",), "third"),
    ]


def test_what_a_node_reads_and_writes_is_in_the_plan() -> None:
    @ask(writes="allowed")
    def approve(text: str) -> Question[bool] | None:
        return Question(text)

    @node
    def look(state: Job) -> None: ...

    graph = job()
    graph.chain(first, approve, look)

    plan = compiled(graph)

    asked = plan.by_name["approve"]
    assert (asked.kind, asked.reads, asked.answer, asked.optional) == ("ask", ("text",), bool, True)
    assert plan.by_name["look"].reads == tuple(Job.model_fields)


def test_every_loop_without_a_limit_has_the_default() -> None:
    graph = job()
    graph.edge(first, second)
    graph.edge(second, first, when="done")

    plan = compiled(graph)

    assert plan.by_name["first"].counts_turns
    assert plan.by_name["first"].turns is None


def test_the_fingerprint_follows_the_form() -> None:
    def made(*, more: bool = False, limit: int | None = None) -> str:
        graph = job()
        graph.edge(first, second)
        if more:
            graph.edge(second, third)
        if limit:
            graph.limit(first, turns=limit)
        return compiled(graph).fingerprint

    assert made() == made()
    assert made() != made(more=True)
    assert len(made()) == 32


# -- all at once -----------------------------------------------------------------------------------------


def test_mistakes_of_functions_and_of_the_graph_are_named_together() -> None:
    @node(writes="text")
    def wrong(text: str) -> int:
        return 1

    @node
    def unknown(txt: str) -> None: ...

    @node
    def early(allowed: bool) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(wrong)
    graph.switch(wrong, "done", {True: unknown})
    graph.edge(wrong, early)

    assert set(codes(graph)) == {
        "unknown-parameter",
        "wrong-type-written",
        "read-before-write",
        "unhandled-case",
    }


def test_what_an_unreadable_node_might_write_is_not_held_against_others() -> None:
    @node(writes="allwed")
    def decide(text: str) -> bool:
        return True

    @node
    def use(allowed: bool) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(decide)
    graph.edge(decide, use)

    assert codes(graph) == ["unknown-field"]


def test_one_mistake_is_not_named_again_behind_it() -> None:
    @node
    def use(allowed: bool) -> None: ...

    @node
    def use_again(allowed: bool) -> None: ...

    graph = Graph(Job, name="job")
    graph.start(use)
    graph.edge(use, use_again)

    assert codes(graph) == ["read-before-write"]


def test_fields_and_functions_are_named_together() -> None:
    class Secret(State):
        token: SecretStr

    @node
    def work(tokn: str) -> None: ...

    graph = Graph(Secret, name="job")
    graph.start(work)

    assert sorted(codes(graph)) == ["unknown-parameter", "unstorable"]


def test_a_state_that_names_what_is_not_defined_is_a_problem() -> None:
    class Open(State):
        later: "Missing"  # type: ignore[name-defined]  # noqa: F821

    graph: Graph[Any] = Graph(Open, name="job")
    graph.start(first)

    assert codes(graph) == ["incomplete-state"]


def test_a_graph_error_lists_every_problem_with_its_graph() -> None:
    graph = job()
    graph.edge(first, "secnd")
    graph.edge(first, "thrd")

    with pytest.raises(GraphError) as caught:
        graph.compile()

    assert str(caught.value).startswith("2 problems:\n\njob: 'secnd' is not in the graph.")
    assert {problem.graph for problem in caught.value.problems} == {"job"}


@pytest.mark.parametrize("limit", [0, -1])
def test_an_each_must_let_one_run(limit: int) -> None:
    graph = job()
    graph.each(first, "parts", part, limit=limit)

    assert codes(graph) == ["bad-limit"]


def test_an_each_without_a_node_for_the_work_is_a_problem() -> None:
    graph = job()
    graph.each(first, "parts", END)

    assert codes(graph) == ["bad-each"]


def test_a_choice_that_is_neither_path_nor_function_is_a_problem() -> None:
    graph: Any = job()
    graph.edge(first, second, when=3)

    assert codes(graph) == ["bad-choice"]


def test_a_loop_without_a_way_out_may_be_left_by_a_limit() -> None:
    graph = job()
    graph.edge(first, second)
    graph.edge(second, first)

    with pytest.raises(GraphError) as caught:
        graph.compile()
    assert "graph.limit(first, turns=10, then=...)" in caught.value.problems[0].mend
    graph.limit(first, turns=10, then=third)
    assert ("limit", "third") in edges(compiled(graph), "first")
