"""Whole values in the fold: what comes before one in logical order is gone, what comes later goes on from it."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from orchestra_graph import add, append
from orchestra_graph.core.revisions import Conflict, Delta, Folded, Grown, Revision, Revisions
from tests.core.simulate import seen_by


def revisions() -> Revisions:
    """The logical order is the order of the vertices."""
    return Revisions({"log": append, "total": add}, lambda vertex, stamp, discriminator: (vertex, stamp, discriminator))


def delta(place: int, seq: int, *, whole: bool = False, **writes: Any) -> Delta:
    return Delta(f"n{place}", place, (), (), writes, seq, tuple(writes) if whole else ())


def test_a_whole_value_sets_the_field_anew_and_the_view_before_it_stays() -> None:
    made = revisions()
    first = made.first({"log": ["a"], "total": 5}, 0).hold()
    reset = made.commit(first, delta(1, 1, whole=True, log=["x", "y"], total=0)).hold()
    grown = made.commit(reset, delta(2, 2, log=["z"], total=2)).hold()
    assert seen_by(first.seen()) == {"log": ["a"], "total": 5}
    assert seen_by(reset.seen()) == {"log": ["x", "y"], "total": 0}
    assert seen_by(grown.seen()) == {"log": ["x", "y", "z"], "total": 2}


def test_a_field_that_was_set_anew_names_no_older_log_row() -> None:
    made = revisions()
    first = made.first({"log": ["a"]}, 0).hold()
    grown = made.commit(first, delta(1, 1, log=["b"])).hold()
    reset = made.commit(grown, delta(2, 2, whole=True, log=["x"])).hold()
    cell = made.commit(reset, delta(3, 3, log=["y"])).seen()["log"]
    assert isinstance(cell, Grown)
    assert cell.seqs == [2, 3]


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
@pytest.mark.parametrize("whole", [1, 2, 3])
def test_where_branches_meet_logical_order_decides_whatever_was_committed_first(
    order: tuple[int, ...], whole: int
) -> None:
    made = revisions()
    first = made.first({"log": ["a"], "total": 10}, 0).hold()
    heads: dict[int, Revision] = {}
    for seq, place in enumerate(order, 1):
        writes = delta(place, seq, whole=place == whole, log=[str(place)], total=place)
        heads[place] = made.commit(first, writes).hold()
    kept = range(whole, 4)  # what comes later than the whole value, and itself
    for heads_in_some_order in permutations(heads.values()):
        merged = seen_by(made.merge(heads_in_some_order).seen())
        assert merged == {"log": [str(place) for place in kept], "total": sum(kept)}
    assert seen_by(made.look(list(heads.values()))) == seen_by(made.merge(list(heads.values())).seen())


def test_a_whole_value_of_a_losing_branch_counts_like_its_operands() -> None:
    made = revisions()
    first = made.first({"total": 10}, 0).hold()
    won = made.commit(first, delta(2, 1, total=2)).hold()
    lost = made.commit(first, delta(1, 2, whole=True, total=1)).hold()
    assert seen_by(made.merge([won], [lost]).seen()) == {"total": 3}


def test_what_cannot_be_folded_stays_so_until_a_whole_value_comes() -> None:
    made = revisions()
    first = made.first({"total": 10}, 0).hold()
    number = made.commit(first, delta(1, 1, total=1)).hold()
    text = made.commit(first, delta(2, 2, whole=True, total="text")).hold()
    more = made.commit(text, delta(3, 3, total=" and more")).hold()
    assert more.seen()["total"] == Folded("text and more")
    other = made.commit(number, delta(4, 4, total=1)).hold()
    merged = made.merge([more, other]).hold()
    failed = merged.seen()["total"]
    assert isinstance(failed, Conflict)
    assert failed.writers == ("n4",)
    assert failed.why.startswith("the reducer add raised TypeError")
    assert made.commit(merged, delta(5, 5, total=1)).hold().seen()["total"] == failed
    assert made.commit(merged, delta(6, 6, whole=True, total=0)).hold().seen()["total"] == Folded(0)
