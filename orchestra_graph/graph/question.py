"""What a node that asks a person returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

__all__ = ["Question"]

Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Question(Generic[Answer_co]):
    """A question to a person; its type argument is the type of the answer.

    An ``@ask`` function says so in its return annotation: ``def approve(order: Order) -> Question[Approval]``.

    Attributes:
        prompt: The question, as the person reads it.
        to: A person or role, as free text.
        details: What the person should know, JSON-able.
        expires_in: Seconds, or a timedelta: after this time the question can no longer be answered, and the node fails
            with `QuestionExpired`.
    """

    prompt: str
    to: str | None = field(default=None, kw_only=True)
    details: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    expires_in: float | timedelta | None = field(default=None, kw_only=True)
