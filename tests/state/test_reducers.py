"""Reducers as values; how the engine folds with them is shown in `tests/core` and `tests/runtime/test_invoke.py`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestra_graph import Replace, add, append, extend, last, maximum, merge, minimum, reducer, union
from orchestra_graph.state.reducers import Reducer, operand_and_whole


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
        (union, {1}, {1, 2}, {1, 2}),
        (union, frozenset({1}), frozenset({2}), frozenset({1, 2})),
        (union, None, {1}, {1}),
        (merge, {"a": 1, "b": 1}, {"b": 2, "c": 2}, {"a": 1, "b": 2, "c": 2}),
        (merge, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"y": 2}}),
        (merge, None, {"a": 1}, {"a": 1}),
        (maximum, 1, 2, 2),
        (maximum, 2, 1, 2),
        (maximum, None, -1, -1),
        (maximum, -1, None, -1),
        (maximum, None, None, None),
        (minimum, 1, 2, 1),
        (minimum, "b", "a", "a"),
        (minimum, None, 3, 3),
    ],
)
def test_each_reducer_folds_as_it_is_named(
    fold: Reducer[object, object], before: object, operand: object, after: object
) -> None:
    kept = repr((before, operand))
    assert fold.fold(before, operand) == after
    assert repr((before, operand)) == kept


def test_of_equal_values_the_first_stands() -> None:
    assert maximum.fold(1, True) is not True
    assert minimum.fold(True, 1) is True


@pytest.mark.parametrize(
    ("declared", "operand", "whole"),
    [
        (list[str], list[str], None),
        (int | None, int | None, None),
        (None, type(None), None),
        (Replace[int], None, int),
        (list[str] | Replace[set[str]], list[str], set[str]),
        (str | None | Replace[list[str]], str | None, list[str]),
        (int | Replace[None], int, type(None)),
        (int | Replace, int, Any),
    ],
)
def test_a_declared_type_is_taken_apart(declared: Any, operand: Any, whole: Any) -> None:
    assert operand_and_whole(declared) == (operand, whole)


def test_only_sequences_that_get_longer_are_grown_fields() -> None:
    assert [r.grows for r in (append, extend, add, last, union, merge)] == [True, True, False, False, False, False]


def test_a_function_makes_a_reducer_with_its_name() -> None:
    @reducer
    def larger(acc: int, x: int) -> int:
        return max(acc, x)

    assert repr(larger) == larger.name == "larger"
    assert larger.fold(3, 5) == 5
    assert not larger.grows
