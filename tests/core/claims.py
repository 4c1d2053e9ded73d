"""What must hold of every run of every graph: asked of thousands of random graphs, and of engines with a fault."""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from collections.abc import Sequence

from orchestra_graph.core.events import Event, NodeFinished, RunStarted
from orchestra_graph.core.revisions import Grown
from orchestra_graph.core.run import RunState
from orchestra_graph.core.snapshot import freeze, needed, thaw
from tests.core.graphs import Case
from tests.core.oracle import Outcome, Regions, regions_of, sequential
from tests.core.simulate import ORDERS, Endless, Fate, Trace, Watch, digest, fold, replay, simulate

__all__ = ["check_order", "check_race", "check_timed"]


def check_order(
    case: Case, seed: int, *, expected: Outcome | None = None, regions: Regions | None = None
) -> Counter[str]:
    """Without races: every completion order comes to what the sequential oracle says.

    One order is looked at after every event, one is replayed and one is resumed from a snapshot in the middle; in one
    some attempts fail and are tried again, in one only few nodes may run at once.

    Returns:
        What was checked, for a summary.
    """
    tally: Counter[str] = Counter()
    regions = regions or regions_of(case)
    expected = expected or sequential(case, regions)
    topology = case.plan.topology
    assert list(topology.chain) == [regions.around[v] for v in range(topology.size)], "the regions nest otherwise"
    for number, (name, make) in enumerate(ORDERS.items()):
        order = make(case, seed)
        try:
            trace = simulate(
                case,
                order,
                room=1 + seed % 3 if number == 1 else 1_000_000,
                watch=Watch(case) if number == 2 else None,
                keep=_some(seed, len(expected.order), {3: 3, 4: 1}.get(number, 0)),
                fails=_unlucky if number == 5 else _never,
                most=4 * len(expected.order) + 1,
            )
            _same(trace, expected)
            if number == 3:
                tally["replayed prefixes"] += _check_replay(case, trace)
            elif number == 4:
                tally["snapshots"] += _check_snapshot(case, trace)
        except BaseException as error:
            error.add_note(f"graph: {case.name}; order: {name}")
            raise
        tally["runs"] += 1
        tally["activations"] += len(trace.seen)
        tally.update(trace.tally)
    tally["graphs"] += 1
    tally["of these ended well"] += expected.clean
    return tally


def check_race(case: Case, seed: int, *, most: int = 150) -> Counter[str]:
    """With races: no deadlock, and after each event the state is what the plain interpreter has, late results or not.

    Args:
        case: The graph.
        seed: Of the orders.
        most: A run that a race has let grow beyond this is left out.

    Returns:
        What was checked, for a summary.
    """
    tally: Counter[str] = Counter()
    for number, (name, make) in enumerate(ORDERS.items()):
        watch = Watch(case, follow=True)
        try:
            trace = simulate(
                case,
                make(case, seed),
                room=2 if number == 1 else 1_000_000,
                watch=watch,
                keep=_some(seed, 12, 2 if number in (3, 4) else 0),
                late=number % 2 == 0,
                most=most,
            )
            _like_the_model(trace, watch)
            if number in (3, 4):
                tally["replayed prefixes"] += _check_replay(case, trace)
                tally["snapshots"] += _check_snapshot(case, trace)
        except Endless:
            continue
        except BaseException as error:
            error.add_note(f"graph: {case.name}; order: {name}")
            raise
        tally["runs with races"] += 1
        tally["withdrawn activations"] += len(trace.withdrawn)
        tally["runs with losers"] += bool(trace.run.lost)
    tally["graphs with races"] += 1
    return tally


def check_timed(case: Case, seed: int, *, most: int = 160, orders: int = 3) -> Counter[str]:
    """With everything that depends on time: the run goes as its log says, whatever happens to it on the way.

    After each event the state is what `Follow` finds from the log alone; the same log gives the same run, also from a
    snapshot in the middle.

    Args:
        case: The graph.
        seed: Of the orders, and of what happens.
        most: A run with more events is left out.
        orders: How many completion orders are tried.

    Returns:
        What was checked, for a summary.
    """
    tally: Counter[str] = Counter()
    names = random.Random(seed).sample(list(ORDERS), orders)
    for number, name in enumerate(names):
        watch = Watch(case, follow=True)
        try:
            trace = simulate(
                case,
                ORDERS[name](case, seed),
                room=1 + seed % 3 if number == 1 else 1_000_000,
                watch=watch,
                keep=_some(seed, 12, 2),
                fails=_unlucky if seed % 7 == 0 else _never,
                late=seed % 2 == 0,
                fate=Fate(case, seed * 10 + number, restarts=3, cancels=0.1),
                most=most,
            )
            _as_followed(trace, watch)
            tally["replayed prefixes"] += _check_replay(case, trace)
            tally["snapshots"] += _check_snapshot(case, trace)
        except Endless:
            tally["timed runs left out: too long"] += 1
            continue
        except BaseException as error:
            error.add_note(f"graph: {case.name}; order: {name}")
            raise
        tally["timed runs"] += 1
        tally["timed activations"] += len(trace.seen)
        tally["withdrawn activations"] += len(trace.withdrawn)
        tally[f"timed runs that ended {trace.status}"] += 1
        tally.update(watch.tally)
        tally.update({f"timed {what}": count for what, count in trace.tally.items()})
    tally["timed graphs"] += 1
    return tally


