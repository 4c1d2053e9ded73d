"""`evolve`, event by event: failures, retries, limits, questions, cancelling, `each` limits and conflicts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from orchestra_graph.core.decide import due
from orchestra_graph.core.events import (
    Answered,
    DoubtSettled,
    Event,
    LateResult,
    LimitPassed,
    NodeFinished,
    NodeStarted,
    QuestionAsked,
    RunCancelled,
    RunEnded,
    RunResumed,
    RunRetried,
    Taken,
)
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.core.snapshot import freeze, needed, thaw
from orchestra_graph.graph.policies import JoinRule
from tests.core.graphs import Case, random_case
from tests.core.play import Each, Play, plan_of
from tests.core.simulate import ORDERS, Watch, digest, simulate

CHAIN = plan_of("START a", "a b", "b END")
FORK = plan_of("START a b", "a j", "b j", "j END")


# -- failures and retries ------------------------------------------------------------------------------


def test_an_attempt_that_failed_is_tried_again_when_it_is_time() -> None:
    play = Play(CHAIN)
    play.begin()
    play.fail("a", retry_at=9.0)
    activation = play.run.live["a"]
    assert (activation.status, activation.attempt, activation.retry_at) == ("retrying", 2, 9.0)
    assert str(activation.error) == "Boom: no"
    assert play.begin() == []
    assert play.status == "running"
    due(play.run, "a")
    assert play.begin() == ["a"]
    play.finish("a", log=["done"])
    assert play.seen("b")["log"] == ["-", "done"]


def test_a_failed_node_lets_its_sibling_finish_and_nothing_new_start() -> None:
    play = Play(plan_of("START a b", "a j", "b c", "c j", "j END"))
    play.begin()
    play.fail("a", attempt=3)
    assert play.status == "running", "b still runs"
    play.finish("b", log=["b"])
    assert play.status == "failed"
    assert play.live == ["a", "c"]
    assert play.begin() == []
    assert play.run.halt is not None
    assert play.run.halt.reason == "a: Boom: no"
    assert not play.run.halt.final


def test_a_retry_goes_on_from_the_failed_node_and_runs_nothing_twice() -> None:
    play = Play(plan_of("START a b", "a j", "b c", "c j", "j END"))
    play.begin()
    play.fail("a")
    play.finish("b", log=["b"])
    play.do(RunEnded(at=play.now, status="failed"))
    assert play.status == "failed"
    play.do(RunRetried(at=play.now))
    assert play.begin() == ["c", "a"]
    assert play.run.live["a"].attempt == 1
    play.finish("a", log=["a"])
    play.finish("c")
    assert play.seen("j")["log"] == ["-", "a", "b"]


def test_every_failure_is_kept_and_the_first_is_the_reason() -> None:
    play = Play(FORK)
    play.begin()
    play.fail("b", message="first")
    play.fail("a", message="second")
    assert play.run.halt is not None
    assert play.run.halt.reason == "b: Boom: first"
    assert [identity for identity, _ in play.run.halt.errors] == ["b", "a"]


def test_a_failure_beats_a_limit_and_a_limit_does_not_beat_a_failure() -> None:
    play = Play(FORK, steps=1)
    play.begin()
    play.finish("a")
    assert play.run.halt is not None
    assert play.run.halt.status == "stopped"
    play.fail("b")
    assert play.status == "failed"
    play.do(LimitPassed(at=play.now, limit="seconds", allowed=1))
    assert play.status == "failed"


def test_an_irreversible_node_that_has_begun_is_known_to_have_begun() -> None:
    play = Play(CHAIN)
    play.begin()
    play.do(NodeStarted(at=1, id="a", attempt=2))
    assert play.run.live["a"].started
    assert play.run.live["a"].attempt == 2
    play.fail("a", attempt=2, retry_at=5.0)
    assert not play.run.live["a"].started
    assert play.run.live["a"].attempt == 3


# -- limits --------------------------------------------------------------------------------------------


def test_a_limit_on_steps_stops_the_run_before_the_next_one_begins() -> None:
    play = Play(plan_of("START a", "a b", "b c", "c END"), steps=2)
    play.begin()
    play.finish("a")
    assert play.begin() == ["b"]
    play.finish("b")
    assert play.begin() == []
    assert play.status == "stopped"
    assert play.run.halt is not None
    assert (play.run.halt.limit, play.run.halt.allowed) == ("steps", 2)


def test_a_run_that_ends_with_its_last_step_is_done() -> None:
    play = Play(CHAIN, steps=2)
    play.finish("a")
    play.finish("b")
    assert play.status == "done"


def test_a_retry_after_a_limit_on_steps_has_all_of_its_steps_again() -> None:
    play = Play(plan_of("START a", "a b", "b c", "c d", "d END"), steps=1)
    play.finish("a")
    play.do(RunRetried(at=play.now, steps=2))
    play.finish("b")
    assert play.begin() == ["c"]
    play.finish("c")
    assert play.status == "stopped"
    play.do(RunRetried(at=play.now))
    play.begin()
    play.finish("d")
    assert play.status == "done"
    assert play.run.steps == 4


def test_three_turns_are_three_turns() -> None:
    play = Play(plan_of("START a", "a a END", turns={"a": 3}))
    for turn in range(3):
        assert play.begin() == [f"a@{turn}"]
        play.finish(f"a@{turn}", "a")
    assert play.begin() == []
    assert play.status == "stopped"
    assert play.run.halt is not None
    assert (play.run.halt.limit, play.run.halt.allowed) == ("turns of 'a'", 3)
    play.do(RunRetried(at=play.now))
    assert play.begin() == ["a@3"]


def test_the_runs_own_limit_on_turns_counts_where_nothing_was_said_of_a_loop() -> None:
    play = Play(plan_of("START a", "a a b", "b b END", turns={"b": 5}, heads="a"), turns=2)
    play.finish("a@0", "a")
    play.finish("a@1", "b")
    for turn in range(3):
        play.finish(f"b@{turn}", "b")
    assert play.run.halt is None
    again = Play(plan_of("START a", "a a END", heads="a"), turns=2)
    again.finish("a@0", "a")
    again.finish("a@1", "a")
    assert again.status == "stopped"
    again.do(RunRetried(at=again.now, turns=1))
    assert again.begin() == ["a@2"]
    again.finish("a@2", "a")
    again.finish("a@3", "a")
    assert again.status == "stopped"


def test_turns_are_counted_for_each_instance_by_itself_and_over_all_loops_in_it() -> None:
    plan = plan_of("START m", "t u", "u t j", "j m END", eaches=[Each("m", "t u", "j", empty="j")], turns={"t": 2})
    play = Play(plan)
    play.finish("m@0", ("t", 2))
    for identity in ("t@0#0@0", "t@0#1@0"):
        play.finish(identity)
    play.finish("u@0#0@0", "t")
    play.finish("u@0#1@0", "t")
    assert play.run.halt is None, "two instances have had two turns each"
    play.finish("t@0#0@1")
    play.finish("u@0#0@1", "t")
    assert play.status == "stopped"


def test_a_new_instance_begins_to_count_anew() -> None:
    plan = plan_of("START m", "t j", "j m END", eaches=[Each("m", "t", "j", empty="j")], turns={"t": 1})
    play = Play(plan)
    for turn in range(3):
        play.finish(f"m@{turn}", ("t", 1))
        play.finish(f"t@{turn}#0")
        play.finish(f"j@{turn}", "m")
    assert play.run.halt is None


def test_an_inner_loop_does_not_begin_to_count_anew_with_each_outer_turn() -> None:
    """P5: turns of a node in one instance, not of one loop level."""
    play = Play(plan_of("START f", "f g", "g g f END", turns={"g": 3}))
    play.finish("f@0")
    play.finish("g@0.0", "g")
    play.finish("g@0.1", "f")
    play.finish("f@1")
    assert play.run.halt is None
    play.finish("g@1.0", "g")
    assert play.status == "stopped"


def test_time_that_is_over_stops_the_run_when_what_runs_has_ended() -> None:
    play = Play(FORK)
    play.begin()
    play.do(LimitPassed(at=60, limit="seconds", allowed=60))
    assert play.status == "running"
    play.finish("a")
    play.finish("b")
    assert play.status == "stopped"
    assert play.run.halt is not None
    assert play.run.halt.reason == "seconds: 60 allowed"
    play.do(RunRetried(at=play.now, seconds=60))
    assert play.begin() == ["j"]


def test_the_time_in_which_only_people_are_waited_for_does_not_count() -> None:
    play = Play(CHAIN, at=100.0)
    play.do(QuestionAsked(at=110.0, id="a", question="q"))
    assert play.run.active == 10.0
    play.do(Answered(at=1_000.0, id="a"))
    assert play.run.active == 10.0
    play.do(QuestionAsked(at=1_000.0, id="a", question="q"))
    play.do(RunResumed(at=5_000.0))
    assert play.run.active == 10.0, "nor does the time in which nobody drove it"


# -- questions -----------------------------------------------------------------------------------------


def test_a_question_waits_for_its_person_and_holds_up_its_join_only() -> None:
    play = Play(plan_of("START a b", "a j", "b c", "c j", "j END"))
    play.begin()
    play.do(QuestionAsked(at=1, id="a", question="a?", to="anna", expires_at=99.0))
    asked = play.run.live["a"]
    assert (asked.status, asked.question, asked.to, asked.expires_at) == ("asking", "a?", "anna", 99.0)
    assert play.run.questions == [asked]
    play.finish("b")
    assert play.status == "running"
    play.begin()
    play.finish("c")
    assert play.status == "waiting"
    play.do(Answered(at=5, id="a"))
    assert play.status == "waiting", "what it writes comes with the event that follows"
    assert play.finish("a", log=["yes"]) == ["j"]
    assert play.run.asking == 0


def test_several_questions_are_answered_in_any_order() -> None:
    logs = []
    for order in (("a", "b"), ("b", "a")):
        play = Play(FORK)
        for name in ("a", "b"):
            play.do(QuestionAsked(at=1, id=name, question=f"{name}?"))
        for name in order:
            play.finish(name, log=[name])
        logs.append(play.seen("j")["log"])
    assert logs == [["-", "a", "b"]] * 2


def test_a_doubt_that_was_settled_lets_the_node_run() -> None:
    play = Play(CHAIN)
    play.begin()
    play.do(NodeStarted(at=1, id="a", attempt=1))
    play.do(QuestionAsked(at=2, id="a", question="did it happen?", doubt=True))
    assert play.run.live["a"].doubt
    play.do(DoubtSettled(at=3, id="a"))
    activation = play.run.live["a"]
    assert (activation.status, activation.started, activation.doubt, activation.attempt) == ("ready", False, False, 2)
    assert play.begin() == ["a"]


# -- the end -------------------------------------------------------------------------------------------


def test_cancelling_ends_everything_and_keeps_what_was_there() -> None:
    play = Play(plan_of("START a b", "a j", "b c", "c j", "j END"))
    play.finish("a", log=["a"])
    play.finish("b", log=["b"])
    play.do(RunCancelled(at=play.now))
    assert play.live == []
    assert play.waves == []
    assert play.status == "cancelled"
    assert play.final["log"] == ["-", "a", "b"]
    assert play.begin() == []
    play.do(RunEnded(at=play.now, status="cancelled"))
    assert play.status == "cancelled"


def test_cancelling_a_run_that_had_failed_leaves_no_failure() -> None:
    play = Play(FORK)
    play.begin()
    play.fail("a")
    play.do(RunCancelled(at=play.now))
    assert play.run.halt is None
    assert play.status == "cancelled"
    assert (play.run.failed, play.run.running, play.run.asking, play.run.retrying) == (0, 0, 0, 0)


EVENTS_AFTER: list[Event] = [
    NodeStarted(at=9, id="gone", attempt=1),
    QuestionAsked(at=9, id="gone", question="q"),
    DoubtSettled(at=9, id="gone"),
    Answered(at=9, id="gone"),
    LateResult(at=9, id="gone", attempt=1, outcome="finished"),
]


@pytest.mark.parametrize("event", EVENTS_AFTER, ids=lambda e: type(e).__name__)
def test_an_event_about_what_is_not_live_changes_nothing(event: Event) -> None:
    play = Play(FORK)
    before = play.state()
    assert play.do(event) == []
    assert {**play.state(), "counts": None} == {**before, "counts": None}
    due(play.run, "gone")


def test_a_failure_of_what_is_not_live_changes_nothing() -> None:
    play = Play(FORK)
    play.do(RunCancelled(at=1))
    play.fail("a")
    assert play.status == "cancelled"
    assert play.run.halt is None


# -- each ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [("t x",), ("t x", "x t")], ids=["a plain entry", "an entry that is a join"])
def test_no_more_items_run_at_once_than_the_limit_and_all_run_in_the_end(lines: tuple[str, ...]) -> None:
    """With an entry that is a join (a loop in the body), all items once began at once."""
    plan = plan_of("START m", *lines, "x j", "j END", eaches=[Each("m", "t x", "j", empty="j", limit=2)])
    turn = "@0" if len(lines) > 1 else ""
    play = Play(plan)
    play.finish("m", ("t", 5))
    chance, ran = random.Random(4), []
    while any(identity.startswith(("t", "x")) for identity in play.live):
        running = [a.id for a in play.run.live.values() if a.status in ("ready", "running")]
        assert len({identity[:3].strip("tx") for identity in running}) <= 2
        identity = chance.choice(running)
        play.finish(identity, "x" if identity.startswith("t") else "j")
        ran.append(identity)
    assert sorted(ran) == sorted(f"{node}#{i}{turn}" for node in "tx" for i in range(5))
    assert play.live == ["j"]


def test_a_place_is_free_when_all_of_an_instance_has_ended() -> None:
    plan = plan_of("START m", "t u v", "u j", "v j", "j END", eaches=[Each("m", "t u v", "j", empty="j", limit=1)])
    play = Play(plan)
    play.finish("m", ("t", 2))
    assert play.begin() == ["t#0"]
    play.finish("t#0")
    play.finish("u#0")
    assert play.run.live["t#1"].status == "queued"
    play.finish("v#0")
    assert play.begin() == ["t#1"]


def test_a_limit_is_one_for_each_pass_over_the_items() -> None:
    inner = Each("t", "u", "x", empty="x", limit=1)
    plan = plan_of("START m", "u x", "x j", "j END", eaches=[Each("m", "t u x", "j", empty="j", limit=2), inner])
    play = Play(plan)
    play.finish("m", ("t", 3))
    assert play.begin() == ["t#0", "t#1"]
    play.finish("t#0", ("u", 2))
    play.finish("t#1", ("u", 2))
    assert play.begin() == ["u#0#0", "u#1#0"]


def test_the_items_are_those_of_the_event_or_are_read_from_what_its_writer_left() -> None:
    plan = plan_of("START m", "t j", "j END", eaches=[Each("m", "t", "j", empty="j")])
    play = Play(plan)
    edge = next(i for i, e in enumerate(plan.edges) if e.kind == "each")
    play.do(NodeFinished(at=1, id="m", taken=[Taken(edge, 2)], items={edge: ["x", "y"]}))
    ((fan, index),) = play.run.live["t#1"].fans
    assert (fan.items, fan.made, index) == (["x", "y"], True, 1)
    other = Play(plan)
    other.finish("m", ("t", 2))
    ((fan, index),) = other.run.live["t#1"].fans
    assert (fan.items, fan.made, fan.seq) == (None, False, 1)


def test_a_withdrawn_item_that_was_queued_takes_no_place() -> None:
    plan = plan_of(
        "START m s",
        "t j",
        "s j",
        "j END",
        eaches=[Each("m", "t", "j", empty="j", limit=1)],
        joins={"j": JoinRule(kind="first", cancel_rest=True)},
    )
    play = Play(plan)
    play.finish("m", ("t", 3))
    play.finish("s")
    assert play.live == ["j"]
    play.finish("j")
    assert play.status == "done"


# -- conflicts -----------------------------------------------------------------------------------------


def test_two_writers_side_by_side_are_named_where_they_meet() -> None:
    play = Play(FORK)
    play.finish("b", title="by b")
    play.finish("a", title="by a")
    assert play.status == "failed"
    assert play.run.halt is not None
    assert play.run.halt.final
    ((identity, error),) = play.run.halt.errors
    assert (identity, error.type) == ("j", "MergeConflict")
    assert error.message == "field 'title' was written by a and b side by side"


def test_a_join_that_overwrites_the_field_settles_the_conflict() -> None:
    play = Play(plan_of("START a b", "a j", "b j", "j k", "k END", writes={"j": "title"}))
    play.finish("b", title="by b")
    play.finish("a", title="by a")
    assert play.begin() == ["j"]
    play.finish("j", title="by j")
    assert play.seen("k")["title"] == "by j"


def test_two_writers_that_meet_only_at_the_end_are_a_conflict_of_the_end() -> None:
    play = Play(plan_of("START a b", "a END", "b END"))
    play.finish("a", draft="one")
    play.finish("b", draft="two")
    assert play.status == "failed"
    assert play.run.halt is not None
    ((identity, _),) = play.run.halt.errors
    assert identity == "END"


def test_a_write_that_saw_the_other_is_no_conflict() -> None:
    play = Play(plan_of("START a", "a b c", "b j", "c j", "j END"))
    play.finish("a", title="first")
    play.finish("b", title="second")
    play.finish("c", log=["c"])
    assert play.seen("j")["title"] == "second"


# -- anything may happen -------------------------------------------------------------------------------


STORMY = plan_of(
    "START m s",
    "t x y",
    "x z",
    "y z",
    "z t j",
    "s j",
    "j m e",
    "e END",
    eaches=[Each("m", "t x y z", "j", empty="j", limit=2)],
    turns={"m": 4},
    joins={"j": JoinRule(kind="first", count=2, short="fire", cancel_rest=True)},
)


class Storm:
    """A run to which happens, in any order, whatever a driver, a person or bad luck may do to it."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)
        self.play = Play(STORMY, steps=25)
        self.what: list[tuple[int, Callable[[], None]]] = [
            (12, self.begin),
            (30, self.finish),
            (4, self.fail),
            (8, self.become_due),
            (4, self.ask),
            (6, self.settle),
            (1, self.time_is_over),
            (8, self.retry),
        ]

    def blow(self) -> None:
        """One more thing happens."""
        weights = [weight for weight, _ in self.what]
        self.chance.choices([act for _, act in self.what], weights)[0]()

    def some(self, status: str) -> Activation | None:
        found = [a for a in self.play.run.live.values() if a.status == status]
        return self.chance.choice(found) if found else None

    def begin(self) -> None:
        self.play.begin(self.chance.randrange(1, 4))

    def finish(self) -> None:
        if (activation := self.some("running")) is None:
            return
        to: dict[str, list[str | tuple[str, int]]] = {
            "m": [("t", times)] if (times := self.chance.randrange(5)) else ["j"],
            "z": [self.chance.choice(["t", "j", "j"])],
            "j": [self.chance.choice(["m", "m", "m", "m", "e"])],
        }
        name = self.play.run.name(activation.vertex)
        self.play.finish(activation.id, *to.get(name, []), log=[activation.id], total=1)

    def fail(self) -> None:
        if (activation := self.some("running")) is not None:
            again = self.chance.choice([None, 1.0, 1.0])
            self.play.fail(activation.id, attempt=activation.attempt, retry_at=again)

    def become_due(self) -> None:
        if (activation := self.some("retrying")) is not None:
            due(self.play.run, activation.id)

    def ask(self) -> None:
        if (activation := self.some("running")) is not None:
            self.play.do(QuestionAsked(at=self.play.now, id=activation.id, question="q", doubt=True))

    def settle(self) -> None:
        if (activation := self.some("asking")) is not None:
            self.play.do(DoubtSettled(at=self.play.now, id=activation.id))

    def time_is_over(self) -> None:
        if self.play.run.result is None:
            self.play.do(LimitPassed(at=self.play.now, limit="seconds", allowed=1))

    def retry(self) -> None:
        if self.play.run.halt is not None:
            self.play.do(RunRetried(at=self.play.now, steps=self.chance.choice([None, 5, 20])))


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_the_counts_are_right_and_the_log_is_the_state(seed: int) -> None:
    storm = Storm(seed)
    play, run = storm.play, storm.play.run
    watch = Watch(Case("storm", STORMY, {}))
    for _ in range(250):
        before = len(play.events)
        storm.blow()
        statuses: list[str] = [a.status for a in run.live.values()]
        counted = (run.running, run.retrying, run.asking, run.failed)
        assert counted == tuple(map(statuses.count, ("running", "retrying", "asking", "failed")))
        assert set(run.ready) == {a.id for a in run.live.values() if a.status == "ready"}
        assert play.status in ("running", "waiting", "done", "failed", "stopped")
        watch.after(run, play.events[-1])
        if len(play.events) > before and storm.chance.random() < 0.15:
            assert _as_if_due(play.again()) == _as_if_due(play.state())
            _check_snapshot(play)


def _as_if_due(state: dict[str, Any]) -> dict[str, Any]:
    """That it is time for the next attempt is not in the log: a replay still has it waiting for that."""
    live = {}
    for identity, (what, why, sees) in state["live"].items():
        status = "ready" if what[3] == "retrying" else what[3]
        live[identity] = ((*what[:3], status, *what[4:]), why[:3] + why[4:], sees)
    return {**state, "live": live}


def _check_snapshot(play: Play) -> None:
    copy = RunState.of(play.plan)
    for event in play.events:
        evolve(copy, event)
    body = freeze(copy)
    thawed = digest(thaw(play.plan, body, {seq: play.events[seq] for seq in needed(body)}))
    if copy.result is not None:
        thawed["lost"] = digest(copy)["lost"]
    assert thawed == digest(copy)


@pytest.mark.parametrize("seed", range(40))
def test_attempts_that_fail_change_nothing_of_what_a_run_comes_to(seed: int) -> None:
    case = random_case(seed)
    order = ORDERS["any"]
    calm = simulate(case, order(case, seed))
    unlucky = simulate(case, order(case, seed), fails=lambda identity, attempt: attempt < 1 + len(identity) % 3)
    assert unlucky.status == calm.status
    assert unlucky.final == calm.final
