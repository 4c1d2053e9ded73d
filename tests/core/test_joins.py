"""The join rules: what each fires with, and when. The cases of the specification, and the ones that once went wrong."""

from __future__ import annotations

import pytest

from orchestra_graph.core.events import NodeFinished, Taken
from orchestra_graph.core.joins import RULES
from orchestra_graph.graph.policies import EACH_ONE, JoinKind, JoinRule
from tests.core.play import Each, Play, plan_of

ALL_OF = JoinRule(kind="all_of")
ZIPPED = JoinRule(kind="zipped")
BRANCHES = ("START a b c", "a j", "b j", "c j", "j END")


def test_there_is_a_rule_for_every_kind_of_join() -> None:
    kinds: set[str] = set(JoinKind.__args__)  # type: ignore[attr-defined]
    assert RULES.keys() == kinds


# -- the default ---------------------------------------------------------------------------------------


def test_a_join_fires_once_with_everything_that_could_still_come() -> None:
    play = Play(plan_of("START a b", "a j", "b c", "c j", "j END"))
    assert play.finish("a") == []
    assert play.finish("b") == ["c"]
    assert play.finish("c", log=["c"]) == ["j"]
    assert play.seen("j")["log"] == ["-", "c"]


def test_a_branch_that_was_not_taken_is_not_waited_for() -> None:
    play = Play(plan_of("START a", "a b c", "b j", "c j", "j END"))
    play.finish("a", "b")
    assert play.finish("b") == ["j"]


def test_a_branch_that_ends_by_itself_frees_the_join() -> None:
    play = Play(plan_of("START a b", "a j", "b j END", "j END"))
    play.finish("a")
    assert play.waves == ["j"]
    assert play.finish("b", "END") == ["j"]


def test_an_outer_loop_over_an_inner_loop_beside_a_node_does_not_hang() -> None:
    """Case 1: C reaches L only through the head F, so L does not wait for C."""
    play = Play(plan_of("START F", "F L C", "L B", "B L J", "C J", "J D", "D F END"))
    assert play.finish("F@0") == ["C@0", "L@0.0"]
    assert play.finish("L@0.0") == ["B@0.0"]
    assert play.finish("B@0.0", "L") == ["L@0.1"]
    play.finish("C@0")
    play.finish("L@0.1")
    assert play.finish("B@0.1", "J") == ["J@0"]
    play.finish("J@0")
    assert play.finish("D@0", "F") == ["F@1"]
    assert play.finish("F@1") == ["C@1", "L@1.0"]


def test_two_joins_that_lead_to_one_another_do_not_wait_in_a_circle() -> None:
    """Case 2: B reaches A only by a new turn, so A fires at once."""
    play = Play(plan_of("START A B", "A B END", "B A END"))
    assert play.live == ["A@0"]
    assert play.waves == ["B"]
    assert play.finish("A@0", "B") == ["B@0"]
    assert play.finish("B@0", "A") == ["A@1"]


def test_a_node_that_goes_round_and_on_at_once_has_its_turns_side_by_side() -> None:
    """Case 3: W runs for every turn, J once, when G has stopped."""
    play = Play(plan_of("START G", "G G W", "W J", "J END", joins={"J": JoinRule()}))
    assert play.finish("G@0") == ["W~0", "G@1"]
    assert play.finish("G@1") == ["W~1", "G@2"]
    play.finish("W~1", log=["W1"])
    play.finish("W~0", log=["W0"])
    assert play.live == ["G@2"]
    play.finish("G@2", "W")
    assert play.finish("W~2", log=["W2"]) == ["J"]
    assert play.seen("J")["log"] == ["-", "W0", "W1", "W2"]


def test_a_jump_back_before_the_fork_merges_everything_once() -> None:
    """Case 4: the other branch runs in both turns."""
    play = Play(plan_of("START F", "F A B", "A F J", "B J", "J END"))
    play.finish("F@0")
    assert play.finish("A@0", "F") == ["F@1"]
    play.finish("F@1")
    assert play.live == ["A@1", "B~0", "B~1"]
    play.finish("A@1", "J")
    play.finish("B~1")
    assert play.finish("B~0") == ["J"]


