"""Snapshots: a run that lives by them alone goes on like one that was never written down, and they stay small."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra_graph.core import events as ev
from orchestra_graph.core.decide import begin, due, verdict
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.run import RunState
from orchestra_graph.core.snapshot import _pack, _unpack, freeze, needed, thaw
from orchestra_graph.errors import EngineBug
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import JoinRule
from tests.core.graphs import random_case
from tests.core.oracle import TooLong, sequential
from tests.core.play import Each, Play, plan_of
from tests.core.simulate import ORDERS, Endless, digest, simulate


def through(plan: Plan, run: RunState, events: Sequence[ev.Event]) -> RunState:
    """Write a run down and read it again, with no other rows than those it asks for."""
    body = freeze(run)
    return thaw(plan, body, {seq: events[seq] for seq in needed(body)})


def at_its_end(state: dict[str, object]) -> dict[str, object]:
    """Of a run that has come to its end, what was lost on the way need not be kept."""
    return {**state, "lost": None} if state["end"] and not state["live"] else state


def same(one: RunState, other: RunState) -> None:
    assert at_its_end(digest(one)) == at_its_end(digest(other))
    questions = [{a.id: (a.question, a.asked) for a in run.live.values()} for run in (one, other)]
    assert questions[0] == questions[1]
    assert (one.ready.keys(), one.retrying, one.failed) == (other.ready.keys(), other.retrying, other.failed)
    assert (one.active, one.last_at) == (other.active, other.last_at)


@pytest.mark.parametrize("races", [False, True])
@pytest.mark.parametrize("seeds", [range(first, first + 25) for first in range(0, 100, 25)], ids=str)
def test_a_run_may_be_written_down_and_read_again_after_every_event(seeds: range, races: bool) -> None:
    """Each snapshot is of a run that came out of the one before: what one loses, no later one has."""
    tried = 0
    for seed in seeds:
        case = random_case(seed, races=races)
        try:
            if not races:
                sequential(case)
            trace = simulate(case, ORDERS["any"](case, seed), room=4)
        except (TooLong, Endless):
            continue
        if len(trace.events) > 120:
            continue
        tried += 1
        plain, frozen, lived = case.new_run(), case.new_run(), case.new_run()
        for event in trace.events:
            for run in (plain, frozen, lived):
                evolve(run, event)
            freeze(lived)  # and goes on with what was there, as a driver does
            frozen = through(case.plan, frozen, trace.events)
            same(frozen, plain)
            same(lived, plain)
    assert tried > 3


# -- everything that can be pending ------------------------------------------------------------------------


def settled(play: Play) -> RunState:
    """The run behind a snapshot; it is like the run itself."""
    thawed = through(play.plan, play.run, play.events)
    for activation in play.run.live.values():  # that it was begun is not written down: it begins again
        assert activation.status != "running" or thawed.live[activation.id].status == "ready"
    assert digest(thawed) == digest(play.run)
    return thawed


def test_what_was_begun_begins_again_in_the_same_order() -> None:
    play = Play(plan_of("START a b c", "a END", "b END", "c END"))
    assert play.begin(2) == ["a", "b"]
    thawed = settled(play)
    assert [a.id for a in begin(thawed, 9)] == ["a", "b", "c"]


def test_questions_stay_open_with_all_that_is_known_of_them() -> None:
    play = Play(plan_of("START a b", "a END", "b END"))
    play.begin()
    play.do(ev.QuestionAsked(at=1.0, id="a", question="a", to="ana", expires_at=9.0))
    play.do(ev.QuestionAsked(at=2.0, id="b", question="b!2", doubt=True))
    thawed = settled(play)
    assert {(a.id, a.question, a.to, a.expires_at, a.doubt, a.asked) for a in thawed.questions} == {
        ("a", "a", "ana", 9.0, False, 1),
        ("b", "b!2", None, None, True, 1),
    }
    assert verdict(thawed) == "waiting"
    evolve(thawed, ev.DoubtSettled(at=3.0, id="b"))
    assert [a.id for a in begin(thawed, 9)] == ["b"]


def test_an_irreversible_node_is_known_to_have_started() -> None:
    play = Play(plan_of("START a", "a END"))
    play.begin()
    play.do(ev.NodeStarted(at=1.0, id="a", attempt=2))
    activation = settled(play).live["a"]
    assert (activation.started, activation.attempt, activation.status) == (True, 2, "ready")


def test_a_pending_attempt_is_due_when_it_was() -> None:
    play = Play(plan_of("START a", "a END"))
    play.begin()
    play.fail("a", retry_at=77.0, message="down")
    thawed = settled(play)
    activation = thawed.live["a"]
    assert (activation.status, activation.retry_at, activation.attempt) == ("retrying", 77.0, 2)
    assert str(activation.error) == "Boom: down"
    due(thawed, "a")
    assert [a.id for a in begin(thawed, 9)] == ["a"]


def test_a_failure_stays_one_and_a_retry_goes_on() -> None:
    play = Play(plan_of("START a b", "a c", "b c", "c END"))
    play.begin()
    play.fail("a")
    play.finish("b")
    thawed = settled(play)
    assert thawed.halt == play.run.halt
    assert verdict(thawed) == "failed"
    evolve(thawed, ev.RunEnded(at=9.0, status="failed"))
    evolve(thawed, ev.RunRetried(at=10.0))
    assert [a.id for a in begin(thawed, 9)] == ["a"]


def test_a_limit_stays_reached_and_its_counts_stay() -> None:
    play = Play(plan_of("START a", "a a END"), steps=3)
    for turn in range(3):
        play.begin()
        play.finish(f"a@{turn}", "a")
    thawed = settled(play)
    assert verdict(thawed) == "stopped"
    assert (thawed.steps, thawed.steps_allowed) == (3, 3)
    evolve(thawed, ev.RunRetried(at=9.0, steps=2))
    assert (thawed.steps_before, thawed.steps_allowed) == (3, 2)


def test_turns_go_on_being_counted() -> None:
    play = Play(plan_of("START a", "a a END", turns={"a": 4}))
    for turn in range(3):
        play.begin()
        play.finish(f"a@{turn}", "a")
    thawed = settled(play)
    begin(thawed, 9)
    evolve(thawed, ev.NodeFinished(at=9.0, id="a@3", taken=list(play.events[-1].taken)))  # type: ignore[union-attr]
    assert verdict(thawed) == "stopped"


def test_the_queue_of_an_each_and_its_nested_ones_stay_as_they_are() -> None:
    plan = plan_of(
        "START s",
        "s t",
        "c END",
        "b c",
        "w x",
        "x b",
        eaches=[Each("s", "t w x b", "c", limit=2), Each("t", "w x", "b", limit=1)],
    )
    play = Play(plan)
    play.begin()
    play.finish("s", ("t", 3))
    begun = play.begin()
    assert len(begun) == 2  # of three instances two run
    play.finish("t#0", ("w", 2))
    play.begin()
    thawed = settled(play)
    # It goes on in the same way to the end, whatever the order.
    for run in (thawed, play.run):
        for _ in range(60):
            begin(run, 99)
            running = sorted(a.id for a in run.live.values() if a.status == "running")
            if not running:
                break
            one = run.live[running[-1]]
            out = plan.topology.out[one.vertex]
            fan = [e for e in out if plan.edges[e].kind == "each"]
            taken = [ev.Taken(fan[0], 2)] if fan else [ev.Taken(e) for e in out if plan.edges[e].kind == "always"]
            evolve(run, ev.NodeFinished(at=float(run.seq), id=one.id, taken=taken))
        assert run.result is not None
    assert thawed.seq == play.run.seq


def test_items_that_a_function_made_come_from_their_row() -> None:
    plan = plan_of("START s", "w c", "c END", eaches=[Each("s", "w", "c")])
    play = Play(plan)
    play.begin()
    edge = next(i for i, e in enumerate(plan.edges) if e.kind == "each")
    play.do(ev.NodeFinished(at=1.0, id="s", taken=[ev.Taken(edge, 2)], items={edge: ["x", "y"]}))
    body = freeze(play.run)
    assert "x" not in json.dumps(json.loads(body)["fans"])
    assert 1 in needed(body)
    fan, index = settled(play).live["w#1"].fans[-1]
    assert (fan.items, index, fan.made) == (["x", "y"], 1, True)


def test_a_race_that_has_fired_still_absorbs_its_losers() -> None:
    plan = plan_of("START a b c", "a j", "b j", "c j", "j END", joins={"j": JoinRule(kind="first")})
    play = Play(plan)
    play.begin()
    play.finish("b")
    assert play.live == ["a", "c", "j"]
    thawed = settled(play)
    for run in (play.run, thawed):
        begin(run, 9)
        for identity in ("a", "c"):
            edge = next(iter(plan.topology.out[run.live[identity].vertex]))
            evolve(run, ev.NodeFinished(at=9.0, id=identity, taken=[ev.Taken(edge)], writes={"notes": [identity]}))
        assert sorted(run.live) == ["j"]
    assert digest(thawed) == digest(play.run)


def test_branches_in_conflict_stay_so() -> None:
    plan = plan_of("START a b", "a j", "b j", "j END", writes={"a": "draft", "b": "draft"})
    play = Play(plan)
    play.begin()
    play.finish("a", draft="x")
    play.finish("b", draft="y")
    assert verdict(play.run) == "failed"
    thawed = settled(play)
    assert str(thawed.live["j"].error) == str(play.run.live["j"].error)


def test_a_cancelled_run_keeps_its_state() -> None:
    play = Play(plan_of("START a b", "a c", "b c", "c END", writes={"a": "title"}))
    play.begin()
    play.finish("a", title="t")
    play.do(ev.RunCancelled(at=5.0))
    thawed = through(play.plan, play.run, play.events)
    assert thawed.status == "cancelled"
    assert thawed.result is not None
    assert thawed.result.seen()["title"].value == "t"  # type: ignore[union-attr]


# -- size --------------------------------------------------------------------------------------------------


def looped(turns: int, payload: int) -> Play:
    """A loop that appends a document and overwrites a field in each turn."""
    play = Play(plan_of("START a", "a a END", writes={"a": "title"}))
    for turn in range(turns):
        play.begin()
        play.finish(f"a@{turn}", "a", title="t" * payload, log=["x" * payload])
    return play


def test_values_are_named_by_their_rows_and_not_held() -> None:
    short, long = freeze(looped(300, 1).run), freeze(looped(300, 10_000).run)
    assert len(long) == len(short) < 1500


def test_a_snapshot_of_a_long_loop_is_not_larger_than_that_of_a_short_one() -> None:
    sizes = [len(freeze(looped(turns, 10).run)) for turns in (50, 500, 5000)]
    assert max(sizes) - min(sizes) < 40  # a few digits


def test_only_the_rows_that_a_value_still_comes_from_are_asked_for() -> None:
    play = looped(300, 10)
    rows = needed(freeze(play.run))
    assert rows == list(range(301))  # every turn added to the log
    play = Play(plan_of("START a", "a a END", writes={"a": "title"}))
    for turn in range(300):
        play.begin()
        play.finish(f"a@{turn}", "a", title=str(turn))
    assert needed(freeze(play.run)) == [0, 300]  # the input, and the last one that wrote the title


def test_many_that_wait_take_room_for_themselves_only() -> None:
    plan = plan_of("START s", "w c", "c END", eaches=[Each("s", "w", "c")])
    play = Play(plan, values={"log": ["x" * 100_000], "notes": [], "total": 0, "newest": "", "mix": 1, "title": ""})
    play.begin()
    play.finish("s", ("w", 1000))
    assert len(freeze(play.run)) < 200 * 1000


@given(st.lists(st.integers(0, 10_000), unique=True).map(sorted))
def test_row_numbers_are_packed_without_loss(seqs: list[int]) -> None:
    assert _unpack(_pack(seqs)) == seqs


def test_rows_at_a_steady_pace_take_no_room() -> None:
    assert len(_pack(range(7, 100_000, 5))) <= 4


# -- what cannot be ----------------------------------------------------------------------------------------


def test_a_snapshot_that_names_a_row_without_a_value_is_our_bug() -> None:
    play = looped(3, 1)
    body = freeze(play.run)
    rows = {seq: play.events[seq] for seq in needed(body)}
    rows[3] = ev.RunResumed(at=1.0)
    with pytest.raises(EngineBug, match="log row 3 wrote nothing"):
        thaw(play.plan, body, rows)


def test_a_snapshot_is_plain_json_and_the_same_each_time() -> None:
    play = looped(5, 3)
    body = freeze(play.run)
    assert json.loads(body)["seq"] == len(play.events)
    assert freeze(play.run) == body
    assert json.loads(freeze(through(play.plan, play.run, play.events))) == json.loads(body)
