"""Whether a type takes every value of another one, by what they are called."""

from __future__ import annotations

import pytest

from orchestra_graph.runtime.wider import wider


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("int", "int"),
        ("int", "int | None"),
        ("int | None", "None | str | int"),
        ("int", "float"),
        ("Report", "object"),
        ("list[int]", "list[int | str]"),
        ("dict[str, int]", "dict[str, float]"),
        ("Literal['a', 'b']", "Literal['c', 'b', 'a']"),
        ("Literal['a']", "str"),
        ("Literal['a']", "Literal['a'] | None"),
        ("tuple[int, ...]", "tuple[float, ...]"),
    ],
)
def test_a_type_that_takes_more(before: str, now: str) -> None:
    assert wider(before, now)
    assert before == now or not wider(now, before)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("int", "str"),
        ("float", "int"),
        ("list[int]", "tuple[int]"),
        ("list[int]", "int"),
        ("Literal[1]", "str"),
        ("Mine[int]", "Mine[int | None]"),
        ("a type <of> no kind", "int"),
        ("int", "a type <of> no kind"),
    ],
)
def test_a_type_of_which_that_is_not_known(before: str, now: str) -> None:
    assert not wider(before, now)