def _as_followed(trace: Trace, watch: Watch) -> None:
    model = watch.model
    assert model is not None
    own = trace.run.plan.own
    final = None if trace.final is None else {name: v for name, v in trace.final.items() if name in own}
    assert final == model.outcome.final
    assert set(trace.withdrawn) <= model.withdrawn
    assert len(set(trace.done)) == len(trace.done), "an activation ran twice"
    if trace.status in ("done", "cancelled"):
        assert not trace.run.live
        assert not trace.run.waves, "something is left over"
    if trace.status == "done":
        assert trace.run.marking.root.total == 0
        assert model.stop is None
        _rows_make_the_value(trace)


def _never(identity: str, attempt: int) -> bool:
    return False


def _unlucky(identity: str, attempt: int) -> bool:
    """Whether this attempt fails; by the id alone."""
    return attempt <= zlib.crc32(identity.encode()) % 3


def _some(seed: int, length: int, count: int) -> list[int]:
    """A few places in a log."""
    return random.Random(seed).sample(range(1, length + 2), min(count, length + 1))


# -- what came of it -----------------------------------------------------------------------------------


def _same(trace: Trace, expected: Outcome) -> None:
    run = trace.run
    done = trace.done
    assert len(set(done)) == len(done), "an activation ran twice"
    passages = {run.name(v) for call in run.plan.calls for v in (call.enter, call.leave)}
    finished = [e.id for e in trace.events if isinstance(e, NodeFinished)]
    assert run.steps == sum(re.split("[@#~(]", identity)[0] not in passages for identity in finished)
    if not expected.clean:
        _failed_as_expected(trace, expected)
        return
    assert trace.status == "done", run.halt
    assert sorted(done) == sorted(expected.order)
    assert trace.seen == expected.seen
    assert trace.final == expected.final
    assert not run.live
    assert not run.waves, "something is left over"
    assert run.marking.root.total == 0
    _rows_make_the_value(trace)


def _failed_as_expected(trace: Trace, expected: Outcome) -> None:
    """What fails first depends on the order; that it fails, where and why does not."""
    halt = trace.run.halt
    assert trace.status == "failed"
    assert halt is not None
    assert halt.final
    for identity, error in halt.errors:
        messages = {" and ".join(writers) for writers in expected.clashes.get(identity, ())}
        assert error.type == "MergeConflict"
        assert any(m in error.message for m in messages), (error.message, messages)
    if not halt.errors:
        assert any(halt.reason.startswith(f"{wave}: ") for wave in expected.starved)
    for identity, seen in trace.seen.items():
        assert seen == expected.seen.get(identity)


def _like_the_model(trace: Trace, watch: Watch) -> None:
    assert watch.model is not None
    outcome = watch.model.outcome
    assert trace.seen.items() <= outcome.seen.items()
    assert len(set(trace.done)) == len(trace.done)
    if trace.status == "done":
        assert trace.final == outcome.final
        assert trace.run.marking.root.total == 0
        assert not trace.run.waves
    else:
        assert trace.status == "failed"
        assert not outcome.clean
    assert set(trace.withdrawn) <= watch.model.withdrawn


def _rows_make_the_value(trace: Trace) -> None:
    """The rows that a grown field names hold its elements."""
    assert trace.run.result is not None
    for name, cell in trace.run.result.seen().items():
        if isinstance(cell, Grown):
            parts = [_row(trace.events[seq], name) for seq in cell.seqs]
            assert cell.value == [element for part in parts for element in part]


def _row(event: Event, name: str) -> list[object]:
    assert isinstance(event, RunStarted | NodeFinished)
    values = event.values if isinstance(event, RunStarted) else event.writes
    return list(values[name])


# -- again ---------------------------------------------------------------------------------------------


def _check_replay(case: Case, trace: Trace) -> int:
    """The events, folded again from nothing, give the live state at every point."""
    run = case.new_run()
    for count, event in enumerate(trace.events, 1):
        fold(run, event)
        if count in trace.digests:
            assert digest(run) == trace.digests[count], f"another state after event {count}"
    assert digest(run) == digest(trace.run)
    return len(trace.digests)


def _check_snapshot(case: Case, trace: Trace) -> int:
    """A run goes on from a snapshot as if it had never been interrupted."""
    for count, wanted in trace.digests.items():
        before = replay(case, trace.events[:count])
        thawed = _through_a_snapshot(case, before, trace.events)
        _same_digest(digest(thawed), wanted)
        for event in trace.events[count:]:
            fold(thawed, event)
            fold(before, event)
        _same_digest(digest(thawed), digest(trace.run))
        _same_digest(digest(before), digest(trace.run))
    _same_digest(digest(_through_a_snapshot(case, trace.run, trace.events)), digest(trace.run))
    return len(trace.digests)


def _through_a_snapshot(case: Case, run: RunState, events: Sequence[Event]) -> RunState:
    body = freeze(run)
    return thaw(case.plan, body, {seq: events[seq] for seq in needed(body)})


def _same_digest(one: dict[str, object], other: dict[str, object]) -> None:
    """Of a run that has come to its end, what was lost on the way need not be kept."""
    if one["end"] == other["end"] and not one["live"] and not other["live"]:
        one, other = ({**state, "lost": None, "frames": None, "counts": None} for state in (one, other))
    assert one == other
