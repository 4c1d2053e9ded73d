"""Regions, stamps and the join rule; the cases are those of `docs/semantics.md`."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra_graph.graph.policies import JoinRule
from orchestra_graph.graph.topology import Scope, Topology
from tests.graph.drawing import draw
from tests.graph.player import Player, bits
from tests.graph.shapes import Each, shape


def loops(topology: Topology) -> list[tuple[int | None, list[int]]]:
    """The head and the members of every loop."""
    return [(region.head, sorted(region.members)) for region in topology.regions if region.kind == "loop"]


def test_a_line_has_no_regions() -> None:
    topology = Topology(4, [(0, 1), (1, 2), (2, 3)])

    assert topology.regions == ()
    assert topology.chain == ((), (), (), ())
    assert topology.order == (0, 1, 2, 3)
    assert topology.end == 3


def test_a_loop_is_a_region_whose_head_is_where_it_is_entered() -> None:
    topology = Topology(5, [(0, 1), (1, 2), (2, 3), (3, 2), (3, 4)])

    assert loops(topology) == [(2, [2, 3])]
    assert topology.chain == ((), (), (0,), (0,), ())


def test_loops_nest() -> None:
    # 1 -> 2 -> 3 -> 2, 3 -> 1
    topology = Topology(5, [(0, 1), (1, 2), (2, 3), (3, 2), (3, 1), (3, 4)])

    assert loops(topology) == [(1, [1, 2, 3]), (2, [2, 3])]
    assert topology.regions[1].parent == 0
    assert topology.chain[3] == (0, 1)
    assert topology.innermost(2, 3) == 2
    assert topology.innermost(1, 3) == 1


def test_a_loop_of_several_entries_takes_the_first_declared_as_its_head() -> None:
    topology = Topology(4, [(0, 1), (0, 2), (1, 2), (2, 1), (2, 3)])

    (region,) = topology.regions
    assert region.head == 1
    assert region.entries == (1, 2)


def test_the_body_of_an_each_is_a_region() -> None:
    each = Each(maker=1, entry=2, members=frozenset([2, 3]), collector=4)
    topology = shape(6, {0: [("and", [1])], 2: [("and", [3])], 3: [("and", [4])], 4: [("and", [5])]}, eaches=[each])

    (region,) = topology.topology.regions
    assert region.kind == "scope"
    assert region.head is None
    assert region.members == {2, 3}
    assert not topology.topology.is_loop(2, 0)


# -- join rules ------------------------------------------------------------------------------------------


def test_a_vertex_of_several_in_edges_gathers_and_one_of_a_single_one_does_not() -> None:
    topology = Topology(5, [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)])

    assert [rule.kind for rule in topology.rule] == ["each_one", "each_one", "each_one", "gather", "gather"]


def test_the_collector_of_an_each_gathers_even_when_empty_lists_go_elsewhere() -> None:
    # 1 -> each 2 -> 3; the empty list of 1 goes to 4
    edges = [(0, 1), (1, 2), (1, 4), (2, 3), (3, 5), (4, 5)]
    topology = Topology(6, edges, scopes=[Scope(1, frozenset([2]), 3)])

    assert topology.rule[3].kind == "gather"


def test_a_rule_that_is_set_counts_but_the_end_always_gathers() -> None:
    race = JoinRule(kind="first")
    topology = Topology(4, [(0, 1), (0, 2), (1, 2), (2, 3)], rules={2: race, 3: race})

    assert topology.rule[2] is race
    assert topology.rule[3].kind == "gather"


# -- stamps ----------------------------------------------------------------------------------------------


def test_an_edge_back_to_the_head_begins_the_next_turn() -> None:
    topology = Topology(5, [(0, 1), (1, 2), (2, 1), (2, 3), (3, 4)])
    enter, inside, back, leave, _ = range(5)

    assert topology.advance(enter, (), ()) == ((0,), ())
    assert topology.advance(inside, (3,), ()) == ((3,), ())
    assert topology.advance(back, (3,), ()) == ((4,), ())
    assert topology.advance(leave, (3,), ()) == ((), ((1, (), 3),))


def test_the_next_turn_of_an_outer_loop_begins_the_inner_one_anew() -> None:
    topology = Topology(5, [(0, 1), (1, 2), (2, 3), (3, 2), (3, 1), (3, 4)])

    assert topology.advance(4, (2, 7), ())[0] == (3,)
    assert topology.advance(1, (3,), ())[0] == (3, 0)


def test_an_item_has_its_instance_and_who_made_it_in_its_stamp() -> None:
    each = Each(maker=1, entry=2, members=frozenset([2]), collector=3)
    model = shape(5, {0: [("and", [1])], 2: [("and", [3])], 3: [("and", [4])]}, eaches=[each])
    into, out = model.edge(1, 2), model.edge(2, 3)

    stamp, discriminator = model.topology.advance(into, (), (), 2)
    assert stamp == (((), 2),)
    assert model.topology.advance(out, stamp, discriminator) == ((), ((1, (), 2),))


def test_two_turns_that_send_out_items_make_different_instances() -> None:
    # 1 goes round by itself, and in every turn over its items
    each = Each(maker=1, entry=2, members=frozenset([2]), collector=3)
    groups = {0: [("and", [1])], 1: [("maybe", [1])], 2: [("and", [3])], 3: [("and", [4])]}
    model = shape(5, groups, eaches=[each])  # type: ignore[arg-type]
    into = model.edge(1, 2)

    first, second = (model.topology.advance(into, (turn,), (), 0) for turn in (0, 1))

    assert first != second
    assert first[0] != second[0]


def test_paths_that_are_not_gathered_are_told_apart() -> None:
    topology = Topology(4, [(0, 1), (0, 2), (1, 2), (2, 3)], rules={2: JoinRule(kind="each_one")})

    assert topology.advance(1, (), ()) == ((), ((0, (), 0),))
    assert topology.advance(2, (), ()) == ((), ((0, (), 1),))


# -- who blocks whom -------------------------------------------------------------------------------------


def test_a_join_waits_for_what_can_still_come_in_its_turn() -> None:
    topology = Topology(5, [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)])

    assert topology.blocks(1, (), 3, ())
    assert not topology.blocks(3, (), 1, ())


def test_the_head_of_an_inner_loop_does_not_wait_for_the_outer_one() -> None:
    # case 1: F=1 -> L=2, C=3; L -> B=4; B -> L | J=5; C -> J; J -> D=6; D -> F | END=7
    edges = [(0, 1), (1, 2), (1, 3), (2, 4), (4, 2), (4, 5), (3, 5), (5, 6), (6, 1), (6, 7)]
    topology = Topology(8, edges)

    assert not topology.blocks(3, (0,), 2, (0, 0))
    assert topology.blocks(2, (0, 0), 5, (0,))
    assert topology.blocks(3, (0,), 5, (0,))


def test_an_earlier_turn_blocks_and_a_later_one_does_not() -> None:
    topology = Topology(5, [(0, 1), (1, 2), (2, 1), (2, 3), (3, 4)])

    assert topology.blocks(2, (0,), 1, (1,))
    assert not topology.blocks(2, (1,), 1, (1,))


def test_another_instance_of_an_each_never_blocks() -> None:
    each = Each(maker=1, entry=2, members=frozenset([2, 3, 4]), collector=5)
    groups = {0: [("and", [1])], 2: [("and", [3, 4])], 3: [("and", [4])], 4: [("and", [5])], 5: [("and", [6])]}
    topology = shape(7, groups, eaches=[each]).topology  # type: ignore[arg-type]
    one, other = (((), 0),), (((), 1),)

    assert topology.blocks(3, one, 4, one)
    assert not topology.blocks(3, other, 4, one)
    assert topology.blocks(3, other, 5, ())


def test_two_vertices_that_hand_over_to_each_other_do_not_wait_for_each_other() -> None:
    # case 2: the first fires at once, the second waits for it
    topology = Topology(4, [(0, 1), (0, 2), (1, 2), (2, 1), (2, 3)])

    assert not topology.blocks(2, (0,), 1, (0,))
    assert topology.blocks(1, (0,), 2, (0,))


def test_work_that_leads_only_to_a_join_is_known() -> None:
    topology = Topology(5, [(0, 1), (0, 2), (1, 3), (2, 3), (2, 4), (3, 4)])

    assert topology.only_to(1, 3)
    assert not topology.only_to(2, 3)


# -- random graphs ---------------------------------------------------------------------------------------


@pytest.mark.properties
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), more=st.sampled_from([0, 3]), rules=st.sampled_from([0, 0.4]))
def test_an_activation_has_one_name_and_comes_after_all_of_its_past(seed: int, more: int, rules: float) -> None:
    rng = Random(seed)
    model = draw(rng, size=rng.choice((6, 10, 14)), more=more, rules=rules)
    topology = model.topology
    ran = Player(model, rng).play()

    names = [(run.vertex, run.stamp, run.discriminator) for run in ran]
    assert len(set(names)) == len(names)

    keys = [topology.key(*name) for name in names]
    assert all(keys[n] < keys[number] for number, run in enumerate(ran) for n in bits(run.past))


@pytest.mark.properties
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), more=st.sampled_from([0, 3]))
def test_every_loop_can_be_left_out_by_its_head(seed: int, more: int) -> None:
    topology = draw(Random(seed), more=more).topology

    for region in topology.regions:
        inner = [r for r in topology.regions if r.members < region.members]
        assert all(topology.chain[v][: len(topology.chain[v])].count(region.index) == 1 for v in region.members)
        assert all(r.members <= region.members - {region.head} for r in inner)
    for v, chain in enumerate(topology.chain):
        assert [r for r in range(len(topology.regions)) if v in topology.regions[r].members] == sorted(chain)
