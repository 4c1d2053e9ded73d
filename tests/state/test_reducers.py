"""Reducers as values; how the engine folds with them is shown in `tests/core` and `tests/runtime/test_invoke.py`."""

from __future__ import annotations

from decimal import Decimal

import pytest

from orchestra_graph import add, append, extend, last, reducer
from orchestra_graph.state.reducers import Reducer


@pytest.mark.parametrize(
    ("fold", "before", "operand", "after"),
    [
        (append, [1], [2], [1, 2]),  # the engine folds lists of new elements, for `append` of one
        (extend, [1], [2, 3], [1, 2, 3]),
        (extend, (1,), [2, 3], (1, 2, 3)),
        (add, 1, 2, 3),
        (add, Decimal("1.10"), Decimal("0.05"), Decimal("1.15")),
        (add, "a", "b", "ab"),
        (last, "old", "new", "new"),
    ],
)
def test_each_reducer_folds_as_it_is_named(
    fold: Reducer[object, object], before: object, operand: object, after: object
) -> None:
    kept = repr((before, operand))
    assert fold.fold(before, operand) == after
    assert repr((before, operand)) == kept


def test_only_sequences_that_get_longer_are_grown_fields() -> None:
    assert [r.grows for r in (append, extend, add, last)] == [True, True, False, False]


def test_a_function_makes_a_reducer_with_its_name() -> None:
    @reducer
    def larger(acc: int, x: int) -> int:
        return max(acc, x)

    assert repr(larger) == larger.name == "larger"
    assert larger.fold(3, 5) == 5
    assert not larger.grows
