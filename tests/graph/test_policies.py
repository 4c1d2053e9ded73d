"""Join rules, retries and limits, as values."""

from datetime import timedelta
from typing import Any

import pytest

from orchestra_graph.graph.policies import JoinRule, Limits, Retry, seconds_of


def test_only_first_races() -> None:
    assert JoinRule(kind="first").races
    assert not JoinRule(kind="gather").races


def test_delays_grow_up_to_the_longest() -> None:
    retry = Retry(attempts=9, delay=1, factor=2, longest=5, jitter=0)

    assert [retry.wait(attempt, 0.9) for attempt in (1, 2, 3, 4, 5)] == [1, 2, 4, 5, 5]


def test_chance_shortens_a_delay_by_at_most_the_jitter() -> None:
    retry = Retry(delay=10, jitter=0.5)

    assert retry.wait(1, 0) == 10
    assert 5 < retry.wait(1, 0.99) < 5.1


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"delay": -1}, {"factor": 0.5}, {"jitter": 2}])
def test_a_retry_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Retry"):
        Retry(**wrong)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"seconds": -1}, {"turns": 0}])
def test_a_limit_is_more_than_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a limit is more than 0"):
        Limits(**wrong)


def test_a_duration_is_seconds() -> None:
    assert seconds_of(timedelta(minutes=1)) == 60
    assert seconds_of(2.5) == 2.5
    assert seconds_of(None) is None