def test_each_instance_loops_by_itself_and_its_joins_see_only_its_own() -> None:
    """Case 5."""
    plan = plan_of("START m", "t u w", "u x", "w x", "x t j", "j END", eaches=[Each("m", "t u w x", "j", empty="j")])
    play = Play(plan)
    assert play.finish("m", ("t", 2)) == ["t#0@0", "t#1@0"]
    for node in ("t#0@0", "t#1@0", "u#1@0", "w#0@0"):
        assert "x#0@0" not in play.finish(node)
    assert play.finish("u#0@0") == ["x#0@0"]
    assert play.finish("x#0@0", "t") == ["t#0@1"]
    assert play.finish("w#1@0") == ["x#1@0"]
    assert play.finish("x#1@0", "j") == []
    for node in ("t#0@1", "u#0@1", "w#0@1"):
        play.finish(node)
    assert play.finish("x#0@1", "j") == ["j"]


def test_an_each_over_nothing_goes_to_its_collector_once() -> None:
    play = Play(plan_of("START m", "t j", "j END", eaches=[Each("m", "t", "j", empty="j")]))
    assert play.finish("m", "j") == ["j"]


def test_a_collector_that_only_the_body_leads_to_gathers_its_items() -> None:
    play = Play(plan_of("START m", "t j", "j END", "n END", eaches=[Each("m", "t", "j", empty="n")]))
    play.finish("m", ("t", 2))
    assert play.finish("t#1") == []
    assert play.finish("t#0") == ["j"]


def test_results_of_an_each_come_in_item_order() -> None:
    play = Play(plan_of("START m", "t j", "j END", eaches=[Each("m", "t", "j", empty="j")]))
    play.finish("m", ("t", 12))
    for index in (11, 3, 0, 10, 2, 9, 1, 4, 8, 6, 7, 5):
        play.finish(f"t#{index}", log=[str(index)])
    assert play.seen("j")["log"] == ["-", *map(str, range(12))]


def test_an_agent_calls_its_tools_side_by_side_and_goes_on_with_all_their_results() -> None:
    """Case 7: the collector is the source."""
    play = Play(plan_of("START llm", "llm END", "tool llm", eaches=[Each("llm", "tool", "llm")]))
    assert play.finish("llm@0", ("tool", 3)) == ["tool@0#0", "tool@0#1", "tool@0#2"]
    play.finish("tool@0#2", log=["2"])
    play.finish("tool@0#0", log=["0"])
    assert play.finish("tool@0#1", log=["1"]) == ["llm@1"]
    assert play.seen("llm@1")["log"] == ["-", "0", "1", "2"]


def test_items_that_two_turns_send_out_of_their_loop_are_different_instances() -> None:
    """Once both turns shared the instance `t#0`, and one of the two items was lost in the other's join."""
    play = Play(plan_of("START m", "m m", "t t END", eaches=[Each("m", "t", "END")]))
    play.finish("m@0", "m", ("t", 1))
    play.finish("m@1", ("t", 1))
    assert play.live == ["t#0(~0)@0", "t#0(~1)@0"]
    play.finish("t#0(~0)@0", "t", log=["of turn 0"])
    play.finish("t#0(~1)@0", "END", log=["of turn 1"])
    play.finish("t#0(~0)@1", "END", log=["again of turn 0"])
    assert play.status == "done"
    assert play.final["log"] == ["-", "of turn 0", "again of turn 0", "of turn 1"]


# -- each_one and all_of -------------------------------------------------------------------------------


