from __future__ import annotations

import pytest

from orchestra_graph.core.record import ActivationStatus
from orchestra_graph.render.progress import STATUSES, Progress, Status, progress_of

from .shapes import NOON, activation, run


def _of(*statuses: ActivationStatus) -> Progress:
    return progress_of(run("running", *(activation("a", status) for status in statuses)))["a"]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (("done", "running"), "running"),
        (("running", "waiting"), "waiting"),
        (("waiting", "failed"), "failed"),
        (("running", "retrying"), "retrying"),
        (("withdrawn", "done"), "done"),
        (("done", "ready"), "ready"),
    ],
)
def test_the_status_that_matters_most_is_the_nodes(statuses: tuple[ActivationStatus, ...], status: Status) -> None:
    assert _of(*statuses).status == status
    assert _of(*reversed(statuses)).status == status


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_of_an_activation_can_be_that_of_a_node(status: ActivationStatus) -> None:
    assert _of(status).status == status


def test_activations_are_counted_by_status() -> None:
    here = _of("done", "waiting", "done")
    assert here.counts == (("waiting", 1), ("done", 2))
    assert here.activations == 3


def test_a_node_that_was_never_started_has_no_progress() -> None:
    assert progress_of(run("done")) == {}


def test_time_spent_side_by_side_is_not_counted_twice() -> None:
    spans = [(0, 4), (1, 2), (3, 6), (8, 9)]
    record = run("done", *(activation("a", start=start, end=end) for start, end in spans))
    assert progress_of(record)["a"].seconds == 7


def test_time_still_running_needs_to_know_the_time() -> None:
    record = run("running", activation("a", "running", start=2))
    assert progress_of(record)["a"].seconds is None
    assert progress_of(record, NOON + 5)["a"].seconds == 3


def test_what_was_open_when_the_run_ended_is_counted_to_its_end() -> None:
    record = run("failed", activation("a", "waiting", start=2))
    assert progress_of(record, NOON + 1000)["a"].seconds == 8


def test_turns_are_counted_once_for_all_instances_of_a_turn() -> None:
    record = run("running", *(activation("a", turn=turn) for turn in (0, 0, 1, 1)))
    assert progress_of(record)["a"].turns == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [("ValueError: bad: input", "ValueError"), ("httpx.ReadTimeout: slow", "ReadTimeout"), ("Odd", "Odd"), (None, "")],
)
def test_of_an_error_only_the_type_is_said(error: str | None, said: str) -> None:
    assert progress_of(run("failed", activation("a", "failed", error=error)))["a"].error == said


def test_the_error_of_an_attempt_that_was_made_good_is_not_said() -> None:
    assert progress_of(run("done", activation("a", attempts=2, error="ValueError: x")))["a"].error == ""


def test_a_question_without_a_name_waits_for_a_person() -> None:
    record = run("waiting", activation("a", "waiting"), activation("a", "waiting", waiting_for="anna"))
    assert progress_of(record)["a"].waiting_for == ("a person", "anna")
