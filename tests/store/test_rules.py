"""What every store decides in the same way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestra_graph.errors import EngineBug
from orchestra_graph.store.base import Append, Snapshot
from orchestra_graph.store.rules import answered, check_begins, check_follows, is_over, named_in
from orchestra_graph.testing.contract.common import new_run, question, row


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        (Append(run=1, epoch=1), True),
        (Append(run=1, epoch=1, rows=[row(4), row(5)], snapshot=Snapshot(5, "")), True),
        (Append(run=1, epoch=1, snapshot=Snapshot(3, "")), True),
        (Append(run=1, epoch=1, snapshot=Snapshot(4, "")), False),
        (Append(run=1, epoch=1, rows=[row(3)]), False),
        (Append(run=1, epoch=1, rows=[row(4), row(6)]), False),
    ],
)
def test_a_log_goes_on_without_a_gap(change: Append, fits: bool) -> None:
    if fits:
        check_follows(change, 3)
    else:
        with pytest.raises(EngineBug, match="run 1"):
            check_follows(change, 3)


def test_a_run_begins_without_a_gap() -> None:
    check_begins(new_run())
    check_begins(replace(new_run(), rows=[row(1), row(2)]))
    with pytest.raises(EngineBug, match=r"row 3 does not follow row 1 in the log of new run 'k'"):
        check_begins(replace(new_run(), rows=[row(1), row(3)]))


def test_the_names_of_large_values_are_found_without_reading() -> None:
    bodies = ['{"writes":{},"blobs":{"writes":{"a":"h1"},"items":{"0":"h2"}}}', '{"writes":{"a":"h3"}}', "{"]
    found = named_in(bodies)
    assert {"h1", "h2"} <= found
    assert "h3" not in found
    assert named_in([]) == set()


def test_a_time_is_over_when_it_has_come() -> None:
    assert [is_over(10.0, now) for now in (9.9, 10.0, 10.1)] == [False, True, True]
    assert not is_over(None, 1e12)


def test_an_answer_in_the_last_moment_stands() -> None:
    asked = question(expires_at=10.0)
    assert answered(asked, "1", 10.0).status == "answered"
    assert answered(asked, "1", 10.1).status == "expired"
    closed = replace(asked, status="withdrawn")
    assert answered(closed, "1", 5.0) is closed
