"""Which facts hold where: small graphs by hand, random ones against runs."""

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra_graph.graph.flow import Facts, Flow, solve
from orchestra_graph.graph.policies import JoinRule
from orchestra_graph.graph.waves import Ending, Losses, Race, Waves, Withdrawal
from tests.graph.drawing import draw
from tests.graph.player import Newest, Player, bits
from tests.graph.shapes import Each, Group, Model, Split, shape


def flow(
    model: Model,
    makes: Sequence[int] = (),
    breaks: Sequence[int] = (),
    *,
    initial: bool = False,
    sure: Mapping[int, int] | None = None,
    start: int = 0,
) -> Flow:
    """The flow of one fact."""
    facts = Facts(
        count=1,
        initial=int(initial),
        makes=[int(v in makes) for v in range(model.size)],
        breaks=[int(v in breaks) for v in range(model.size)],
        sure=sure or {},
    )
    return Flow(Waves(model.topology, model.ways), facts, start)


# 0 -> 1 -> {2, 3} -> 4 -> 5
def diamond(kind: Split = "and", rule: JoinRule | None = None) -> Model:
    groups: dict[int, list[Group]] = {
        0: [("and", [1])],
        1: [(kind, [2, 3])],
        2: [("and", [4])],
        3: [("and", [4])],
        4: [("and", [5])],
    }
    return shape(6, groups, rules={4: rule} if rule else {})


def test_what_a_node_writes_holds_behind_it() -> None:
    found = flow(diamond(), makes=[1])

    assert not found.before[1]
    assert found.after(1)
    assert found.before[5]


def test_what_one_of_two_parallel_branches_writes_holds_behind_the_join() -> None:
    assert flow(diamond("and"), makes=[2]).before[4]


@pytest.mark.parametrize("kind", ["xor", "or"])
def test_what_one_of_two_alternatives_writes_does_not_hold_behind_them(kind: Split) -> None:
    assert not flow(diamond(kind), makes=[2]).before[4]
    assert flow(diamond("xor"), makes=[2, 3]).before[4]


def test_a_bad_write_on_the_other_branch_may_be_the_newer_one() -> None:
    assert not flow(diamond("and"), makes=[2], breaks=[3]).before[4]


def test_a_bad_write_before_the_fork_spoils_both_branches() -> None:
    # the branch that does not write brings the old value: nothing says which of two tokens has the newer one
    assert not flow(diamond("and"), makes=[2], breaks=[1], initial=True).before[4]


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        (JoinRule(kind="each_one"), False),
        (JoinRule(kind="first"), False),
        (JoinRule(kind="first", count=2), False),
        (JoinRule(kind="zipped"), False),
        (JoinRule(kind="batches", count=2), False),
        (JoinRule(kind="all_of"), True),
        (JoinRule(), True),
    ],
)
def test_a_join_rule_says_whether_a_branch_is_waited_for(rule: JoinRule, holds: bool) -> None:
    assert bool(flow(diamond("and", rule), makes=[2]).before[4]) is holds


def test_all_of_has_every_branch_even_of_alternatives() -> None:
    assert flow(diamond("xor", JoinRule(kind="all_of")), makes=[2]).before[4]


def test_a_branch_that_may_end_is_not_counted_on() -> None:
    groups: dict[int, list[Group]] = {
        0: [("and", [1])],
        1: [("and", [2, 3])],
        2: [("maybe", [4])],
        3: [("and", [4])],
        4: [("and", [5])],
    }

    assert not flow(shape(6, groups), makes=[2]).before[4]


def test_a_branch_that_goes_on_to_a_race_is_not_counted_on() -> None:
    # 1 -> {2, 3}; 2 -> 4 by way of the race 6, to which 3 leads, too
    groups: dict[int, list[Group]] = {
        0: [("and", [1])],
        1: [("and", [2, 3])],
        2: [("and", [5])],
        3: [("and", [5, 4])],
        5: [("and", [4])],
        4: [("and", [6])],
    }
    model = shape(7, groups, rules={5: JoinRule(kind="first")})

    assert not flow(model, makes=[2]).before[4]
    assert flow(model, makes=[3]).before[4]


def test_a_branch_that_may_be_withdrawn_is_not_counted_on() -> None:
    # 1 -> {2, 3, 5}; 2 -> 4; 3 -> 4 or the end; 4 -> 5, where the first withdraws what can only still lead there
    groups: dict[int, list[Group]] = {
        0: [("and", [1])],
        1: [("and", [2, 3, 5])],
        2: [("and", [4])],
        3: [("xor", [4, 6])],
        4: [("and", [5])],
        5: [("and", [6])],
    }

    assert flow(shape(7, groups), makes=[2]).before[4]
    assert not flow(shape(7, groups, rules={5: JoinRule(kind="first", cancel_rest=True)}), makes=[2]).before[4]


