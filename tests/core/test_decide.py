"""What may begin, and what the run has come to."""

from __future__ import annotations

import pytest

from orchestra_graph.core.decide import begin, due, give_back, verdict
from orchestra_graph.core.events import LimitPassed, QuestionAsked, RunCancelled, RunEnded
from orchestra_graph.core.run import RunState
from orchestra_graph.errors import EngineBug
from tests.core.play import Play, plan_of

WIDE = plan_of("START a b c", "a j", "b j", "c j", "j END")


def test_activations_begin_in_the_order_in_which_they_became_ready() -> None:
    play = Play(WIDE)
    assert [a.id for a in begin(play.run, 2)] == ["a", "b"]
    assert play.run.running == 2
    assert [a.id for a in begin(play.run, 5)] == ["c"]
    assert begin(play.run, 5) == []


def test_nothing_begins_without_room() -> None:
    play = Play(WIDE)
    assert begin(play.run, 0) == []
    assert len(play.run.ready) == 3


def test_nothing_begins_in_a_run_that_was_stopped_or_has_ended() -> None:
    stopped = Play(WIDE)
    stopped.do(LimitPassed(at=1, limit="seconds", allowed=1))
    assert begin(stopped.run, 5) == []
    ended = Play(WIDE)
    ended.do(RunCancelled(at=1))
    assert begin(ended.run, 5) == []


def test_an_attempt_becomes_due_only_while_it_waits_for_that() -> None:
    play = Play(WIDE)
    play.begin()
    due(play.run, "a")
    assert play.run.live["a"].status == "running"
    play.fail("a", retry_at=1.0)
    due(play.run, "a")
    assert play.begin() == ["a"]


def test_what_was_interrupted_without_a_result_may_start_again() -> None:
    play = Play(WIDE)
    play.begin(1)
    give_back(play.run, "a")
    give_back(play.run, "b")
    give_back(play.run, "nobody")
    assert play.run.running == 0
    assert play.begin() == ["b", "c", "a"]


def test_a_run_is_running_while_anything_runs_or_may_start() -> None:
    play = Play(WIDE)
    assert verdict(play.run) == "running"
    play.begin()
    assert verdict(play.run) == "running"
    for name in ("a", "b", "c"):
        play.fail(name, retry_at=1.0)
    assert verdict(play.run) == "running"


def test_a_run_waits_when_only_people_can_move_it() -> None:
    play = Play(WIDE)
    play.begin()
    for name in ("a", "b"):
        play.do(QuestionAsked(at=1, id=name, question=name))
    assert verdict(play.run) == "running"
    play.finish("c")
    assert verdict(play.run) == "waiting"


def test_a_run_is_done_when_its_end_has_fired() -> None:
    play = Play(plan_of("START a", "a END"))
    play.begin()
    play.finish("a", log=["a"])
    assert verdict(play.run) == "done"
    assert play.final["log"] == ["-", "a"]


def test_a_failure_is_the_verdict_only_when_what_ran_beside_it_has_ended() -> None:
    play = Play(WIDE)
    play.begin(2)
    play.fail("a")
    assert verdict(play.run) == "running"
    play.finish("b")
    assert verdict(play.run) == "failed", "c never began"


@pytest.mark.parametrize("status", ["done", "failed", "cancelled", "stopped"])
def test_a_run_that_has_ended_is_what_it_ended_as(status: str) -> None:
    play = Play(WIDE)
    play.do(RunEnded(at=1, status=status))  # type: ignore[arg-type]
    assert verdict(play.run) == status


def test_a_run_in_which_nothing_can_move_is_a_bug_of_ours() -> None:
    with pytest.raises(EngineBug, match="nobody is asked"):
        verdict(RunState.of(WIDE))
