"""`Happening`: something that happens to a run, and what is stored with it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestra_graph.core import events as ev
from orchestra_graph.runtime.invoke import Result
from orchestra_graph.store.base import CachedRow, QuestionRow, QuestionStatus

__all__ = ["Happening"]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, and what else goes into its transaction.

    Attributes:
        event: What happens.
        result: Of the node that finished with it.
        asked: The question that is open from now on.
        closed: The question that is not, and what it is instead.
        cached: For whoever would run the node again on the same.
        sync: Must survive a power loss.
    """

    event: ev.Event
    result: Result | None = None
    asked: QuestionRow | None = None
    closed: tuple[str, QuestionStatus] | None = None
    cached: CachedRow | None = None
    sync: bool = False