def test_a_loop_has_what_it_is_entered_with_and_what_comes_back() -> None:
    # 0 -> 1 -> 2 -> 1 | 3
    model = shape(4, {0: [("and", [1])], 1: [("and", [2])], 2: [("xor", [1, 3])]})

    assert not flow(model, makes=[2]).before[1]
    assert not flow(model, breaks=[2], initial=True).before[1]
    assert flow(model, makes=[1]).before[3]
    assert flow(model, initial=True).before[1]


def test_a_fork_in_a_loop_is_joined_in_the_same_turn() -> None:
    # 0 -> 1 -> {2, 3} -> 4 -> 1 | 5
    groups: dict[int, list[Group]] = {
        0: [("and", [1])],
        1: [("and", [2, 3])],
        2: [("and", [4])],
        3: [("and", [4])],
        4: [("xor", [1, 5])],
    }
    found = flow(shape(6, groups), makes=[2])

    assert found.before[4]
    assert not found.before[1]


@pytest.mark.parametrize("filled", [True, False])
def test_the_body_of_an_each_counts_if_there_is_always_an_item(filled: bool) -> None:
    # 0 -> 1, each over 2, collected at 3
    each = Each(maker=1, entry=2, members=frozenset([2]), collector=3, filled=filled)
    model = shape(5, {0: [("and", [1])], 2: [("and", [3])], 3: [("and", [4])]}, eaches=[each])

    assert bool(flow(model, makes=[2]).before[3]) is filled
    assert flow(model, makes=[1]).before[2]


def test_following_an_edge_can_tell_something() -> None:
    model = diamond("xor")

    found = flow(model, sure={model.edge(1, 2): 1})

    assert found.before[2]
    assert not found.before[3]
    assert not found.before[4]


def test_a_loop_entered_in_two_places_is_not_believed_beside_its_head() -> None:
    # 0 -> 1 | 2, 1 -> 2, 2 -> 1 | 3: the head is 1, and 2 is entered from outside
    model = shape(4, {0: [("xor", [1, 2])], 1: [("and", [2])], 2: [("xor", [1, 3])]})

    assert not flow(model, makes=[1]).before[2]
    assert flow(model, makes=[1, 2]).before[3]


# -- from one vertex round to itself -----------------------------------------------------------------------


def test_counted_from_a_vertex_what_was_before_it_does_not_matter() -> None:
    # 0 -> 1 -> 2 -> 3 -> 2 | 4
    model = shape(5, {0: [("and", [1])], 1: [("and", [2])], 2: [("and", [3])], 3: [("xor", [2, 4])]})

    assert flow(model, makes=[1]).before[2]
    assert not flow(model, makes=[1], start=2).before[2]
    assert flow(model, makes=[3], start=2).before[2]


def test_counted_from_a_vertex_a_join_counts_every_branch_that_leads_from_it() -> None:
    # 0 -> 1 -> {2, 3} -> 4 -> 1 | 5, with the vertex 4 in question
    groups: dict[int, list[Group]] = {
        0: [("and", [1])],
        1: [("and", [2, 3])],
        2: [("and", [4])],
        3: [("and", [4])],
        4: [("xor", [1, 5])],
    }
    model = shape(6, groups)

    assert flow(model, makes=[2], start=4).before[4]
    assert not flow(model, start=4).before[4]


def test_counted_from_a_vertex_a_branch_of_an_all_of_may_bring_a_token_that_did_not_come_from_there() -> None:
    # 0 -> 1 -> {2, 3}; 2 -> 4 and perhaps 3; 3 -> 4; 4 -> 2 | 5
    groups: dict[int, list[Group]] = {
        0: [("and", [1])],
        1: [("and", [2, 3])],
        2: [("and", [4]), ("maybe", [3])],
        3: [("and", [4])],
        4: [("xor", [2, 5])],
    }
    model = shape(6, groups, rules={4: JoinRule(kind="all_of")})

    assert flow(model, makes=[3]).before[4]
    assert not flow(model, makes=[3], start=2).before[2]


# -- ways ------------------------------------------------------------------------------------------------


