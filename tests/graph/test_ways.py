"""What a vertex may follow."""

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import END, Item, node
from orchestra_graph.graph.ways import Choices, Ways, may_follow, may_follow_with, ways_of
from orchestra_graph.state.schema import State

EVERYTHING = 0b11


def choices(*alternatives: tuple[int, ...]) -> Choices:
    return Choices(alternatives, alternatives)


def test_some_choice_may_follow_only_good_edges() -> None:
    ways = Ways((choices((1,), (2, 3)),))

    assert may_follow(ways, {1: 0b01, 2: 0b10, 3: 0b11}.__getitem__, EVERYTHING) == 0b11
    assert may_follow(ways, {1: 0b01, 2: 0b10, 3: 0b00}.__getitem__, EVERYTHING) == 0b01


def test_independent_groups_are_followed_both() -> None:
    ways = Ways((choices((1,)), choices((2,), ())))

    assert may_follow(ways, {1: 0b01, 2: 0}.__getitem__, EVERYTHING) == 0b01


def test_nothing_taken_is_the_way_to_the_end() -> None:
    ways = Ways((choices((1,), ()), choices((2,), ())), drop=3)

    assert may_follow(ways, {1: 0, 2: 0, 3: 0b01}.__getitem__, EVERYTHING) == 0b01
    assert may_follow(ways, {1: 0b10, 2: 0, 3: 0}.__getitem__, EVERYTHING) == 0b10
    assert may_follow(Ways(), lambda edge: EVERYTHING, EVERYTHING) == 0


def test_an_edge_is_followed_with_what_goes_with_it() -> None:
    ways = Ways((choices((1, 2), (3,)), choices((4,), (5,))), drop=None)
    known = {1: 0, 2: 0b01, 3: 0, 4: 0b11, 5: 0}

    assert may_follow_with(ways, 1, known.__getitem__, EVERYTHING) == 0b01
    assert may_follow_with(ways, 3, known.__getitem__, EVERYTHING) == 0b11
    assert may_follow_with(ways, 4, known.__getitem__, EVERYTHING) == 0


def test_the_drop_edge_is_followed_alone() -> None:
    ways = Ways((choices((1,), ()),), drop=2)

    assert may_follow_with(ways, 2, {1: 0, 2: 0}.__getitem__, EVERYTHING) == EVERYTHING
    assert may_follow_with(ways, 1, {1: 0, 2: 0}.__getitem__, EVERYTHING) == EVERYTHING


def test_pairs_are_followed_together() -> None:
    ways = Ways((Choices(((1,), (2,)), ((1, 2),)), choices((3,), (4,))), many=(4,))

    assert set(ways.together()) == {(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (4, 4)}
    assert ways.possible() == {1, 2, 3, 4}


class Job(State):
    text: str
    kind: str = "a"
    parts: list[str] = []


@node
def first(text: str) -> None: ...


@node
def one(text: str) -> None: ...


@node
def two(text: str) -> None: ...


@node
def part(item: Item[str]) -> None: ...


def ways_after_first(graph: Graph[Job], *, filled: bool = False, several: bool = False) -> tuple[Ways, dict[str, int]]:
    plan = graph.compile()
    found = ways_of(plan, filled=lambda group: filled, several=lambda group: several)
    edges = {f"{e.kind} {plan.nodes[e.target].name}": i for i, e in enumerate(plan.edges) if e.source == 1}
    return found[1], edges


def test_plain_edges_and_conditions() -> None:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(first, one, when="kind")
    graph.edge(first, two)

    ways, edges = ways_after_first(graph)

    always, when = edges["always two"], edges["when one"]
    assert ways == Ways((Choices(((always, when), (always,)), ((always, when), (always,))),))


def test_a_condition_and_its_otherwise() -> None:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(first, one, when="kind")
    graph.edge(first, two, otherwise=True)

    ways, edges = ways_after_first(graph)

    when, otherwise = edges["when one"], edges["otherwise two"]
    assert ways == Ways((choices((when,), (otherwise,)),))


def test_a_condition_alone_may_take_nothing() -> None:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.edge(first, one, when="kind")

    ways, edges = ways_after_first(graph)

    assert ways == Ways((choices((edges["when one"],), ()),), drop=edges["drop END"])


def test_a_value_may_lead_to_several_nodes_and_several_values_to_one() -> None:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.switch(first, "kind", {"a": [one, two], "b": one, "c": one}, default=END)

    ways, edges = ways_after_first(graph)
    to_one, to_two, default = edges["case one"], edges["case two"], edges["default END"]
    assert ways == Ways((choices((to_one, to_two), (to_one,), (default,)),))

    several, _ = ways_after_first(graph, several=True)
    assert several.groups[0].most == ((to_one, to_two, default), ())


def test_an_each_goes_into_its_body_many_times_or_past_it() -> None:
    graph = Graph(Job, name="job")
    graph.start(first)
    graph.each(first, "parts", part, collect=one)

    ways, edges = ways_after_first(graph)
    body, empty = edges["each part"], edges["empty one"]
    assert ways == Ways((choices((body,), (empty,)),), many=(body,))

    filled, _ = ways_after_first(graph, filled=True)
    assert filled == Ways((choices((body,)),), many=(body,))


def test_the_edges_for_an_error_are_followed_instead_of_all_others() -> None:
    ways = Ways((choices((1,)),), instead=((2, 3), (4,)))

    assert may_follow(ways, {1: 0, 2: 0b11, 3: 0b01, 4: 0}.__getitem__, EVERYTHING) == 0b01
    assert may_follow_with(ways, 2, {1: 0, 2: 0, 3: 0b01, 4: 0}.__getitem__, EVERYTHING) == 0b01
    assert may_follow_with(ways, 4, {1: 0, 2: 0, 3: 0, 4: 0}.__getitem__, EVERYTHING) == EVERYTHING
    assert set(ways.together()) == {(2, 3)}
    assert ways.possible() == {1, 2, 3, 4}
    assert ways.unwritten() == {2, 3, 4}


def test_edges_are_surely_followed_together_where_none_comes_alone() -> None:
    both = Ways((choices((1, 2)), choices((3,))))
    either = Ways((choices((1,), (2,)), choices((3,), ())))

    assert set(both.surely_together()) == {(1, 2), (1, 3), (2, 3)}
    assert set(either.surely_together()) == set()
