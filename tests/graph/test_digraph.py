"""What the compile step asks of a directed graph."""

from orchestra_graph.graph.digraph import closed_ancestors, components_in_order, depth_first, reachable

EDGES: dict[int, list[int]] = {0: [1, 2], 1: [3], 2: [3], 3: [1, 4], 4: []}


def test_components_come_in_topological_order_and_say_whether_they_turn() -> None:
    found = components_in_order([0, 1, 2, 3, 4], EDGES, rank=lambda v: v)

    assert found == [
        (frozenset([0]), False),
        (frozenset([2]), False),
        (frozenset([1, 3]), True),
        (frozenset([4]), False),
    ]


def test_ties_go_by_rank() -> None:
    order = [set(members) for members, _ in components_in_order([0, 1, 2], {0: [], 1: [], 2: []}, rank=lambda v: -v)]

    assert order == [{2}, {1}, {0}]


def test_a_vertex_with_an_edge_to_itself_turns() -> None:
    assert components_in_order([0], {0: [0]}, rank=lambda v: v) == [(frozenset([0]), True)]


def test_depth_first_follows_the_order_given() -> None:
    preorder, postorder = depth_first(0, EDGES.__getitem__)

    assert preorder == {0: 0, 1: 1, 3: 2, 4: 3, 2: 4}
    assert postorder == [4, 3, 1, 2, 0]


def test_what_can_be_reached() -> None:
    assert reachable([1], EDGES) == {1, 3, 4}
    assert reachable([], EDGES) == set()


def test_ancestors_are_those_with_a_path_of_an_edge() -> None:
    found = closed_ancestors([0, 1, 2, 3, 4], EDGES)

    assert found[0] == 0
    assert found[1] == found[3] == 0b1111
    assert found[4] == 0b1111
    assert found[2] == 0b1
