"""What every store refuses and decides in the same way. Pure."""

from __future__ import annotations

from dataclasses import replace

from orchestra_graph.errors import EngineBug
from orchestra_graph.store.base import Append, QuestionRow

__all__ = ["answered", "check_follows", "is_over"]


def check_follows(change: Append, last: int) -> None:
    """See that a change goes on where the log ends.

    Args:
        change: What is to be stored.
        last: The number of the last row that is.

    Raises:
        EngineBug: There would be a gap, a double row, or a snapshot of rows that are not there.
    """
    for row in change.rows:
        if row.seq != last + 1:
            raise EngineBug(f"row {row.seq} does not follow row {last} in the log of run {change.run}")
        last = row.seq
    if change.snapshot is not None and change.snapshot.seq > last:
        raise EngineBug(
            f"the snapshot of run {change.run} is of row {change.snapshot.seq}, and its log ends with row {last}"
        )


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
