"""Random graphs under random completion orders: the order never decides, nothing hangs, and the log is the state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.core.claims import check_order, check_race, tally
from tests.core.graphs import Case, random_case
from tests.core.oracle import TooLong, regions_of, sequential

CHUNK = 75
GRAPHS = 3_300
RACES = 600

pytestmark = pytest.mark.properties


def _chunks(total: int) -> list[range]:
    return [range(first, min(first + CHUNK, total)) for first in range(0, total, CHUNK)]


def _id(seeds: range) -> str:
    return f"seeds {seeds.start} to {seeds.stop - 1}"


def _cases(seeds: range, *, races: bool = False) -> Iterator[tuple[int, Case]]:
    """One case a seed; a graph whose run would be very long gives way to another one."""
    for seed in seeds:
        yield seed, random_case(seed, races=races)


@pytest.mark.parametrize("seeds", _chunks(GRAPHS), ids=_id)
def test_every_completion_order_gives_the_run_of_the_sequential_oracle(seeds: range) -> None:
    for seed, case in _cases(seeds):
        regions = regions_of(case)
        try:
            expected = sequential(case, regions)
        except TooLong:
            tally["too long"] += 1
            continue
        check_order(case, seed, expected=expected, regions=regions)