def test_each_one_starts_an_activation_for_every_token() -> None:
    play = Play(plan_of("START a b", "a j", "b j", "j k", "k END", joins={"j": EACH_ONE}))
    assert play.finish("b", log=["b"]) == ["j~1"]
    assert play.finish("a", log=["a"]) == ["j~0"]
    assert play.seen("j~1")["log"] == ["-", "b"]
    assert play.finish("j~1") == ["k~1"]
    play.finish("j~0")
    play.finish("k~1")
    play.finish("k~0")
    assert play.final["log"] == ["-", "a", "b"], "what both have behind them counts once"


def test_all_of_fires_when_every_edge_has_delivered() -> None:
    play = Play(plan_of(*BRANCHES, joins={"j": ALL_OF}))
    play.finish("a")
    play.finish("b")
    assert play.finish("c") == ["j"]


def test_all_of_that_can_get_no_more_fails_and_says_who_is_missing() -> None:
    play = Play(plan_of("START a b", "a j END", "b j", "j END", joins={"j": ALL_OF}))
    play.finish("b")
    play.finish("a", "END")
    assert play.status == "failed"
    assert play.run.halt is not None
    assert play.run.halt.final
    assert play.run.halt.reason == "j: all_of waits for every branch, and none can come any more from 'a'"


def test_all_of_at_the_head_of_a_loop_wants_its_entries_first_and_then_what_comes_from_inside() -> None:
    plan = plan_of("START a b", "a h", "b h", "h c d", "c h END", "d h END", joins={"h": ALL_OF})
    play = Play(plan)
    play.finish("a")
    assert play.finish("b") == ["h@0"]
    play.finish("h@0")
    play.finish("c@0", "h")
    assert play.finish("d@0", "h") == ["h@1"]
    play.finish("h@1")
    play.finish("c@1", "h")
    play.finish("d@1", "END")
    assert play.status == "failed"


# -- first ---------------------------------------------------------------------------------------------


def test_first_fires_with_the_first_arrival_and_absorbs_the_rest() -> None:
    play = Play(plan_of(*BRANCHES, joins={"j": JoinRule(kind="first")}))
    assert play.finish("b", log=["b"], title="by b") == ["j"]
    assert play.finish("a", log=["a"], title="by a") == []
    play.finish("j", log=["j"])
    assert play.status == "running", "c is not withdrawn"
    play.finish("c")
    assert play.status == "done"
    assert play.final["title"] == "by b", "a loser has no claim to plain fields"
    assert play.final["log"] == ["-", "a", "b", "j"], "what it gave to reducers happened"


def test_first_counts_the_instances_of_an_each_one_by_one() -> None:
    rule = JoinRule(kind="first", count=2, cancel_rest=True)
    play = Play(plan_of("START m", "t j", "j END", eaches=[Each("m", "t", "j", empty="j")], joins={"j": rule}))
    play.finish("m", ("t", 5))
    play.finish("t#3", log=["3"])
    assert play.finish("t#1", log=["1"]) == ["j"]
    assert play.live == ["j"], "the other three were withdrawn"
    assert play.seen("j")["log"] == ["-", "1", "3"]


@pytest.mark.parametrize("short", ["error", "fire"])
def test_first_that_can_get_too_few_fails_or_fires_as_it_was_told(short: str) -> None:
    rule = JoinRule(kind="first", count=2, short="error" if short == "error" else "fire")
    play = Play(plan_of("START a b", "a j END", "b j", "j END", joins={"j": rule}))
    play.finish("b")
    started = play.finish("a", "END")
    assert started == ([] if short == "error" else ["j"])
    assert play.status == ("failed" if short == "error" else "running")


def test_a_winner_withdraws_only_what_can_lead_nowhere_else() -> None:
    plan = plan_of(
        "START a b c", "a j", "b j", "c j k", "k END", "j END", joins={"j": JoinRule(kind="first", cancel_rest=True)}
    )
    play = Play(plan)
    assert play.finish("a") == ["j"]
    assert play.live == ["c", "j"], "b could only lead to j; c leads to k, too"
    assert play.finish("c") == ["k"], "its token for j is absorbed"