def test_a_walk_leads_from_the_start_to_where_the_fact_does_not_hold() -> None:
    assert flow(diamond("xor"), makes=[2]).walk(4, 0) == (0, 1, 3, 4)


def test_a_walk_leads_from_the_write_that_breaks_the_fact() -> None:
    found = flow(diamond("xor"), breaks=[3], initial=True)

    assert found.walk(4, 0) == (3, 4)
    assert found.walk(3, 0, after=True) == (3,)


def test_a_walk_round_a_loop_leads_from_a_vertex_to_itself() -> None:
    model = shape(4, {0: [("and", [1])], 1: [("and", [2])], 2: [("xor", [1, 3])]})

    assert flow(model, start=1).walk(1, 0) == (1, 2, 1)
    assert flow(model, breaks=[1], initial=True).walk(1, 0) == (1, 2, 1)


# -- what is lost ----------------------------------------------------------------------------------------


def lossy(
    model: Model, losses: Losses, makes: Sequence[int] = (), breaks: Sequence[int] = (), *, initial: int = 0
) -> Flow:
    """The flow of one fact in a graph in which tokens get lost."""
    facts = Facts(
        count=1,
        initial=initial,
        makes=[int(v in makes) for v in range(model.size)],
        breaks=[int(v in breaks) for v in range(model.size)],
    )
    return solve(Waves(model.topology, model.ways, losses), facts)


def test_what_a_failed_vertex_would_have_written_does_not_hold_on_the_way_of_the_error() -> None:
    # 0 -> 1 -> 2 -> 4, 1 fails to 3 -> 4
    line: dict[int, list[Group]] = {0: [("and", [1])], 1: [("and", [2])], 2: [("and", [4])], 3: [("and", [4])]}
    model = shape(6, line, instead={1: [3]})

    found = flow(model, makes=[1])

    assert found.before[2]
    assert not found.before[3]
    assert not found.before[4]
    assert flow(model, breaks=[1], initial=True).before[3]
    assert flow(model, makes=[1, 3]).before[4]


def test_a_branch_that_may_lose_its_token_may_be_missing() -> None:
    lost = Losses(vertices=frozenset({2}))

    assert lossy(diamond(), Losses(), makes=[2]).before[4]
    assert not lossy(diamond(), lost, makes=[2]).before[4]
    assert lossy(diamond(), lost, makes=[3]).before[4]


# 0 -> 1 -> {2, 3, 4} -> 5 -> 6, where 2 and 3 race
def rivals() -> tuple[Model, Losses]:
    groups: dict[int, list[Group]] = {0: [("and", [1])], 1: [("and", [2, 3, 4])], 5: [("and", [6])]}
    groups |= {v: [("and", [5])] for v in (2, 3, 4)}
    race = Race(regions=(), lost=(frozenset({3}), frozenset({2})))
    return shape(7, groups), Losses(races=[race])


def test_one_of_the_rivals_wins() -> None:
    model, losses = rivals()

    assert lossy(model, losses, makes=[2, 3]).before[5]
    assert not lossy(model, losses, makes=[2]).before[5]
    assert lossy(model, losses, makes=[4]).before[5]


def test_a_bad_write_of_a_rival_may_be_the_newer_one() -> None:
    model, losses = rivals()

    assert not lossy(model, losses, makes=[4], breaks=[2]).before[5]


# 0 -> 1 -> 2 -> 3 -> 1 | 4; a limit of 1 or 2 leads to 5
def limited(vertex: int, *, counts: bool = True, in_turn: bool = True) -> tuple[Model, Losses]:
    groups: dict[int, list[Group]] = {
        0: [("and", [1])],
        1: [("and", [2])],
        2: [("and", [3])],
        3: [("xor", [1, 4])],
        4: [("and", [6])],
        5: [("and", [6])],
    }
    model = shape(7, groups, instead={vertex: [5]})
    members = frozenset({1, 2, 3})
    return model, Losses(
        limits=[Withdrawal(edge=model.edge(vertex, 5), members=members, counts=counts, in_turn=in_turn)]
    )


@pytest.mark.parametrize("vertex", [1, 2])
def test_a_limit_on_turns_comes_after_a_whole_turn(vertex: int) -> None:
    model, losses = limited(vertex)

    assert lossy(model, losses, makes=[3]).before[5]
    assert lossy(model, losses, makes=[2]).before[5]
    assert not lossy(model, losses, makes=[4]).before[5]
    assert not lossy(model, losses, makes=[2], breaks=[3]).before[5]


