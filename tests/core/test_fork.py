"""Forks: the log of a run up to a step, an update that all that is live sees, and whatever comes of it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orchestra_graph.core import events as ev
from orchestra_graph.core.decide import begin, verdict
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.revisions import Conflict
from orchestra_graph.core.run import RunState
from orchestra_graph.graph.policies import JoinRule
from tests.core.graphs import Case, random_case, rich_case
from tests.core.oracle import Seen, TooLong, sequential
from tests.core.play import Each, Most, Play, plan_of
from tests.core.simulate import ORDERS, Endless, Order, digest, seen_by, simulate
from tests.core.test_snapshot import at_its_end, through

UPDATES: Sequence[Mapping[str, Any]] = (
    {"log": ["u"]},
    {"title": "new"},
    {"total": 1000, "mix": 7},
    {"draft": "given", "newest": "given"},
    {"log": [], "notes": ["u", "v"], "total": 0, "newest": "", "mix": 2, "draft": "d", "title": "t"},
)
REDUCED = ("log", "notes", "total", "newest", "mix")


def forked(at: float, step: int, values: Mapping[str, Any], case: Case | None = None) -> ev.RunForked:
    limits: dict[str, Any] = {} if case is None else dict(case.limits)
    return ev.RunForked(at=at, origin="one", step=step, values=values, **limits)


def prefix(case: Case, events: Sequence[ev.Event], step: int) -> RunState:
    run = case.new_run()
    for event in events[: step + 1]:
        evolve(run, event)
    return run


class Onward:
    """A fork in the making, until it ends; each event is written down, and folded in a run that lives by snapshots."""

    def __init__(self, case: Case, run: RunState, events: Sequence[ev.Event], order: Order, *, frozen: bool):
        self.case, self.run, self.order = case, run, order
        self.events = list(events)
        self.frozen: RunState | None = through(case.plan, run, self.events) if frozen else None
        self.later: list[tuple[Any, ev.NodeFinished]] = []

    def happen(self, event: ev.Event) -> None:
        evolve(self.run, event)
        self.events.append(event)
        if self.frozen is not None:
            evolve(self.frozen, event)
            self.frozen = through(self.case.plan, self.frozen, self.events)
            assert at_its_end(digest(self.frozen)) == at_its_end(digest(self.run))

    def fork(self, values: Mapping[str, Any]) -> None:
        self.happen(forked(1000.0, len(self.events) - 1, values, self.case))

    def drive(self) -> RunState:
        run = self.run
        begin(run, 10_000)
        while running := [a for a in run.live.values() if a.status == "running"]:
            a = running[self.order(running)]
            work = self.case.work(a.vertex, a.stamp, a.discriminator)
            place = run.plan.topology.key(a.vertex, a.stamp, a.discriminator)
            at = 1000.0 + len(self.events)
            if work.failed:
                taken = [t for t in work.taken if run.plan.edges[t.edge].kind == "error"]
                self.happen(ev.NodeFailed(at=at, id=a.id, error=ev.ErrorInfo(work.error.__name__, a.id), taken=taken))
            else:
                event = ev.NodeFinished(at=at, id=a.id, writes=work.writes, taken=work.taken, replaced=work.replaced)
                self.later.append((place, event))
                self.happen(event)
            begin(run, 10_000)
            assert len(self.events) < 400
        return run


def expected(fork: Onward, values: Mapping[str, Any], without: Seen) -> Seen:
    """What the fields should be at the end: those of the update folded by hand from what came after it."""
    made = dict(without)
    events = [event for _, event in sorted(fork.later, key=lambda later: later[0])]
    reducers = fork.run.revisions.reducers
    for name, value in values.items():
        if name not in REDUCED:
            continue
        now = list(value) if isinstance(value, list) else value
        for event in events:
            if name not in event.writes:
                continue
            operand = event.writes[name]
            if name in event.replaced:
                now = operand
            else:
                now = [*now, *operand] if reducers[name].grows else reducers[name].fold(now, operand)
        made[name] = now
    for name in ("draft", "title"):
        if name in values and not any(name in event.writes for event in events):
            made[name] = values[name]
    return {name: made[name] for name in made if name in fork.run.plan.own}


def final(run: RunState) -> Seen:
    assert run.result is not None
    return {n: v for n, v in seen_by(run.result.seen()).items() if n in run.plan.own}


def cases(seeds: range) -> list[tuple[int, Case, list[ev.Event], Seen]]:
    found = []
    for seed in seeds:
        case = random_case(seed) if seed % 2 else rich_case(seed, timed=False)
        if case.unlucky:
            case.unlucky = 0.0
        try:
            sequential(case)
            trace = simulate(case, ORDERS["any"](case, seed))
        except (TooLong, Endless):
            continue
        if trace.run.halt is None and trace.final is not None and 4 < len(trace.events) < 60:
            found.append((seed, case, trace.events, trace.final))
    return found


@pytest.mark.parametrize("seeds", [range(first, first + 20) for first in range(0, 80, 20)], ids=str)
def test_a_fork_at_any_step_with_any_update_is_folded_from_what_came_after_it(seeds: range) -> None:
    tried = 0
    for seed, case, events, ended in cases(seeds):
        own = {name: value for name, value in ended.items() if name in case.plan.own}
        chance = random.Random(seed)
        for step in sorted({0, len(events) - 1, *(chance.randrange(len(events)) for _ in range(4))}):
            values: Mapping[str, Any] = chance.choice(UPDATES)
            order = ORDERS[chance.choice(["oldest", "youngest", "late first"])](case, seed)
            fork = Onward(case, prefix(case, events, step), events[: step + 1], order, frozen=chance.random() < 0.3)
            fork.fork(values)
            run = fork.drive()
            assert verdict(run) == "done", (seed, step)
            assert final(run) == expected(fork, values, own), (seed, step, values)
            again = case.new_run()
            for event in fork.events:
                evolve(again, event)
            assert final(again) == final(run)
            tried += 1
    assert tried > 10


@pytest.mark.parametrize("seeds", [range(first, first + 20) for first in range(0, 40, 20)], ids=str)
def test_a_fork_of_a_fork_keeps_the_later_update(seeds: range) -> None:
    tried = 0
    for seed, case, events, ended in cases(seeds):
        own = {name: value for name, value in ended.items() if name in case.plan.own}
        chance = random.Random(seed)
        step = chance.randrange(len(events))
        first = Onward(case, prefix(case, events, step), events[: step + 1], ORDERS["any"](case, seed), frozen=False)
        first.fork({"log": ["first"], "total": 1, "title": "first"})
        first.drive()
        at = chance.randrange(step, len(first.events))
        second = Onward(
            case, prefix(case, first.events, at), first.events[: at + 1], ORDERS["late first"](case, 1), frozen=True
        )
        second.fork({"log": ["second"], "mix": 3})
        second.drive()
        found = final(second.run)
        later = {"log": ["second"], "mix": 3}
        by_hand = expected(second, later, own)
        assert {n: found[n] for n in later} == {n: by_hand[n] for n in later}, (seed, step, at)
        if at > step:
            assert found["total"] == final(first.run)["total"]
        tried += 1
    assert tried > 3


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_without_an_update_nothing_moves(seed: int) -> None:
    for _, case, events, _ in cases(range(seed, seed + 1)):
        for step in range(len(events)):
            run, plain = prefix(case, events, step), prefix(case, events, step)
            evolve(run, forked(events[step].at, step, {}, case))
            run.seq -= 1
            assert digest(run) == digest(plain)


# -- one case at a time ------------------------------------------------------------------------------------


def test_an_update_is_no_conflict_with_itself_and_a_later_write_beats_it() -> None:
    plan = plan_of("START a b", "a c", "b c", "c END")
    play = Play(plan)
    play.do(forked(1.0, 0, {"title": "u"}))
    play.finish("a")
    play.finish("b")
    assert play.seen("c")["title"] == "u"
    again = Play(plan)
    again.do(forked(1.0, 0, {"title": "u"}))
    again.finish("b", title="b")
    again.finish("a")
    assert again.seen("c")["title"] == "b"
    assert again.state() == again.again()


def test_two_writes_after_an_update_are_in_conflict_as_ever() -> None:
    play = Play(plan_of("START a b", "a c", "b c", "c END"))
    play.do(forked(1.0, 0, {"title": "u"}))
    play.finish("a", title="a")
    play.finish("b", title="b")
    assert play.run.live["c"].error == ev.ErrorInfo(
        "MergeConflict", "field 'title' was written by a and b side by side"
    )


def test_what_was_written_before_an_update_is_gone_though_it_comes_later_in_logical_order() -> None:
    play = Play(plan_of("START a b", "a c", "b c", "c END"))
    play.finish("b", log=["b"], notes=["b"])
    play.do(forked(2.0, 1, {"log": ["u"]}))
    play.finish("a", log=["a"], notes=["a"])
    assert play.seen("c")["log"] == ["u", "a"]
    assert play.seen("c")["notes"] == ["a", "b"]  # nothing changes for the others
    assert play.state() == play.again()


def test_branches_stay_apart() -> None:
    play = Play(plan_of("START a b", "a c", "b d", "c END", "d END"))
    play.finish("a", log=["a"], draft="of a")
    play.do(forked(2.0, 1, {"total": 5}))
    assert (play.seen("c")["log"], play.seen("b")["log"]) == (["-", "a"], ["-"])
    assert (play.seen("c")["total"], play.seen("b")["total"]) == (5, 5)
    assert "draft" not in play.seen("b")


def test_what_waits_at_a_join_and_in_a_loop_sees_it_too() -> None:
    play = Play(plan_of("START a b", "a j", "b b j", "j END"))
    play.finish("a", log=["a"])
    play.finish("b@0", "b", log=["b0"])
    play.do(forked(3.0, 2, {"log": ["u"]}))
    play.finish("b@1", "j", log=["b1"])
    assert play.seen("j")["log"] == ["u", "b1"]


def test_the_items_of_an_each_in_progress_stay_and_see_it() -> None:
    play = Play(plan_of("START m", "w c", "c END", eaches=[Each("m", "w", "c", limit=1)]))
    play.finish("m", ("w", 3), notes=["x", "y", "z"])
    play.finish("w#0", log=["w0"])
    play.do(forked(3.0, 2, {"notes": [], "log": ["u"]}))
    assert play.live == ["w#1", "w#2"]
    play.finish("w#1", log=["w1"])
    play.finish("w#2", log=["w2"])
    assert play.seen("c")["log"] == ["u", "w1", "w2"]
    assert play.seen("c")["notes"] == []


def test_what_lost_before_it_gives_nothing_to_its_fields_at_the_end() -> None:
    play = Play(plan_of("START a b", "a j", "b x", "x j", "j END", joins={"j": JoinRule(kind="first", count=1)}))
    play.finish("b", log=["b"], total=1)
    play.finish("a", log=["a"])
    play.do(forked(3.0, 2, {"log": ["u"]}))
    play.finish("j")
    play.finish("x", log=["x"])
    assert play.status == "done"
    assert (play.final["log"], play.final["total"]) == (["u", "x"], 1)


def test_what_a_join_did_without_sees_it_when_it_is_tried_again() -> None:
    rule = JoinRule(kind="first", count=2)
    play = Play(plan_of("START a b c", "a j", "b j", "c j", "j END", joins={"j": rule}))
    play.begin()
    play.fail("a")
    assert "a" not in play.live
    play.do(forked(2.0, 1, {"title": "u"}))
    play.finish("b")
    play.fail("c")
    play.do(ev.RunEnded(at=6.0, status="failed"))
    play.do(ev.RunRetried(at=7.0))
    assert (play.seen("a")["title"], play.seen("c")["title"]) == ("u", "u")


def test_a_failed_run_goes_on_with_the_update_that_mends_it() -> None:
    play = Play(plan_of("START a b", "a END", "b END"))
    play.begin()
    play.fail("a")
    play.finish("b")
    assert play.status == "failed"
    play.do(ev.RunEnded(at=4.0, status="failed"))
    play.do(forked(5.0, 4, {"title": "mended"}))
    assert (play.status, play.begin()) == ("running", ["a"])
    assert play.seen("a")["title"] == "mended"


def test_a_conflict_is_mended_by_an_update_of_that_field_only() -> None:
    choices: list[tuple[dict[str, Any], str]] = [({"title": "u"}, "ready"), ({"total": 1}, "failed")]
    for values, live in choices:
        play = Play(plan_of("START a b", "a c", "b c", "c END"))
        play.finish("a", title="a")
        play.finish("b", title="b")
        play.do(forked(5.0, 2, values))
        assert play.run.live["c"].status == live
        assert (play.run.halt is None) == (live == "ready")


def test_a_conflict_at_the_end_is_mended_likewise() -> None:
    choices: list[tuple[dict[str, Any], str]] = [({"title": "u"}, "done"), ({"total": 1}, "failed")]
    for values, status in choices:
        play = Play(plan_of("START a b", "a END", "b END"))
        play.finish("a", title="a")
        play.finish("b", title="b")
        play.do(forked(5.0, 2, values))
        assert play.status == status
        assert play.run.result is not None
        assert isinstance(play.run.result.seen()["title"], Conflict) == (status == "failed")


def test_a_graph_that_ended_as_failed_stays_so() -> None:
    play = Play(plan_of("START a", "a END", ends={"a": "failed"}))
    play.finish("a")
    play.do(forked(5.0, 1, {"title": "u"}))
    assert play.status == "failed"


def test_a_limit_has_a_new_allowance_where_it_was_reached_or_one_was_given() -> None:
    plan = plan_of("START a", "a a END")
    play = Play(plan, steps=2)
    play.finish("a@0", "a")
    kept = Play(plan, steps=2)
    kept.finish("a@0", "a")
    kept.do(ev.RunForked(at=2.0, origin="one", step=1, steps=2))
    kept.finish("a@1", "a")
    assert kept.status == "stopped"
    play.do(ev.RunForked(at=2.0, origin="one", step=1, steps=2, anew=True))
    play.finish("a@1", "a")
    assert play.status == "running"
    kept.do(ev.RunForked(at=9.0, origin="one", step=3, steps=2))
    assert kept.status == "running"


def test_the_time_between_two_runs_is_nobodys() -> None:
    play = Play(plan_of("START a", "a END", limits=[Most("a", "seconds", 5)]))
    play.do(forked(1000.0, 0, {"title": "u"}))
    assert play.run.active == 0.0


def test_a_question_is_withdrawn_when_what_it_was_made_of_has_changed() -> None:
    plan = plan_of("START a b", "a END", "b END")
    object.__setattr__(plan.nodes[1], "reads", ("title",))
    play = Play(plan)
    play.begin()
    for name in ("a", "b"):
        play.do(ev.QuestionAsked(at=1.0, id=name, question=name, to="ana"))
    play.do(forked(3.0, 2, {"title": "u"}))
    assert play.run.closed == ["a"]
    assert [a.id for a in play.run.questions] == ["b"]
    assert play.begin() == ["a"]
    assert play.run.live["a"].asked == 1  # the next one has another name


def test_steps_that_were_done_on_other_values_are_forgotten() -> None:
    plan = plan_of("START a b", "a END", "b END")
    object.__setattr__(plan.nodes[1], "reads", ("title",))
    choices: list[tuple[dict[str, Any], list[str]]] = [({"title": "u"}, ["b"]), ({"total": 1}, ["a", "b"])]
    for values, kept in choices:
        play = Play(plan)
        play.begin()
        for name in ("a", "b"):
            play.do(ev.StepDone(at=1.0, id=name, key="k", index=0, value="v"))
        play.do(forked(3.0, 2, values))
        assert [a.id for a in play.run.live.values() if a.steps] == kept


def test_an_update_at_the_end_changes_the_final_state() -> None:
    play = Play(plan_of("START a", "a END"))
    play.finish("a", log=["a"])
    play.do(ev.RunEnded(at=2.0, status="done"))
    play.do(forked(3.0, 2, {"log": ["u"], "title": "u"}))
    assert play.status == "done"
    assert (play.final["log"], play.final["title"]) == (["u"], "u")
