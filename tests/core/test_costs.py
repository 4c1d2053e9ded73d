"""What an event costs depends neither on how long the run is nor on how wide: counted, not timed.

Counted are the bytecode instructions of the core that run (a comprehension counts each of its turns); and where
something could be copied by one instruction, the bytes that are allocated.
"""

from __future__ import annotations

import statistics
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

import orchestra_graph.core as core
from orchestra_graph.core.events import JoinAsked
from orchestra_graph.core.marking import Marking, Watcher
from orchestra_graph.core.snapshot import freeze
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import JoinRule, first, until
from tests.core.play import Each, Most, Nested, Play, plan_of

CORE = core.__path__[0]


class Count:
    """How many instructions of the core have run."""

    instructions = 0


@contextmanager
def counted() -> Iterator[Count]:
    """Count the instructions of the core that run.

    Python 3.12 asks whether instructions are wanted when tracing begins, and 3.13 counts those of a function from its
    second call on: so what is compared is done once before.
    """
    count = Count()
    sys._getframe().f_trace_opcodes = True

    def inside(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode":
            count.instructions += 1
        return inside

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(CORE):
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return inside

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


# -- the length of a run -------------------------------------------------------------------------------

Turn = Callable[[Play, int], None]


def _one_node(play: Play, turn: int) -> None:
    play.finish(f"a@{turn}", "a", log=[turn], title=f"{turn}")


def _fork_and_join(play: Play, turn: int) -> None:
    play.finish(f"f@{turn}", total=1)
    play.finish(f"a@{turn}", log=["a"])
    play.finish(f"b@{turn}", log=["b"])
    play.finish(f"c@{turn}", notes=["c"])
    play.finish(f"j@{turn}", "f", title=f"{turn}")


def _tools(play: Play, turn: int) -> None:
    play.finish(f"llm@{turn}", ("tool", 3), log=["calls"])
    for index in (2, 0, 1):
        play.finish(f"tool@{turn}#{index}", log=[index])


def _race(play: Play, turn: int) -> None:
    play.finish(f"f@{turn}")
    play.finish(f"a@{turn}", total=1)
    play.finish(f"j@{turn}", "f", total=1)


def _race_of_nodes(play: Play, turn: int) -> None:
    play.finish(f"f@{turn}")
    play.finish(f"{'ab'[turn % 2]}@{turn}", total=1)
    play.finish(f"j@{turn}", "f", total=1)


def _race_with_losses(play: Play, turn: int) -> None:
    play.finish(f"f@{turn}")
    play.finish(f"b@{turn}", title=f"{turn}", total=1)
    play.finish(f"a@{turn}", total=1)
    play.finish(f"j@{turn}", "f")


def _until(play: Play, turn: int) -> None:
    play.finish(f"f@{turn}")
    for name, answer in (("a", False), ("b", True)):
        play.finish(f"{name}@{turn}", total=1)
        play.do(JoinAsked(at=play.now, id=f"j@{turn}", seen=1, fire=answer))
    play.finish(f"j@{turn}", "f")


def _failures(play: Play, turn: int) -> None:
    play.finish(f"f@{turn}")
    play.fail(f"a@{turn}")
    play.finish(f"b@{turn}", total=1)
    play.finish(f"j@{turn}", "f")


def _error_edge(play: Play, turn: int) -> None:
    play.fail(f"a@{turn}", "b")
    play.finish(f"b@{turn}", "a", total=1)


def _call(play: Play, turn: int) -> None:
    play.finish(f"c@{turn}", **{"c/log": ["in"], "c/draft": "x"})
    play.finish(f"a@{turn}", log=["a"], **{"c/log": ["a"]})
    play.finish(f"b@{turn}", **{"c/log": ["b"]})
    play.finish(f"c/END@{turn}", "c", title=f"{turn}")


def _limited(play: Play, turn: int) -> None:
    play.finish(f"f@{turn}")
    play.finish(f"a@{turn}.0", "a", total=1)
    play.finish(f"a@{turn}.1", "a", total=1)
    play.finish(f"late@{turn}~2", "f")


def _side_by_side(play: Play, turn: int) -> None:
    play.finish(f"g@{turn}", log=["g"])
    play.finish(f"w~{turn}", log=["w"])


FORK = ("f a b", "a j", "b c", "c j", "j f END")
LOOPS: dict[str, tuple[Plan, Turn]] = {
    "one node": (plan_of("START a", "a a END"), _one_node),
    "fork and join": (plan_of("START f", *FORK), _fork_and_join),
    "fork and join beside a branch that waits": (plan_of("START f s", *FORK, "s END"), _fork_and_join),
    "an agent and its tools": (
        plan_of("START llm", "llm END", "tool llm", eaches=[Each("llm", "tool", "llm")]),
        _tools,
    ),
    "a race in every turn": (
        plan_of("START f", "f a b", "a j", "b j", "j f END", joins={"j": JoinRule(kind="first", cancel_rest=True)}),
        _race,
    ),
    "a race of nodes in every turn": (
        plan_of("START f", "f a b", "a j", "b j", "j f END", races=["a b"]),
        _race_of_nodes,
    ),
    "a race of nodes beside a branch that waits": (
        plan_of("START f s", "f a b", "a j", "b j", "j f END", "s END", races=["a b"]),
        _race_of_nodes,
    ),
    "a race whose losers gave to reducers": (
        plan_of("START f", "f a b", "b c", "c j", "a j", "j f END", races=["a c"], writes={"b": "title"}),
        _race_with_losses,
    ),
    "a predicate that is asked in every turn": (
        plan_of("START f", "f a b c", "a j", "b j", "c j", "j f END", joins={"j": until("log", cancel_rest=True)}),
        _until,
    ),
    "a failure that is excused in every turn": (
        plan_of("START f", "f a b", "a j", "b j", "j f END", joins={"j": first(1)}),
        _failures,
    ),
    "a failure that goes over an edge in every turn": (
        plan_of("START a", "a END", "b a", errors=["a b"]),
        _error_edge,
    ),
    "a graph in every turn": (
        plan_of("START c", "c a b", "a c/END", "b c/END", "c/END c END", calls=[Nested("c", "a b")]),
        _call,
    ),
    "a limit that is reached in every turn": (
        plan_of("START f", "f a", "a a j", "late f j", "j END", limits=[Most("a", "steps", 2, "late")]),
        _limited,
    ),
    "turns that leave work behind": (
        plan_of("START g", "g g w", "w j", "j END", joins={"j": JoinRule()}),
        _side_by_side,
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_the_two_thousandth_turn_costs_as_much_as_the_two_hundredth(name: str) -> None:
    plan, turn = LOOPS[name]
    play = Play(plan)
    costs = {}
    for number in range(2_000):
        if not (180 <= number < 200 or number >= 1_980):
            turn(play, number)
            continue
        with counted() as count:
            turn(play, number)
        costs[number] = count.instructions
    early = statistics.mean(c for n, c in costs.items() if 182 <= n < 200)
    late = statistics.mean(c for n, c in costs.items() if n >= 1_980)
    assert early > 100, "nothing was counted"
    assert late <= early * 1.05, f"{early} instructions a turn, later {late}"


LOSING = [
    "a race in every turn",
    "a race of nodes in every turn",
    "a predicate that is asked in every turn",
    "a failure that is excused in every turn",
    "a failure that goes over an edge in every turn",
    "a limit that is reached in every turn",
]


@pytest.mark.parametrize("name", LOSING)
def test_what_was_withdrawn_is_not_remembered_for_ever(name: str) -> None:
    """Only what it gave to reducers must be kept for the end."""
    plan, turn = LOOPS[name]
    play = Play(plan)
    sizes = {}
    for number in range(1_001):
        if number in (500, 1_000):
            sizes[number] = (len(play.run.lost), len(play.run.waves), len(freeze(play.run)))
        turn(play, number)
    assert sizes[1_000][:2] == sizes[500][:2]
    assert sizes[1_000][2] - sizes[500][2] < 60, "a few digits"


@pytest.mark.parametrize("name", ["one node", "fork and join", "fork and join beside a branch that waits"])
def test_a_turn_copies_nothing_that_grows(name: str) -> None:
    """A list of 4,000 elements is 32 KB of pointers: no event may copy that."""
    plan, turn = LOOPS[name]
    play = Play(plan)
    for number in range(2_000):
        turn(play, number)
    peaks = []
    tracemalloc.start()
    try:
        for number in range(2_000, 2_020):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            turn(play, number)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert statistics.median(peaks) < 12_000, peaks


@pytest.mark.parametrize(
    "name", ["fork and join", "fork and join beside a branch that waits", "turns that leave work behind"]
)
def test_readers_of_a_growing_list_leave_no_copies_behind(name: str) -> None:
    """Beside a branch that waits every turn's list was once kept as a copy of its own: 100 MB after 2,000 turns."""
    plan, turn = LOOPS[name]
    play = Play(plan)
    held = {}
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(801):
            if number in (400, 800):
                held[number] = tracemalloc.get_traced_memory()[0] - before
            turn(play, number)
            for identity in play.run.live:
                play.seen(identity)
    finally:
        tracemalloc.stop()
    assert held[800] < 2.3 * held[400], held


# -- the width of a run --------------------------------------------------------------------------------


def _calls(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[int]:
    """Counts the calls of a method."""
    calls = [0]
    method = getattr(owner, name)

    def counting(*args: Any) -> Any:
        calls[0] += 1
        return method(*args)

    monkeypatch.setattr(owner, name, counting)
    return calls


def _wide(plan: Plan, width: int, *nodes: str) -> Play:
    """Run an `each` of *width* up to its collector, its instances one by one: *nodes*, and where they go on to."""
    play = Play(plan)
    play.finish("m", ("t", width))
    for index in range(width):
        for node in nodes:
            play.begin(1)
            identity, *to = node.format(index).split()
            play.finish(identity, *to, log=[index])
    return play


BODIES: dict[str, tuple[Plan, tuple[str, ...]]] = {
    "one node": (
        plan_of("START m", "t j", "j END", eaches=[Each("m", "t", "j", empty="j")]),
        ("t#{}",),
    ),
    "one node, few at once": (
        plan_of("START m", "t j", "j END", eaches=[Each("m", "t", "j", empty="j", limit=8)]),
        ("t#{}",),
    ),
    "a fork and a join": (
        plan_of("START m", "t u v", "u x", "v x", "x j", "j END", eaches=[Each("m", "t u v x", "j", empty="j")]),
        ("t#{}", "u#{}", "v#{}", "x#{}"),
    ),
    "a loop": (
        plan_of("START m", "t x", "x t j", "j END", eaches=[Each("m", "t x", "j", empty="j", limit=8)]),
        ("t#{}@0", "x#{}@0 t", "t#{}@1", "x#{}@1 j"),
    ),
    "a race for many": (
        plan_of(
            "START m",
            "t j",
            "j END",
            eaches=[Each("m", "t", "j", empty="j")],
            joins={"j": JoinRule(kind="first", count=10**6, short="fire")},
        ),
        ("t#{}",),
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_ten_times_the_items_cost_ten_times_as_much(name: str) -> None:
    plan, nodes = BODIES[name]
    costs = {}
    for width in (10, 40, 400):
        with counted() as count:
            _wide(plan, width, *nodes)
        costs[width] = count.instructions
    assert costs[400] <= 10.5 * costs[40], costs


def test_ten_thousand_items_ask_their_join_once_and_their_joins_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, nodes = BODIES["a fork and a join"]
    asked = _calls(monkeypatch, Marking, "blocked")
    play = _wide(plan, 10_000, *nodes)
    play.finish("j")
    assert play.status == "done"
    assert play.run.steps == 40_002
    assert asked[0] <= 2.1 * 10_000, "once when a token came, once when nothing blocked it any more"


INSIDE: dict[str, tuple[Plan, tuple[str, ...], str]] = {
    "a join that withdraws the rest": (
        plan_of(
            "START m", "t u v", "u w", "w x", "v x", "x j", "j END",
            joins={"x": first(1, cancel_rest=True)}, eaches=[Each("m", "t u v w x", "j", empty="j")],
        ),
        ("t#{}",),
        "v#{}",
    ),
    "a race": (
        plan_of(
            "START m", "t u v", "u x", "v x", "x j", "j END",
            races=["u v"], eaches=[Each("m", "t u v x", "j", empty="j")],
        ),
        ("t#{}",),
        "v#{}",
    ),
    "the end of a graph": (
        plan_of(
            "START m", "t a b", "a t/END", "b t/END", "t/END j", "j END",
            ends={"b": "done"}, calls=[Nested("t", "a b")], eaches=[Each("m", "t a b t/END", "j", empty="j")],
        ),
        ("t#{}",),
        "b#{}",
    ),
    "a limit": (
        plan_of(
            "START m", "t u v", "u x", "v x", "x t j", "late j", "j END",
            limits=[Most("t", "steps", 2, "late")], eaches=[Each("m", "t u v x late", "j", empty="j")],
        ),
        ("t#{}@0",),
        "v#{}@0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INSIDE)
def test_withdrawing_in_one_of_many_instances_looks_at_no_other(name: str) -> None:
    plan, nodes, last = INSIDE[name]
    costs = {}
    for width in (20, 2_000):
        play = Play(plan)
        play.finish("m", ("t", width))
        for index in range(width):
            for node in nodes:
                play.finish(node.format(index))
        play.finish(last.format(3))  # once before it is counted
        live = len(play.run.live)
        with counted() as count:
            play.finish(last.format(7))
        assert len(play.run.live) < live
        costs[width] = count.instructions
    assert costs[2_000] <= 1.05 * costs[20], costs


def test_a_wide_marking_answers_without_looking_at_its_items() -> None:
    plan, _ = BODIES["a fork and a join"]
    play = Play(plan)
    play.finish("m", ("t", 10_000))
    with counted() as count:
        assert play.run.marking.blocked(Watcher(plan.by_name["j"].index, ()))
    assert count.instructions < 200
