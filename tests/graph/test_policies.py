"""Join rules, retries and limits, as values."""

from datetime import timedelta
from typing import Any

import pytest

from orchestra_graph.graph.policies import (
    GATHER,
    Cache,
    Limits,
    Retry,
    all_of,
    batches,
    each_one,
    first,
    seconds_of,
    until,
    zipped,
)


def test_first_and_until_may_fire_while_more_can_come() -> None:
    assert [rule.kind for rule in RULES if rule.races] == ["first", "until"]


RULES = (GATHER, all_of(), each_one(), first(), until("ok"), zipped(), batches(2))


def test_a_rule_says_what_it_is() -> None:
    assert [str(rule) for rule in RULES] == [
        "gather",
        "all_of",
        "each_one",
        "first(1)",
        "until",
        "zipped",
        "batches(2)",
    ]
    assert str(first(3, cancel_rest=True)) == "first(3)"


def test_a_rule_is_a_value() -> None:
    assert first(2) == first(2, short="error")
    assert first(2) != first(2, cancel_rest=True)
    assert until("ok").predicate == "ok"
    assert until(bool, cancel_rest=True).cancel_rest
    assert len({all_of(), all_of(), zipped()}) == 2


@pytest.mark.parametrize("number", [0, -1])
def test_at_least_one_must_come(number: int) -> None:
    with pytest.raises(ValueError, match="at least one must come"):
        first(number)
    with pytest.raises(ValueError, match="a batch has at least one"):
        batches(number)


@pytest.mark.parametrize("ttl", [0, -1, timedelta(0)])
def test_what_is_kept_is_kept_for_some_time(ttl: Any) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds"):
        Cache(ttl=ttl)


def test_a_cache_may_be_for_ever() -> None:
    assert Cache().seconds is None
    assert Cache(ttl=timedelta(hours=1)).seconds == 3600


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