def test_a_winner_withdraws_what_waits_at_other_joins_on_the_way_to_it() -> None:
    lines = ("START a b c", "a i", "b i", "i j", "c j", "j END")
    play = Play(plan_of(*lines, joins={"j": JoinRule(kind="first", cancel_rest=True)}))
    play.finish("a", log=["a"])
    assert play.waves == ["i"]
    assert play.finish("c") == ["j"]
    assert play.live == ["j"]
    assert play.waves == []
    play.finish("j")
    assert play.status == "done"
    assert play.final["log"] == ["-", "a"]


def test_withdrawing_frees_a_join_outside() -> None:
    lines = ("START a b s", "a j", "b j", "s z", "j z", "z END")
    play = Play(plan_of(*lines, joins={"j": JoinRule(kind="first", cancel_rest=True)}))
    play.finish("s")
    play.finish("a")
    assert play.finish("j") == ["z"], "b, which was withdrawn, is not waited for"


def test_a_result_of_withdrawn_work_changes_nothing() -> None:
    play = Play(plan_of(*BRANCHES, joins={"j": JoinRule(kind="first", cancel_rest=True)}))
    play.finish("a")
    before = play.state()
    (edge,) = play.plan.topology.out[2]
    late = NodeFinished(at=play.now, id="b", writes={"log": ["late"]}, taken=[Taken(edge)])
    assert play.do(late) == []
    assert {**play.state(), "counts": None} == {**before, "counts": None}
    play.finish("j")
    assert play.final["log"] == ["-"]


def test_a_slow_loser_of_one_turn_is_no_arrival_of_the_next() -> None:
    """Case 6; the next turn waits for it, for it is still in this one."""
    lines = ("START F", "F a b", "a j", "b j", "j F END")
    play = Play(plan_of(*lines, joins={"j": JoinRule(kind="first")}))
    play.finish("F@0")
    assert play.finish("a@0") == ["j@0"]
    assert play.finish("j@0", "F") == []
    assert play.finish("b@0", log=["slow"]) == ["F@1"]
    play.finish("F@1")
    assert play.live == ["a@1", "b@1"]
    assert play.finish("b@1") == ["j@1"]
    play.finish("a@1")
    play.finish("j@1", "END")
    assert play.status == "done"
    assert play.final["log"] == ["-", "slow"]


# -- zipped and batches --------------------------------------------------------------------------------


def test_zipped_pairs_the_kth_tokens_of_every_edge() -> None:
    eaches = [Each("m", "t", "j"), Each("n", "u", "j")]
    play = Play(plan_of("START m n", "t j", "u j", "j k", "k END", eaches=eaches, joins={"j": ZIPPED}))
    play.finish("m", ("t", 3))
    play.finish("n", ("u", 2))
    for identity in ("u#1", "t#2", "t#0", "t#1"):
        play.finish(identity, log=[identity])
    assert play.finish("u#0", log=["u#0"]) == ["j~0", "j~1"]
    assert play.seen("j~0")["log"] == ["-", "t#0", "u#0"]
    assert play.seen("j~1")["log"] == ["-", "t#1", "u#1"]
    for identity in ("j~1", "j~0", "k~0", "k~1"):
        play.finish(identity)
    assert play.final["log"] == ["-", "t#0", "t#1", "t#2", "u#0", "u#1"], "t#2 had no partner, but it happened"


def test_batches_take_tokens_in_logical_order_and_the_last_may_be_smaller() -> None:
    rule = JoinRule(kind="batches", count=2)
    play = Play(plan_of("START m", "t j", "j k", "k END", eaches=[Each("m", "t", "j", empty="j")], joins={"j": rule}))
    play.finish("m", ("t", 5))
    for index in (4, 2, 0, 1):
        play.finish(f"t#{index}", log=[str(index)])
    assert play.finish("t#3", log=["3"]) == ["j~0", "j~1", "j~2"]
    assert [play.seen(f"j~{k}")["log"][1:] for k in range(3)] == [["0", "1"], ["2", "3"], ["4"]]
