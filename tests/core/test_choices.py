"""What chooses between branches, or ends them: joins that fire early, races, error edges, limits, ends; by hand.

Beside each case stands `Follow`, which says after every event what should be live.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestra_graph.core import events as ev
from orchestra_graph.core.snapshot import freeze, needed, thaw
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import first, until
from tests.core.graphs import Case
from tests.core.play import Each, Most, Nested, Play, plan_of
from tests.core.simulate import Watch, digest

ANY = first(1)
CANCELS = first(1, cancel_rest=True)
TWO = first(2)
ASKS = until("log")


class Watched(Play):
    """A run by hand that is looked at after each event, and resumed from a snapshot."""

    def __init__(self, plan: Plan):
        self.watch = Watch(Case("by hand", plan, {}), follow=True)
        super().__init__(plan)
        self.begin()

    def do(self, event: ev.Event) -> list[str]:
        started = super().do(event)
        self.watch.after(self.run, event)
        body = freeze(self.run)
        thawed = thaw(self.plan, body, {seq: self.events[seq] for seq in needed(body)})
        if self.run.result is None:
            assert digest(thawed) == digest(self.run)
        self.begin()
        return started

    def asked(self, join: str, fire: bool, *, error: str = "") -> None:
        """The predicate of an `until` join answers."""
        wave = self.run.undecided[join]
        info = ev.ErrorInfo("Unclear", error) if error else None
        self.do(ev.JoinAsked(at=self.now, id=join, seen=len(wave.tokens), fire=fire, error=info))

    def retry(self) -> None:
        """Somebody tries again."""
        self.do(ev.RunEnded(at=self.now, status=self.status))  # type: ignore[arg-type]
        self.do(ev.RunRetried(at=self.now))


@contextmanager
def over(play: Watched) -> Iterator[None]:
    """The run comes to its end in here, and its log gives the same state again."""
    yield
    assert play.status == "done"
    assert play.live == []
    assert play.again() == play.state()


# -- until ---------------------------------------------------------------------------------------------

THREE = ("START a b c", "a j", "b j", "c j", "j END")


def test_until_asks_at_each_arrival_and_fires_when_the_answer_is_yes() -> None:
    play = Watched(plan_of(*THREE, joins={"j": ASKS}))
    play.finish("a", log=["a"])
    play.asked("j", False)
    assert not play.run.undecided
    play.finish("c", log=["c"])
    play.asked("j", True)
    assert play.live == ["b", "j"]
    assert play.seen("j")["log"] == ["-", "a", "c"]
    with over(play):
        play.finish("b", log=["b"])
        assert not play.run.undecided, "what comes late is absorbed"
        play.finish("j", log=["j"])
    assert play.final["log"] == ["-", "a", "b", "c", "j"], "what the loser gave to a reducer counts at the end"


def test_until_fires_unasked_when_nothing_more_can_come() -> None:
    play = Watched(plan_of(*THREE, joins={"j": ASKS}))
    play.finish("a")
    play.asked("j", False)
    play.finish("b")
    play.finish("c")
    assert not play.run.undecided
    with over(play):
        play.finish("j")


def test_until_with_cancel_rest_takes_the_others_away() -> None:
    play = Watched(plan_of(*THREE, "c d", "d END", joins={"j": until("log", cancel_rest=True)}))
    play.finish("a")
    play.asked("j", True)
    assert play.live == ["c", "j"], "c also leads elsewhere"


def test_a_predicate_that_raises_stops_the_run_and_is_asked_again() -> None:
    play = Watched(plan_of(*THREE, joins={"j": ASKS}))
    play.finish("a")
    play.asked("j", False, error="no such field")
    play.finish("b")
    play.finish("c")
    assert play.status == "failed"
    play.retry()
    with over(play):
        if "j" in play.run.undecided:
            play.asked("j", True)
        play.finish("j")


def test_a_predicate_is_asked_again_though_nothing_else_happens() -> None:
    play = Watched(plan_of(*THREE, joins={"j": ASKS}))
    play.finish("a")
    play.do(ev.QuestionAsked(at=play.now, id="b", question="b"))
    play.do(ev.QuestionAsked(at=play.now, id="c", question="c"))
    play.asked("j", False, error="no such field")
    play.retry()
    play.asked("j", True)
    assert play.live == ["b", "c", "j"]


# -- failures before first and until -------------------------------------------------------------------


def test_a_failure_is_excused_where_another_branch_can_win() -> None:
    play = Watched(plan_of(*THREE, joins={"j": ANY}))
    play.fail("a")
    assert play.status == "running"
    assert play.live == ["b", "c"]
    play.finish("b")
    with over(play):
        play.fail("c")
        assert play.status == "running", "only recorded"
        play.finish("j")


def test_too_few_left_is_a_failure_with_all_their_errors() -> None:
    play = Watched(plan_of(*THREE, joins={"j": TWO}))
    play.fail("a", message="first")
    play.finish("b", log=["b"])
    play.fail("c", message="second")
    assert play.status == "failed"
    halt = play.run.halt
    assert halt is not None
    assert [(identity, error.message) for identity, error in halt.errors] == [("a", "first"), ("c", "second")]
    assert not halt.final
    assert play.live == ["a", "c"]
    play.retry()
    play.finish("c", log=["c"])
    assert play.seen("j")["log"] == ["-", "b", "c"]


def test_nothing_at_all_is_a_failure_even_where_few_are_enough() -> None:
    play = Watched(plan_of(*THREE, joins={"j": first(2, short="fire")}))
    for identity in ("b", "a", "c"):
        play.fail(identity)
    assert play.status == "failed"
    play.retry()
    play.finish("a")
    play.fail("b")
    with over(play):
        play.fail("c")
        play.finish("j")


def test_a_join_behind_does_not_fire_while_the_failed_may_be_tried_again() -> None:
    """The join in front closes with nothing but failures in the very event that frees the one behind it."""
    play = Watched(plan_of("START a b w", "a j", "b j", "j k", "w k", "k END", joins={"j": ANY}))
    play.finish("w", log=["w"])
    play.fail("a")
    play.fail("b")
    assert play.status == "failed"
    assert play.live == ["a", "b"]
    assert play.waves == ["k"]
    play.retry()
    play.finish("a", log=["a"])
    play.finish("j")
    play.finish("b")
    assert play.seen("k")["log"] == ["-", "a", "w"]


def test_what_was_excused_goes_with_the_join_that_is_not_needed_any_more() -> None:
    play = Watched(plan_of("START a b w", "a j", "b j", "j k", "w k", "k END", joins={"j": ANY, "k": CANCELS}))
    play.fail("a")
    play.finish("w")
    assert play.live == ["k"]
    with over(play):
        play.finish("k")


def test_the_nearest_join_excuses() -> None:
    play = Watched(plan_of("START a b c", "a j", "b j", "j k", "c k", "k END", joins={"j": ANY, "k": ANY}))
    play.fail("a")
    play.fail("b")
    assert play.status == "running", "c may still end; then the run has failed"
    play.finish("c")
    assert play.status == "failed"


def test_a_join_within_is_asked_before_the_one_behind_it() -> None:
    play = Watched(plan_of("START a b c", "a x", "b x", "x j", "c j", "j END", joins={"x": ANY, "j": ANY}))
    play.fail("c")
    play.fail("a")
    play.fail("b")
    assert play.live == ["a", "b"], "c is still excused: the others may be tried again"
    play.retry()
    play.finish("a")
    with over(play):
        play.finish("x")
        play.finish("b")
        play.finish("j")


def test_a_branch_before_another_join_is_not_excused() -> None:
    """The join between would begin without it, as if it had never been."""
    play = Watched(plan_of("START a b c", "a k", "b k", "k j", "c j", "j END", joins={"j": ANY}))
    play.fail("a")
    play.finish("b")
    play.finish("c")
    assert play.status == "failed"
    assert play.waves == ["k"]
    play.retry()
    play.finish("a")
    with over(play):
        play.finish("k")
        play.finish("j")


GRAPHS = plan_of(
    "START c d",
    "c a b",
    "a x",
    "b x",
    "x c/END",
    "c/END j",
    "d e",
    "e d/END",
    "d/END j",
    "j END",
    joins={"j": ANY},
    calls=[Nested("c", "a b x"), Nested("d", "e")],
)


def test_a_graph_that_failed_is_excused_when_nothing_else_is_in_it() -> None:
    play = Watched(GRAPHS)
    play.finish("c")
    play.finish("d")
    play.fail("e")
    assert play.status == "running"
    play.finish("a")
    play.finish("b")
    play.finish("x")
    play.finish("c/END")
    with over(play):
        play.finish("j")


def test_a_graph_in_which_something_else_goes_on_is_not_excused() -> None:
    play = Watched(GRAPHS)
    play.finish("c")
    play.finish("d")
    play.fail("a")
    play.finish("b")
    play.finish("e")
    assert play.status == "failed"


def test_a_branch_that_also_leads_elsewhere_is_not_excused() -> None:
    play = Watched(plan_of(*THREE, "a END", joins={"j": ANY}))
    play.fail("a")
    play.finish("b")
    play.finish("c")
    assert play.status == "failed"


def test_a_failure_in_one_instance_is_excused_there() -> None:
    plan = plan_of(
        "START m", "t u v", "u x", "v x", "x j", "j END", joins={"x": ANY}, eaches=[Each("m", "t u v x", "j", "j")]
    )
    play = Watched(plan)
    play.finish("m", ("t", 2))
    play.finish("t#0")
    play.finish("t#1")
    play.fail("u#0")
    play.fail("v#1")
    play.finish("u#1")
    play.finish("v#0")
    play.finish("x#0")
    with over(play):
        play.finish("x#1")
        play.finish("j")


# -- races ---------------------------------------------------------------------------------------------

RACE = ("START f", "f a b", "a x", "b y", "x z", "y z", "z END")


def test_the_first_to_be_done_withdraws_the_others() -> None:
    play = Watched(plan_of(*RACE, races=["a b"]))
    play.finish("f")
    play.finish("b", log=["b"])
    assert play.live == ["y"]
    with over(play):
        play.finish("y")
        play.finish("z")


def test_work_that_could_only_still_lead_to_another_member_goes_too() -> None:
    play = Watched(plan_of("START f", "f a c", "c d", "d b", "a z", "b z", "z END", races=["a b"]))
    play.finish("f")
    play.finish("c", log=["c"])
    play.finish("a")
    assert play.live == ["z"]
    with over(play):
        play.finish("z")
    assert play.final["log"] == ["-", "c"], "what it gave to a reducer counts at the end"


def test_work_that_also_leads_elsewhere_goes_on_and_what_it_sends_to_the_loser_is_absorbed() -> None:
    play = Watched(plan_of("START f", "f a c", "c b e", "a z", "b z", "e z", "z END", races=["a b"]))
    play.finish("f")
    play.finish("a")
    assert play.live == ["c"]
    play.finish("c")
    assert play.live == ["e"]
    play.finish("e")
    with over(play):
        play.finish("z")


def test_tokens_that_wait_at_a_loser_are_withdrawn() -> None:
    play = Watched(plan_of("START a c d", "c b", "d b", "a z", "b z", "z END", races=["a b"]))
    play.finish("c", log=["c"])
    assert play.waves == ["b"]
    play.finish("a")
    assert play.live == ["z"]
    with over(play):
        play.finish("z")
    assert play.final["log"] == ["-", "c"]


def test_each_turn_has_its_own_race() -> None:
    play = Watched(plan_of("START f", "f a b", "a z", "b z", "z f END", races=["a b"]))
    for turn, winner in enumerate(("a", "b", "a")):
        play.finish(f"f@{turn}")
        play.finish(f"{winner}@{turn}")
        assert play.live == [f"z@{turn}"]
        play.finish(f"z@{turn}", "f")
    assert play.live == ["f@3"]


def test_each_instance_has_its_own_race() -> None:
    plan = plan_of("START m", "t a b", "a j", "b j", "j END", races=["a b"], eaches=[Each("m", "t a b", "j", "j")])
    play = Watched(plan)
    play.finish("m", ("t", 2))
    play.finish("t#0")
    play.finish("t#1")
    play.finish("a#1")
    assert play.live == ["a#0", "b#0"]
    with over(play):
        play.finish("b#0")
        play.finish("j")


def test_a_loser_stays_one_though_what_leads_to_it_was_excused_meanwhile() -> None:
    play = Watched(plan_of("START v a", "v b j", "b j", "a END", "j END", races=["a b"], joins={"j": ASKS}))
    play.finish("a")
    play.fail("v")
    assert play.status == "failed"
    play.retry()
    play.finish("v")
    assert play.live == ["j"]
    with over(play):
        play.finish("j")


def test_a_run_ends_though_its_last_branch_was_taken_in_by_a_loser() -> None:
    """Two races that lead to each other: the compiler refuses them, and the core does not hang."""
    play = Play(plan_of("START a d", "a c", "d b e", "b END", "c END", "e END", races=["a b", "c d"]))
    play.begin()
    play.finish("a", log=["a"])
    play.finish("d", "b", log=["d"])
    assert play.live == []
    assert play.status == "done"
    assert play.final["log"] == ["-", "a", "d"]


def test_a_failed_member_does_not_win() -> None:
    play = Watched(plan_of(*RACE, races=["a b"], errors=["a x"]))
    play.finish("f")
    play.fail("a", "x")
    assert play.live == ["b", "x"]
    play.finish("b")
    assert play.live == ["x", "y"]


GRAPH_IN_RACE = plan_of(
    "START f",
    "f c t",
    "c a b",
    "a c/END",
    "b c/END",
    "c/END z",
    "t z",
    "z END",
    races=["c t"],
    calls=[Nested("c", "a b")],
)


def test_a_graph_has_won_its_race_when_it_is_left_not_when_it_is_entered() -> None:
    play = Watched(GRAPH_IN_RACE)
    play.finish("f")
    play.finish("c")
    assert play.live == ["a", "b", "t"]
    play.finish("a")
    play.finish("b")
    play.finish("c/END")
    assert play.live == ["z"]
    with over(play):
        play.finish("z")


def test_a_graph_that_lost_its_race_is_withdrawn_with_all_that_is_in_it() -> None:
    play = Watched(GRAPH_IN_RACE)
    play.finish("f")
    play.finish("c")
    play.finish("a", log=["a"])
    play.finish("t")
    assert play.live == ["z"]
    with over(play):
        play.finish("z")
    assert play.final["log"] == ["-", "a"]


def test_a_question_that_lost_its_race_is_closed() -> None:
    play = Watched(plan_of(*RACE, races=["a b"]))
    play.finish("f")
    play.do(ev.QuestionAsked(at=play.now, id="a", question="a", to="ana"))
    play.finish("b")
    assert play.run.closed == ["a"]
    assert play.run.questions == []
    assert play.run.asking == 0


# -- error edges ---------------------------------------------------------------------------------------


def test_a_failure_goes_over_its_error_edges_and_nothing_of_it_is_written() -> None:
    play = Watched(plan_of("START a", "a b", "b END", errors=["a x y"]))
    assert play.fail("a", "x", "y", message="down") == ["x", "y"]
    assert play.status == "running"
    assert play.seen("x") == play.seen("y")
    assert play.seen("x")["log"] == ["-"]
    with over(play):
        play.finish("x")
        play.finish("y")


def test_the_joins_behind_know_which_way_a_failure_went() -> None:
    play = Watched(plan_of("START a b", "a j", "b j", "x j", "j END", errors=["a x"]))
    play.finish("b")
    play.fail("a", "x")
    assert play.waves == ["j"], "x is on its way"
    with over(play):
        play.finish("x")
        play.finish("j")


def test_an_error_edge_may_lead_back_into_a_next_turn() -> None:
    play = Watched(plan_of("START a", "a b", "b END", "fix a", errors=["a fix"]))
    play.fail("a@0", "fix")
    play.finish("fix@0")
    play.finish("a@1", "b")
    with over(play):
        play.finish("b~1")


def test_an_attempt_with_another_one_to_come_takes_no_error_edge() -> None:
    play = Watched(plan_of("START a", "a b", "b END", errors=["a x"]))
    play.fail("a", retry_at=5.0)
    assert play.live == ["a"]


# -- limits --------------------------------------------------------------------------------------------


def test_a_limit_on_turns_goes_on_with_all_that_was_seen() -> None:
    play = Watched(plan_of("START a", "a a w END", "w a", "late END", limits=[Most("a", "turns", 2, "late")]))
    play.finish("a@0", "a", "w", log=["0"])
    play.finish("w@0", "a", log=["w"])
    play.finish("a@1", "a", log=["1"])
    assert play.live == ["late~2"]
    assert play.seen("late~2")["log"] == ["-", "0", "w", "1"]
    with over(play):
        play.finish("late~2")


def test_a_limit_on_turns_takes_all_that_is_in_the_loop() -> None:
    play = Watched(plan_of("START a", "a a w END", "w END", "late END", limits=[Most("a", "turns", 2, "late")]))
    play.finish("a@0", "a", "w")
    play.finish("a@1", "a")
    assert play.live == ["late~2", "w~0"], "w is outside of the loop"


def test_a_limit_in_an_inner_loop_leaves_the_other_turns_alone() -> None:
    plan = plan_of(
        "START f",
        "f a s",
        "a a j",
        "late j",
        "s j",
        "j f END",
        limits=[Most("a", "turns", 2, "late")],
    )
    play = Watched(plan)
    play.finish("f@0")
    play.finish("a@0.0", "a")
    play.finish("a@0.1", "a")
    assert play.live == ["late@0~2", "s@0"]


def test_a_limit_without_a_way_out_stops_the_run() -> None:
    play = Watched(plan_of("START a", "a a END", limits=[Most("a", "turns", 1)]))
    play.finish("a@0", "a")
    assert play.status == "stopped"
    assert play.live == ["a@1"]


def test_a_limit_on_steps_takes_what_is_left() -> None:
    lines = ("START a", "a b c", "b d", "c d", "d a END", "late END")
    play = Watched(plan_of(*lines, limits=[Most("a", "steps", 3, "late")]))
    play.finish("a@0", log=["a"])
    play.finish("c@0", log=["c"])
    play.finish("b@0", log=["b"])
    (late,) = play.live
    assert late == "late~0"
    assert play.seen(late)["log"] == ["-", "a", "b", "c"]
    with over(play):
        play.finish(late)


def test_a_limit_on_steps_is_nothing_to_a_loop_that_has_ended() -> None:
    play = Watched(plan_of("START a", "a b", "b a END", "late END", limits=[Most("a", "steps", 2, "late")]))
    play.finish("a@0")
    with over(play):
        play.finish("b@0", "END")


def test_a_limit_of_the_whole_graph_leaves_what_has_ended() -> None:
    plan = plan_of("START a b", "a END", "b b END", "late END", limits=[Most("START", "steps", 3, "late", whole=True)])
    play = Watched(plan)
    play.finish("a", log=["a"])
    play.finish("b@0", "b", log=["b"])
    play.finish("b@1", "b", log=["b"])
    assert play.live == ["late"]
    assert play.waves == ["END"]
    assert play.seen("late")["log"] == ["-", "b", "b"]
    with over(play):
        play.finish("late")
    assert play.final["log"] == ["-", "a", "b", "b"]


# -- ends ----------------------------------------------------------------------------------------------


def test_a_node_that_ends_the_graph_takes_all_else_away() -> None:
    play = Watched(plan_of("START a b c", "a END", "b t d", "c END", "d END", ends={"t": "done"}))
    play.finish("a", log=["a"])
    play.finish("b")
    with over(play):
        play.finish("t", log=["t"])
    assert play.final["log"] == ["-", "a", "t"]


def test_a_node_may_end_the_run_as_failed() -> None:
    play = Watched(plan_of("START a b", "a t", "b END", ends={"t": "failed"}))
    play.finish("a")
    play.finish("t")
    assert play.status == "failed"
    assert play.run.halt is not None
    assert play.run.halt.final
    assert play.live == []


def test_an_end_inside_of_a_call_ends_the_call() -> None:
    plan = plan_of(
        "START c s",
        "c a b",
        "a t",
        "t c/END",
        "b c/END",
        "c/END z",
        "s z",
        "z END",
        ends={"t": "done"},
        calls=[Nested("c", "a b t")],
    )
    play = Watched(plan)
    play.finish("c")
    play.finish("a")
    play.finish("t")
    assert play.live == ["c/END", "s"]
    play.finish("c/END")
    play.finish("s")
    with over(play):
        play.finish("z")