def test_a_limit_on_time_may_come_at_once() -> None:
    assert not lossy(*limited(1, counts=False), makes=[3]).before[5]
    assert lossy(*limited(1, counts=False), initial=1).before[5]
    assert not lossy(*limited(1, counts=False), breaks=[2], initial=1).before[5]


def test_of_what_may_run_twice_at_once_nothing_is_said() -> None:
    assert not lossy(*limited(1, in_turn=False), makes=[3]).before[5]


def test_a_limit_takes_the_place_of_the_branch_that_it_withdraws() -> None:
    # 0 -> {1, 5} -> 4; 1 -> 1 | 4; a limit of 1 leads to 2 -> 4
    groups: dict[int, list[Group]] = {
        0: [("and", [1, 5])],
        1: [("xor", [1, 4])],
        2: [("and", [4])],
        5: [("and", [4])],
        4: [("and", [6])],
        3: [("and", [4])],
    }
    model = shape(7, {**groups, 5: [("and", [3])]}, instead={1: [2]})
    losses = Losses(limits=[Withdrawal(edge=model.edge(1, 2), members=frozenset({1}))])

    assert lossy(model, losses, makes=[1, 2]).before[4]
    assert not lossy(model, losses, makes=[1]).before[4]
    assert lossy(model, losses, makes=[5]).before[4]


def test_what_is_lost_at_an_early_end_does_not_hold_behind_it() -> None:
    # 0 -> 1 -> {2, 3} -> 4 -> 5, where 1 and 4 are the ends of a graph, and 3 ends it
    losses = Losses(ends=[Ending(enter=1, leave=4, lost=frozenset({2}))])

    assert not lossy(diamond(), losses, makes=[2]).before[4]
    assert lossy(diamond(), losses, makes=[3]).before[4]
    assert lossy(diamond(), losses, makes=[4]).before[5]


def test_a_graph_that_may_end_early_still_ends() -> None:
    # 0 -> {1, 6}; 1 -> {2, 3} -> 4, a graph that 3 ends; {4, 6} -> 5 -> 7
    groups: dict[int, list[Group]] = {
        0: [("and", [1, 6])],
        1: [("and", [2, 3])],
        2: [("and", [4])],
        3: [("and", [4])],
        4: [("and", [5])],
        6: [("and", [5])],
        5: [("and", [7])],
    }
    losses = Losses(ends=[Ending(enter=1, leave=4, lost=frozenset({2}))])

    assert lossy(shape(8, groups), losses, makes=[4]).before[5]
    assert lossy(shape(8, groups), losses, makes=[3]).before[5]
    assert not lossy(shape(8, groups), losses, makes=[2]).before[5]


def test_what_is_reset_is_as_at_the_start() -> None:
    model = shape(5, {0: [("and", [1])], 1: [("and", [2])], 2: [("and", [3])], 3: [("and", [4])]})
    facts = Facts(count=1, makes=[0, 1, 0, 1, 0], breaks=[0] * 5, resets={2: 1})
    found = Flow(Waves(model.topology, model.ways), facts)

    assert found.before[2]
    assert not found.before[3]
    assert found.unbroken(3)
    assert found.before[4]
    assert found.walk(3, 0) == (2, 3)


# -- random graphs ---------------------------------------------------------------------------------------


FIELDS = 8


class Effects:
    """Random facts about `FIELDS` fields: who writes them, and whether what is written is good."""

    def __init__(self, model: Model, rng: Random):
        size = model.size
        self.makes, self.breaks, self.writes, self.unsure, self.good = ([0] * size for _ in range(5))
        self.initial = rng.getrandbits(FIELDS) & rng.getrandbits(FIELDS) & rng.getrandbits(FIELDS)
        for bit in (1 << f for f in range(FIELDS)):
            good, bad = rng.choice((0.1, 0.3, 0.5)), rng.choice((0, 0.1, 0.2))
            for v in range(1, size - 1):
                chance = rng.random()
                if chance < good + bad:
                    self._write(v, bit, good=chance < good, unsure=rng.random() < 0.2)
        self.sure = {
            group.least[0][0]: 1 << rng.randrange(FIELDS)
            for ways in model.ways
            for group in ways.groups
            if len(group.least) > 1 and all(map(len, group.least)) and not ways.many and rng.random() < 0.3
        }

    def _write(self, v: int, bit: int, *, good: bool, unsure: bool) -> None:
        self.writes[v] |= bit
        if good:
            self.good[v] |= bit
        else:
            self.breaks[v] |= bit
        if unsure:
            self.unsure[v] |= bit
        elif good:
            self.makes[v] |= bit

    def facts(self) -> Facts:
        return Facts(count=FIELDS, initial=self.initial, makes=self.makes, breaks=self.breaks, sure=self.sure)


