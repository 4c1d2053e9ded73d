"""`Happening`: something that happens to a run, and what is stored with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from orchestra_graph.core import events as ev
from orchestra_graph.runtime.result import Result
from orchestra_graph.store.base import CachedRow, QuestionRow, QuestionStatus, Transaction

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
        message: The id of the message that is taken with it; where the event changes nothing, it is not.
        step: The JSON of the value of a step.
        stored: Is told when it is durable, or None.
        within: The transaction in which it is stored, alone.
        sync: Must survive a power loss.
    """

    event: ev.Event
    result: Result | None = None
    asked: QuestionRow | None = None
    closed: tuple[str, QuestionStatus] | None = None
    cached: CachedRow | None = None
    message: str | None = None
    step: str | None = None
    stored: asyncio.Future[None] | None = None
    within: Transaction | None = None
    sync: bool = False
