"""Graphs in graphs, by hand: ids, fields of their own, instances, ends."""

from __future__ import annotations

import pytest

from orchestra_graph.core.events import NodeFinished, QuestionAsked, Taken
from orchestra_graph.graph.policies import EACH_ONE, JoinRule, first, until
from orchestra_graph.runtime.routes import handlers
from tests.core.graphs import Big, Small
from tests.core.play import Each, Most, Nested, plan_of
from tests.core.test_choices import Watched, over

ONCE = plan_of("START c", "c a", "a b", "b c/END", "c/END z", "z END", calls=[Nested("c", "a b")])
LOOP = plan_of("START c", "c a", "a c/END", "c/END c END", calls=[Nested("c", "a")])


def test_a_call_begins_with_its_fields_and_ends_without_them() -> None:
    play = Watched(ONCE)
    assert play.live == ["c"]
    play.finish("c", **{"c/draft": "given", "c/total": 3})
    assert play.seen("a")["c/draft"] == "given"
    play.finish("a", title="shared", **{"c/total": 4})
    assert play.seen("b")["c/total"] == 7
    play.finish("b")
    assert play.live == ["c/END"]
    assert play.seen("c/END")["c/total"] == 7
    play.finish("c/END", log=["out"])
    seen = play.seen("z")
    assert (seen["title"], seen["log"]) == ("shared", ["-", "out"])
    assert not [name for name in seen if "/" in name]
    with over(play):
        play.finish("z")
    assert "c/draft" not in play.final


def test_each_call_in_a_loop_begins_anew() -> None:
    play = Watched(LOOP)
    for turn in range(3):
        play.finish(f"c@{turn}", **{"c/log": [f"in {turn}"]})
        assert play.seen(f"a@{turn}")["c/log"] == [f"in {turn}"]
        assert "c/draft" not in play.seen(f"a@{turn}"), "what an earlier call wrote there is gone"
        play.finish(f"a@{turn}", log=[f"{turn}"], **{"c/log": ["a"], "c/draft": "d"})
        assert play.seen(f"c/END@{turn}")["c/log"] == [f"in {turn}", "a"]
        play.finish(f"c/END@{turn}", "c")
    assert play.seen("c@3")["log"] == ["-", "0", "1", "2"], "a shared field is that of the graph around"


def test_loops_inside_and_outside_of_a_call_are_counted_together_in_ids() -> None:
    plan = plan_of("START c", "c a", "a a c/END", "c/END c END", calls=[Nested("c", "a")])
    play = Watched(plan)
    play.finish("c@0")
    play.finish("a@0.0", "a")
    play.finish("a@0.1", "c/END")
    play.finish("c/END@0", "c")
    assert play.finish("c@1") == ["a@1.0"]


def test_calls_side_by_side_in_an_each_know_nothing_of_each_other() -> None:
    plan = plan_of(
        "START m",
        "c a b",
        "a x",
        "b x",
        "x c/END",
        "c/END j",
        "j END",
        eaches=[Each("m", "c a b x c/END", "j", "j")],
        calls=[Nested("c", "a b x")],
    )
    play = Watched(plan)
    play.finish("m", ("c", 2))
    for index in (1, 0):
        play.finish(f"c#{index}", **{"c/draft": f"{index}"})
    play.finish("a#0")
    play.finish("a#1")
    play.finish("b#1", **{"c/draft": "new"})
    assert play.seen("x#1")["c/draft"] == "new"
    play.finish("b#0")
    assert play.seen("x#0")["c/draft"] == "0"
    for index in (0, 1):
        play.finish(f"x#{index}")
        play.finish(f"c/END#{index}", log=[f"{index}"])
    with over(play):
        play.finish("j")
    assert play.final["log"] == ["-", "0", "1"]


