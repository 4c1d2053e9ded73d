"""What every store refuses and decides in the same way. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import EngineBug
from orchestra_graph.store.base import Append, LogRow, NewRun, QuestionRow

__all__ = [
    "TAKES_NO_MESSAGE",
    "answered",
    "check_begins",
    "check_follows",
    "is_over",
    "named_in",
]

TAKES_NO_MESSAGE: frozenset[RunStatus] = frozenset({"done", "cancelled"})
"""Runs of this status never go on. One that failed may be tried again, and reads what came meanwhile."""


def check_begins(new: NewRun) -> None:
    """See that the log of a new run has no gap.

    Raises:
        EngineBug: It has one.
    """
    _check_rows(new.rows, 0, f"new run '{new.key}'")


def check_follows(change: Append, last: int) -> None:
    """See that a change goes on where the log ends.

    Args:
        change: What is to be stored.
        last: The number of the last row that is.

    Raises:
        EngineBug: There would be a gap, a double row, or a snapshot of rows that are not there.
    """
    last = _check_rows(change.rows, last, f"run {change.run}")
    if change.snapshot is not None and change.snapshot.seq > last:
        raise EngineBug(
            f"the snapshot of run {change.run} is of row {change.snapshot.seq}, and its log ends with row {last}"
        )


def _check_rows(rows: Sequence[LogRow], last: int, of: str) -> int:
    for row in rows:
        if row.seq != last + 1:
            raise EngineBug(f"row {row.seq} does not follow row {last} in the log of {of}")
        last = row.seq
    return last


def named_in(bodies: Iterable[str]) -> set[str]:
    """Whatever texts of JSON bodies may be the name of a large value.

    No body is read for that: a name has nothing in it that JSON would write otherwise, so it stands between two
    quotation marks. Words of users are among the found, too: they only keep a large value longer than needed.
    """
    return {word for body in bodies if '"blobs":' in body for word in body.split('"')}


def is_over(expires_at: float | None, now: float) -> bool:
    """Whether the time of something is over: a cached result is not good any more, a question takes no answer."""
    return expires_at is not None and expires_at <= now


def answered(question: QuestionRow, answer: str, at: float) -> QuestionRow:
    """The question after somebody gave *answer* at *at*; the same object where that changes nothing."""
    if question.status != "open":
        return question
    if question.expires_at is not None and at > question.expires_at:
        return replace(question, status="expired")
    return replace(question, status="answered", answer=answer, answered_at=at)
