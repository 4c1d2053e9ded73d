"""The marking: what blocks a wave, asked of frames, is what blocks it, asked of every item; and who waits is woken."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra_graph.core.events import Event
from orchestra_graph.core.marking import Marking, Watcher
from orchestra_graph.core.run import RunState
from orchestra_graph.graph.topology import Coordinate, Scope, Stamp, Topology
from tests.core.graphs import random_case
from tests.core.oracle import Regions, TooLong, regions_of, sequential
from tests.core.simulate import any_of, simulate

Place = tuple[int, Stamp]

# START -> 1 -> 2 -> 3 -> END, a loop 3 -> 2 inside a loop 3 -> 1, and 4 beside it all.
NESTED = Topology(6, [(0, 1), (1, 2), (2, 3), (3, 2), (3, 1), (3, 5), (0, 4), (4, 5)])
# START -> 1 -> each(2 -> 3, 3 -> 2) -> 4 -> END: a loop in the body of an `each`.
EACH = Topology(6, [(0, 1), (1, 2), (2, 3), (3, 2), (3, 4), (1, 4), (4, 5)], {}, [Scope(1, frozenset({2, 3}), 4)])


def _turn_stamps(topology: Topology, vertex: int, turns: int = 3) -> list[Stamp]:
    """Every stamp of a vertex with few turns and instances."""
    stamps: list[Stamp] = [()]
    for depth in range(len(topology.chain[vertex])):
        loop = topology.is_loop(vertex, depth)
        coordinates: list[Coordinate] = [i if loop else ((), i) for i in range(turns)]
        stamps = [(*s, c) for s in stamps for c in coordinates]
    return stamps


def _places(topology: Topology) -> list[Place]:
    return [(v, s) for v in range(topology.size) for s in _turn_stamps(topology, v)]


def _naively_blocked(topology: Topology, items: list[Place], join: int, stamp: Stamp) -> bool:
    return any(topology.blocks(v, at, join, stamp) for v, at in items if (v, at) != (join, stamp))


@pytest.mark.parametrize("topology", [NESTED, EACH], ids=["nested loops", "a loop in an each"])
@settings(derandomize=True, max_examples=150, deadline=None)
@given(data=st.data())
def test_a_wave_is_blocked_when_an_item_blocks_it_and_woken_when_none_does(
    topology: Topology, data: st.DataObject
) -> None:
    marking = Marking(topology)
    places = _places(topology)
    joins = [p for p in places if topology.rule[p[0]].kind != "each_one"]
    items: list[Place] = []
    asleep: dict[int, Watcher] = {}
    for _ in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from(["enter", "enter", "leave", "ask"]))
        if action == "enter":
            items.append(data.draw(st.sampled_from(places)))
            marking.enter(*items[-1])
        elif action == "leave" and items:
            gone = items.pop(data.draw(st.integers(0, len(items) - 1)))
            for watcher in marking.leave(*gone):
                if marking.blocked(watcher):
                    continue
                asleep.pop(id(watcher), None)
        elif action == "ask":
            watcher = Watcher(*data.draw(st.sampled_from(joins)))
            if marking.blocked(watcher):
                asleep[id(watcher)] = watcher
            assert (watcher.blocked_by is not None) == _naively_blocked(topology, items, watcher.join, watcher.stamp)
        for watcher in asleep.values():
            blocking = [v for v, at in items if topology.blocks(v, at, watcher.join, watcher.stamp)]
            assert blocking, "a watcher sleeps though nothing blocks its wave"


@settings(derandomize=True, max_examples=60, deadline=None)
@given(data=st.data())
def test_the_marking_of_any_graph_answers_as_the_plain_rule(data: st.DataObject) -> None:
    topology = random_case(data.draw(st.integers(0, 10_000))).plan.topology
    chance = random.Random(data.draw(st.integers(0, 1_000)))
    items = [_any_place(topology, chance) for _ in range(chance.randrange(1, 12))]
    marking = Marking(topology)
    for item in items:
        marking.enter(*item)
    for _ in range(20):
        join, stamp = _any_place(topology, chance)
        if topology.rule[join].kind != "each_one":
            assert marking.blocked(Watcher(join, stamp)) == _naively_blocked(topology, items, join, stamp)


def _any_place(topology: Topology, chance: random.Random) -> Place:
    vertex = chance.randrange(topology.size)
    loops = [topology.is_loop(vertex, d) for d in range(len(topology.chain[vertex]))]
    return vertex, tuple(chance.randrange(2) if loop else ((), chance.randrange(2)) for loop in loops)


def test_items_that_left_leave_nothing_behind() -> None:
    marking = Marking(NESTED)
    places = _places(NESTED)
    for place in places:
        marking.enter(*place)
    assert sorted(marking.occupied()) == list(range(6))
    for place in places:
        marking.leave(*place)
    assert marking.root.total == 0
    assert marking.root.occupied == 0
    assert not any(marking.root.children.values())


def test_a_turn_that_was_over_blocks_again_when_an_item_comes_back_to_it() -> None:
    """A slow token of turn 0 reaches turn 1 when turn 1 had been left already."""
    marking = Marking(NESTED)
    marking.enter(2, (1, 0))
    marking.leave(2, (1, 0))
    marking.enter(3, (2, 0))
    later = Watcher(1, (2,))
    assert not marking.blocked(later)
    marking.enter(2, (1, 0))
    assert marking.blocked(later)
    assert later.blocked_by == 2
    assert marking.leave(2, (1, 0)) == [later]
    assert not marking.blocked(later)


def test_what_a_join_waits_for_is_said_as_it_is_now() -> None:
    """The item of the earlier turn goes on meanwhile; the join watches the turn, so it is not woken for that."""
    marking = Marking(NESTED)
    marking.enter(2, (0, 0))
    marking.enter(1, (1,))
    join = Watcher(1, (1,))
    assert marking.blocked(join)
    assert join.blocked_by == 2
    marking.enter(3, (0, 0))
    assert marking.leave(2, (0, 0)) == []
    assert join.blocked_by == 3
    assert marking.leave(3, (0, 0)) == [join]


def test_instances_of_an_each_do_not_wait_for_one_another() -> None:
    marking = Marking(EACH)
    marking.enter(3, (((), 0), 0))
    marking.enter(2, (((), 1), 1))
    assert not marking.blocked(Watcher(2, (((), 1), 1)))
    assert marking.blocked(Watcher(2, (((), 0), 1))), "the same instance, an earlier turn"
    assert marking.blocked(Watcher(4, ())), "the collector waits for all of them"


# -- the rule itself -----------------------------------------------------------------------------------


class _Pairs:
    """Collects the items that were live together with a wave."""

    def __init__(self) -> None:
        self.found: dict[tuple[Place, Place], None] = {}

    def after(self, run: RunState, event: Event) -> None:
        items = [(a.vertex, a.stamp) for a in run.live.values()] + list(run.waves)
        self.found.update({(item, wave): None for wave in run.waves for item in items if item != wave})


def _can_come(regions: Regions, item: Place, wave: Place) -> bool:
    """Whether some path from *item* ends at just this wave: found by walking, with no more turns than could matter."""
    most = 1 + max((c for c in (*item[1], *wave[1]) if isinstance(c, int)), default=0)
    todo, seen = deque([item]), {item}
    while todo:
        vertex, at = todo.popleft()
        for edge, (source, target) in enumerate(regions.edges):
            if source != vertex:
                continue
            after = target, regions.move(edge, at, (), 0)[0]
            if after == wave:
                return True
            if after not in seen and all(c <= most for c in after[1] if isinstance(c, int)):
                seen.add(after)
                todo.append(after)
    return False


@pytest.mark.properties
def test_an_item_blocks_a_wave_exactly_when_some_path_leads_there() -> None:
    """Never too little; and never for nothing where loops have one entry and all of a body leads to its collector.

    An item that blocks has the smaller key (lemma L2).
    """
    exact = 0
    for seed in range(250):
        case = random_case(seed)
        regions = regions_of(case)
        pairs = _Pairs()
        try:
            sequential(case, regions, limit=40)
        except TooLong:
            continue
        simulate(case, any_of(case, seed), watch=pairs)
        topology = case.plan.topology
        strange = any(len(r.entries) > 1 for r in topology.regions) or any(
            topology.end in topology.targets(v) for scope in topology.scopes for v in scope.members
        )
        for item, wave in pairs.found:
            blocks = topology.blocks(*item, *wave)
            comes = _can_come(regions, item, wave)
            assert blocks or not comes, f"{case.name}: {item} comes to {wave} and does not block it"
            inside = regions.around[wave[0]][regions.shared(item[0], wave[0]) :]
            if not strange and all(regions.areas[area].head is not None for area in inside):
                assert blocks == comes, f"{case.name}: {item} blocks {wave} for nothing"
                exact += 1
            if blocks:
                assert regions.key(*item, ()) < regions.key(*wave, ())
    assert exact > 1_000, exact