class Checker(Player):
    """Runs a model whose edges depend on facts, and says what held."""

    def __init__(self, model: Model, rng: Random, effects: Effects):
        super().__init__(model, rng, effects.writes, effects.unsure)
        self.effects = effects

    def may_take(self, edge: int, newest: Newest) -> bool:
        sure = self.effects.sure.get(edge, 0)
        return self.held(newest) & sure == sure

    def held(self, newest: Newest) -> int:
        """The facts that hold whichever of the newest writes counts."""
        held = 0
        for f in range(FIELDS):
            writers = [self.ran[n].vertex for n in bits(newest.get(f, 0))]
            good = all(self.effects.good[v] >> f & 1 for v in writers) if writers else self.effects.initial >> f & 1
            held |= bool(good) << f
        return held


def unsound(seed: int, *, more: int = 0, rules: float = 0) -> list[tuple[int, int]]:
    """Draw a graph and run it some times: the vertices at which a fact failed that was said to hold."""
    rng = Random(seed)
    model = draw(rng, size=rng.choice((6, 10, 14, 20)), more=more, rules=rules)
    effects = Effects(model, rng)
    found = Flow(Waves(model.topology, model.ways), effects.facts())
    wrong = []
    for turn in range(6):
        checker = Checker(model, Random(f"{seed}.{turn}"), effects)
        checker.play()
        wrong += [(r.vertex, turn) for r in checker.ran if found.before[r.vertex] & ~checker.held(r.newest)]
    return wrong


@pytest.mark.properties
@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_fact_fails_in_a_run_of_a_structured_graph(seed: int) -> None:
    assert not unsound(seed)


@pytest.mark.properties
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_fact_fails_in_a_run_of_any_graph(seed: int) -> None:
    assert not unsound(seed, more=4)


@pytest.mark.properties
@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_fact_fails_whatever_the_join_rules(seed: int) -> None:
    assert not unsound(seed, rules=0.4)


def unasked(seed: int, *, more: int, rules: float) -> set[int]:
    """The vertices that came round to themselves without a fact being made that was said to be made on every way."""
    rng = Random(seed)
    model = draw(rng, size=rng.choice((6, 10, 14)), more=more, rules=rules)
    makes = [int(0 < v < model.size - 1 and rng.random() < 0.35) for v in range(model.size)]
    waves = Waves(model.topology, model.ways)
    facts = Facts(count=1, makes=makes, breaks=[0] * model.size)
    loops = [region for region in model.topology.regions if region.kind == "loop"]
    asked = [v for v in range(1, model.size - 1) if not makes[v] and any(v in loop.members for loop in loops)]
    sure = {v for v in asked if Flow(waves, facts, start=v).before[v]}
    wrong = set()
    for turn in range(6):
        player = Player(model, Random(f"{seed}.{turn}"))
        player.play()
        for run in (r for r in player.ran if r.vertex in sure):
            makers = [n for n in bits(run.past) if makes[player.ran[n].vertex]]
            for before in (n for n in bits(run.past) if player.ran[n].vertex == run.vertex):
                if not any(player.ran[m].past >> before & 1 for m in makers):
                    wrong.add(run.vertex)
    return wrong


@pytest.mark.properties
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), more=st.sampled_from([0, 0, 3]), rules=st.sampled_from([0, 0.4]))
def test_no_vertex_comes_round_to_itself_without_what_was_said_to_be_on_every_way(
    seed: int, more: int, rules: float
) -> None:
    assert not unasked(seed, more=more, rules=rules)


@pytest.mark.properties
def test_most_of_what_holds_is_found() -> None:
    """Of the facts that held in all runs of structured graphs, nearly all are proved."""
    proved = held = 0
    for seed in range(25):
        rng = Random(seed)
        model = draw(rng, size=10)
        effects = Effects(model, rng)
        found = Flow(Waves(model.topology, model.ways), effects.facts())
        holds = dict[int, int]()
        for turn in range(40):
            checker = Checker(model, Random(f"{seed}.{turn}"), effects)
            for run in checker.play():
                holds[run.vertex] = holds.get(run.vertex, (1 << FIELDS) - 1) & checker.held(run.newest)
        held += sum(facts.bit_count() for facts in holds.values())
        proved += sum((facts & found.before[v]).bit_count() for v, facts in holds.items())
    assert proved > 0.97 * held
