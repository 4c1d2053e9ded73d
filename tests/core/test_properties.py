"""Random graphs under random completion orders: the order never decides, nothing hangs, and the log is the state."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestra_graph.graph.topology import Topology
from tests.core.claims import check_order, check_race
from tests.core.graphs import random_case
from tests.core.oracle import TooLong, regions_of, sequential

pytestmark = pytest.mark.properties

GRAPHS, RACES, CHUNK = 3_600, 375, 75

tally: Counter[str] = Counter()
"""What was checked, for the summary at the end."""


def _chunks(total: int) -> list[range]:
    return [range(first, min(first + CHUNK, total)) for first in range(0, total, CHUNK)]


def _id(seeds: range) -> str:
    return f"seeds {seeds.start} to {seeds.stop - 1}"


def _kinds(topology: Topology) -> set[str]:
    """What is special about a graph."""
    regions, pairs = topology.regions, topology.edges
    inside = {(r.kind, regions[r.parent].kind) for r in regions if r.parent is not None}
    found = {rule.kind for v, rule in enumerate(topology.rule) if len(topology.into[v]) > 1}
    special = {
        "a loop": any(r.kind == "loop" for r in regions),
        "a loop in a loop": ("loop", "loop") in inside,
        "a loop with several entries": any(len(r.entries) > 1 for r in regions),
        "an each": bool(topology.scopes),
        "an each in an each": any(a.members < b.members for a in topology.scopes for b in topology.scopes),
        "a loop in an each": ("loop", "scope") in inside,
        "an each in a loop": ("scope", "loop") in inside,
        "edges side by side": len(set(pairs)) < len(pairs),
        "several starts": len(topology.out[0]) > 1,
    }
    return {*found, *(name for name, is_so in special.items() if is_so)}


def test_the_graphs_are_of_every_kind() -> None:
    """One that was never drawn would be a claim that was never tried."""
    counts = Counter(kind for seed in range(300) for kind in _kinds(random_case(seed).plan.topology))
    counts.update(kind for seed in range(100) for kind in _kinds(random_case(seed, races=True).plan.topology))
    print(dict(counts))
    assert {kind: count for kind, count in counts.items() if count < 10} == {}
    assert len(counts) == 15


@pytest.mark.parametrize("seeds", _chunks(GRAPHS), ids=_id)
def test_every_completion_order_gives_the_run_of_the_sequential_oracle(seeds: range) -> None:
    for seed in seeds:
        case = random_case(seed)
        regions = regions_of(case)
        try:
            expected = sequential(case, regions)
        except TooLong:
            tally["graphs left out: too long"] += 1
            continue
        tally.update(check_order(case, seed, expected=expected, regions=regions))


@pytest.mark.parametrize("seeds", _chunks(RACES), ids=_id)
def test_a_race_goes_as_its_log_says_and_never_hangs(seeds: range) -> None:
    for seed in seeds:
        case = random_case(seed, races=True)
        if any(rule.races for rule in case.plan.topology.rule):
            tally.update(check_race(case, seed))


@pytest.mark.parametrize(
    ("seed", "races"),
    [
        (15, False),  # two turns sent items out of their loop, and the items of both met in one instance
        (28, False),  # the body of an `each` began at a join, and its limit was not kept
        (33, False),  # the same
        (17, True),  # a snapshot of a run that had ended gave its losers a claim to plain fields
    ],
)
def test_a_graph_that_once_went_wrong_goes_right(seed: int, races: bool) -> None:
    case = random_case(seed, races=races)
    if races:
        check_race(case, seed)
    else:
        check_order(case, seed)


def test_what_was_checked() -> None:
    """No claim: shows the figures of this test run (`pytest -rP`)."""
    for what, count in sorted(tally.items()):
        print(f"{count:>9,} {what}")