def test_calls_that_begin_side_by_side_at_one_node_have_instances_of_their_own() -> None:
    plan = plan_of(
        "START p q", "p c", "q c", "c a b", "a c/END", "b c/END", "c/END z", "z END",
        joins={"c": EACH_ONE, "z": EACH_ONE}, calls=[Nested("c", "a b")],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("p")
    play.finish("q")
    assert play.live == ["c~0", "c~1"]
    play.finish("c~0")
    play.finish("c~1")
    assert play.live == ["a(~0)", "a(~1)", "b(~0)", "b(~1)"]
    play.finish("a(~1)")
    play.finish("b(~0)")
    play.finish("b(~1)")
    assert play.live == ["a(~0)", "c/END(~1)"]
    play.finish("c/END(~1)")
    assert play.live == ["a(~0)", "z~1"], "what comes out goes on as what went in"
    play.finish("a(~0)")
    play.finish("c/END(~0)")
    with over(play):
        play.finish("z~1")
        play.finish("z~0")


def test_a_branch_without_a_way_on_ends_its_call_and_not_the_run() -> None:
    plan = plan_of("START c", "c a b", "c/END z", "z END", calls=[Nested("c", "a b")])
    play = Watched(plan)
    play.finish("c")
    play.finish("a")
    assert play.live == ["b"]
    play.finish("b")
    assert play.live == ["c/END"]
    play.finish("c/END")
    with over(play):
        play.finish("z")


def test_a_call_in_a_call() -> None:
    plan = plan_of(
        "START o", "o a", "a i", "i x", "x i/END", "i/END o/END", "o/END z", "z END",
        calls=[Nested("o", "a i x i/END"), Nested("i", "x")],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("o", **{"o/draft": "outer"})
    play.finish("a")
    play.finish("i", **{"i/draft": "inner"})
    play.finish("x")
    play.finish("i/END")
    assert play.seen("o/END")["o/draft"] == "outer"
    assert "i/draft" not in play.seen("o/END")
    play.finish("o/END")
    with over(play):
        play.finish("z")


def test_private_fields_are_in_conflict_inside_only() -> None:
    plan = plan_of(
        "START c", "c a b", "a x", "b x", "x c/END", "c/END z", "z END",
        calls=[Nested("c", "a b x")], writes={"a": "c/draft", "b": "c/draft"},
    )  # fmt: skip
    play = Watched(plan)
    play.finish("c")
    play.finish("a", **{"c/draft": "a"})
    play.finish("b", **{"c/draft": "b"})
    assert play.status == "failed"
    assert play.run.halt is not None
    assert "c/draft" in play.run.halt.reason


def test_a_limit_around_a_call_is_reached_in_the_middle_of_it() -> None:
    plan = plan_of(
        "START f", "f m", "c a", "a b", "b c/END", "c/END j", "j f END", "late END",
        eaches=[Each("m", "c a b c/END", "j", "j")], calls=[Nested("c", "a b")],
        writes={"a": "c/draft"}, limits=[Most("f", "steps", 4, "late")],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("f@0")
    play.finish("m@0", ("c", 2))
    for index in (0, 1):
        play.finish(f"c@0#{index}")
        play.finish(f"a@0#{index}", log=[f"{index}"], **{"c/draft": f"{index}"})
    (late,) = play.live
    assert play.seen(late)["log"] == ["-", "0", "1"], "and the fields of the two calls are in nobody's way"
    with over(play):
        play.finish(late)


def test_what_a_call_that_was_cut_off_wrote_is_not_there_in_the_next_one() -> None:
    play = Watched(plan_of(
        "START o", "o f", "f c", "c a", "a a c/END", "c/END f o END", "late o",
        calls=[Nested("c", "a")], limits=[Most("f", "steps", 2, "late")],
    ))  # fmt: skip
    play.finish("o@0")
    play.finish("f@0.0")
    play.finish("c@0.0", **{"c/log": ["in"]})
    play.finish("a@0.0.0", "a", **{"c/draft": "old", "c/log": ["old"]})
    (late,) = play.live
    play.finish(late)
    play.finish("o@1")
    play.finish("f@1.0")
    play.finish("c@1.0", total=1)
    assert "c/draft" not in play.seen("a@1.0.0")
    assert "c/log" not in play.seen("a@1.0.0")


def test_a_limit_of_a_whole_call_ends_it_with_what_was_seen() -> None:
    limited = plan_of(
        "START c", "c a", "a b", "b a c/END", "late c/END", "c/END z", "z END",
        calls=[Nested("c", "a b late")], limits=[Most("c", "steps", 3, "late", whole=True)],
    )  # fmt: skip
    play = Watched(limited)
    play.finish("c", **{"c/total": 1})
    play.finish("a@0", **{"c/total": 1})
    play.finish("b@0", "a", **{"c/total": 1})
    play.finish("a@1", **{"c/total": 1})
    assert play.live == ["late"]
    assert play.seen("late")["c/total"] == 4, "it is still inside of the call"
    play.finish("late")
    play.finish("c/END")
    with over(play):
        play.finish("z")


# -- failures that a graph around takes ----------------------------------------------------------------


def test_a_failure_leaves_its_call_and_takes_what_else_is_in_there_away() -> None:
    plan = plan_of(
        "START c", "c a b", "a x", "b x", "x c/END", "c/END z", "z END", "mend z",
        calls=[Nested("c", "a b x")], errors=["c/END mend"],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("c", **{"c/draft": "private"})
    play.do(QuestionAsked(at=play.now, id="b", question="b"))
    assert play.fail("a", "mend") == ["mend"]
    assert play.live == ["mend"]
    assert play.run.live["mend"].cause is not None
    assert play.run.live["mend"].cause.message == "no"
    assert play.run.closed == ["b"], "nobody waits for the answer any more"
    play.finish("mend", log=["mended"])
    with over(play):
        play.finish("z")
    assert play.final["log"] == ["-", "mended"]


def test_what_goes_on_saw_what_the_failed_had_seen_and_the_rest_gives_to_reducers_at_the_end() -> None:
    plan = plan_of(
        "START c", "c a b", "a d", "b x", "d x", "x c/END", "c/END z", "z END", "mend END",
        calls=[Nested("c", "a b d x")], errors=["c/END mend"],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("c")
    play.finish("a", log=["a"], title="by a")
    play.finish("b", log=["b"], draft="by b")
    assert play.waves == ["x"]
    play.fail("d", "mend")
    assert (play.waves, play.live) == ([], ["mend"])
    assert play.seen("mend")["log"] == ["-", "a"]
    assert play.seen("mend")["title"] == "by a"
    with over(play):
        play.finish("mend")
    assert play.final["log"] == ["-", "a", "b"]
    assert "draft" not in play.final


def test_the_inner_graph_is_asked_before_the_outer_one() -> None:
    lines = (
        "START o", "o a i", "a o/END", "i x y", "x i/END", "y i/END", "i/END o/END", "o/END z", "z END",
        "inner o/END", "outer END",
    )  # fmt: skip
    calls = [Nested("o", "a i x y i/END inner"), Nested("i", "x y")]
    play = Watched(plan_of(*lines, calls=calls, errors=["i/END inner", "o/END outer"]))
    play.finish("o")
    play.finish("i")
    play.fail("x", "inner")
    assert play.live == ["a", "inner"], "the outer one goes on"
    play.fail("inner", "outer")
    assert play.live == ["outer"]
    with over(play):
        play.finish("outer")


def test_a_failure_leaves_several_calls_at_once() -> None:
    plan = plan_of(
        "START o", "o a i", "a o/END", "i x y", "x i/END", "y i/END", "i/END o/END", "o/END z", "z END", "mend END",
        calls=[Nested("o", "a i x y i/END"), Nested("i", "x y")], errors=["o/END mend"],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("o")
    play.finish("i")
    play.finish("y")
    play.fail("x", "mend")
    assert (play.live, play.waves) == (["mend"], [])
    with over(play):
        play.finish("mend")


def test_a_call_that_failed_is_tried_again_in_the_next_turn_with_fields_of_its_own() -> None:
    plan = plan_of(
        "START c", "c a b", "a c/END", "b c/END", "c/END END", calls=[Nested("c", "a b")], errors=["c/END c"]
    )
    play = Watched(plan)
    for turn in range(3):
        play.finish(f"c@{turn}", **{"c/log": [f"{turn}"]})
        assert play.seen(f"a@{turn}")["c/log"] == [f"{turn}"], "nothing is left of the call before"
        play.finish(f"b@{turn}", **{"c/draft": "d"})
        play.fail(f"a@{turn}", "c")
        assert play.live == [f"c@{turn + 1}"]
    play.finish("c@3")
    assert "c/draft" not in play.seen("a@3")
    play.finish("a@3")
    play.finish("b@3")
    with over(play):
        play.finish("c/END@3", "END")


def test_a_failure_in_one_element_leaves_the_others_alone() -> None:
    plan = plan_of(
        "START m", "c a b", "a c/END", "b c/END", "c/END j", "mend j", "j END",
        eaches=[Each("m", "c a b c/END mend", "j", "j", limit=2)], calls=[Nested("c", "a b")], errors=["c/END mend"],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("m", ("c", 3))
    play.finish("c#0")
    play.finish("c#1")
    play.fail("a#1", "mend")
    assert play.live == ["a#0", "b#0", "c#2", "mend#1"]
    assert play.run.live["c#2"].status == "queued", "the element is still there"
    play.finish("mend#1", log=["1"])
    assert play.run.live["c#2"].status != "queued"
    play.fail("c#2", "mend")
    play.finish("mend#2", log=["2"])
    for identity in ("a#0", "b#0", "c/END#0"):
        play.finish(identity)
    with over(play):
        play.finish("j")
    assert play.final["log"] == ["-", "1", "2"]


def test_a_call_that_cannot_be_entered_has_failed() -> None:
    plan = plan_of(
        "START c", "c a", "a c/END", "c/END z", "z END", "mend END", calls=[Nested("c", "a")], errors=["c/END mend"]
    )
    play = Watched(plan)
    assert play.fail("c", "mend") == ["mend"]
    with over(play):
        play.finish("mend")


def test_calls_that_begin_side_by_side_fail_each_for_itself() -> None:
    plan = plan_of(
        "START p q", "p c", "q c", "c a b", "a c/END", "b c/END", "c/END z", "z END", "mend END",
        joins={"c": EACH_ONE, "z": EACH_ONE}, calls=[Nested("c", "a b")], errors=["c/END mend"],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("p")
    play.finish("q")
    play.finish("c~0")
    play.fail("c~1", "mend")
    assert play.live == ["a(~0)", "b(~0)", "mend~1"]
    play.fail("a(~0)", "mend")
    assert play.live == ["mend~0", "mend~1"]
    play.finish("mend~0")
    with over(play):
        play.finish("mend~1")


def test_a_late_result_from_a_call_that_failed_changes_nothing() -> None:
    plan = plan_of(
        "START c", "c a b", "a c/END", "b c/END", "c/END z", "z END", "mend END",
        calls=[Nested("c", "a b")], errors=["c/END mend"],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("c")
    play.fail("a", "mend")
    before = play.state()
    edge = play.plan.topology.out[play.plan.by_name["b"].index][0]
    assert play.do(NodeFinished(at=play.now, id="b", writes={"log": ["late"]}, taken=[Taken(edge)])) == []
    after = play.state()
    assert after["live"] == before["live"]
    assert after["lost"] == before["lost"]


JOINED = ("START c", "c a b", "a j", "b j", "j c/END", "c/END z", "z END", "mend END")


@pytest.mark.parametrize("rule", [first(1), until("log")], ids=["first", "until"])
def test_a_join_in_the_call_that_can_do_without_comes_first(rule: JoinRule) -> None:
    plan = plan_of(*JOINED, joins={"j": rule}, calls=[Nested("c", "a b j")], errors=["c/END mend"], catches=(Big,))
    a, j = plan.by_name["a"].index, plan.by_name["j"].index
    assert handlers(plan, a, Big()) == ()
    assert [plan.edges[e].target for e, _ in handlers(plan, j, Big())] == [plan.by_name["mend"].index]
    play = Watched(plan)
    play.finish("c")
    play.fail("a")
    assert (play.status, play.live) == ("running", ["b"])
    play.finish("b")
    play.finish("j")
    play.finish("c/END")
    with over(play):
        play.finish("z")


def test_a_join_behind_the_call_comes_after_it() -> None:
    plan = plan_of(
        "START c d", "c a", "a c/END", "c/END j", "d j", "j END", "mend END",
        joins={"j": first(1)}, calls=[Nested("c", "a")], errors=["c/END mend"], catches=(Big,),
    )  # fmt: skip
    taken = handlers(plan, plan.by_name["a"].index, Big())
    assert [plan.edges[e].target for e, _ in taken] == [plan.by_name["mend"].index]


def test_the_first_declaration_that_names_the_error_is_taken_the_nearest_graph_first() -> None:
    plan = plan_of(
        "START o", "o i", "i x", "x i/END", "i/END o/END", "o/END z", "z END", "own i/END", "inner o/END", "outer END",
        calls=[Nested("o", "i x own i/END inner"), Nested("i", "x own")],
        errors=["x own", "i/END inner", "o/END outer"], catches=(Big, Small, Small),
    )  # fmt: skip

    def taken(name: str, error: Exception) -> list[str]:
        return [plan.nodes[plan.edges[e].target].name for e, _ in handlers(plan, plan.by_name[name].index, error)]

    assert taken("x", Big()) == ["own"]
    assert taken("x", Small()) == ["inner"]
    assert taken("i", Small()) == ["inner"], "the way in counts as inside"
    assert taken("i/END", Small()) == ["inner"]
    assert taken("inner", Small()) == ["outer"]
    assert taken("inner", Big()) == []


def test_the_time_of_a_loop_at_the_entry_of_an_element_begins_with_its_place() -> None:
    """Also where the token of the element comes to a join first: the head of that loop."""
    plan = plan_of(
        "START m", "h w", "w h j", "late j", "j END",
        eaches=[Each("m", "h w late", "j", "j", limit=1)], limits=[Most("h", "seconds", 5, "late")],
    )  # fmt: skip
    play = Watched(plan)
    play.finish("m", ("h", 2))
    assert play.live == ["h#0@0", "h#1@0"]
    began = [tally.began for _, tally in sorted(play.run.tallies.items())]
    assert began == [1.0, None]
