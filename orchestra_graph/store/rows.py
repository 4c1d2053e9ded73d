"""From rows of the tables to the values of the contract. Columns stand in the order of the fields of the values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, select

from orchestra_graph.store.base import LogRow, MessageRow, QuestionRow, RunRow
from orchestra_graph.store.tables import events, inbox, questions, runs

__all__ = [
    "SELECT_EVENTS",
    "SELECT_MESSAGES",
    "SELECT_QUESTIONS",
    "SELECT_RUNS",
    "begins_with",
    "log_row",
    "message_row",
    "question_row",
    "run_row",
]

SELECT_RUNS: Select[Any] = select(
    runs.c.id,
    runs.c.key,
    runs.c.graph,
    runs.c.version,
    runs.c.fingerprint,
    runs.c.status,
    runs.c.created_at,
    runs.c.updated_at,
    runs.c.epoch,
    runs.c.owner,
    runs.c.note,
    runs.c.storage,
    runs.c.claims,
    runs.c.pinned,
    runs.c.origin,
)

SELECT_EVENTS: Select[Any] = select(events.c.seq, events.c.kind, events.c.at, events.c.body)

SELECT_QUESTIONS: Select[Any] = select(
    questions.c.run,
    runs.c.key,
    questions.c.name,
    questions.c.prompt,
    questions.c.addressee,
    questions.c.details,
    questions.c.answer_schema,
    questions.c.status,
    questions.c.asked_at,
    questions.c.expires_at,
    questions.c.answer,
    questions.c.answered_at,
).join_from(questions, runs, questions.c.run == runs.c.id)

SELECT_MESSAGES: Select[Any] = select(
    inbox.c.run, inbox.c.name, inbox.c.channel, inbox.c.body, inbox.c.sent_at, inbox.c.taken, inbox.c.id
)

_RUN_FIELDS = tuple(RunRow.__dataclass_fields__)
_QUESTION_FIELDS = tuple(QuestionRow.__dataclass_fields__)
_MESSAGE_FIELDS = tuple(MessageRow.__dataclass_fields__)


def run_row(row: Sequence[Any]) -> RunRow:
    """A row of `SELECT_RUNS`."""
    found = dict(zip(_RUN_FIELDS, row, strict=True))
    return RunRow(**{**found, "pinned": bool(found["pinned"])})


def begins_with(column: Column[str], prefix: str) -> list[ColumnElement[bool]]:
    """Conditions that hold where a text begins with *prefix*, which is not empty.

    A range, and no LIKE: that takes ``%`` and ``_`` for something else, does not tell ``a`` from ``A`` on SQLite, and
    uses no index there.
    """
    found = [column >= prefix]
    behind = _behind(prefix)
    return found if behind is None else [*found, column < behind]


def _behind(prefix: str) -> str | None:
    """The first text behind all those that begin with *prefix*: its last letter is the next one that there is."""
    prefix = prefix.rstrip(chr(sys.maxunicode))
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)  # surrogates are no letters


def log_row(row: Sequence[Any]) -> LogRow:
    """A row of `SELECT_EVENTS`."""
    return LogRow(*row)


def question_row(row: Sequence[Any]) -> QuestionRow:
    """A row of `SELECT_QUESTIONS`."""
    return QuestionRow(**dict(zip(_QUESTION_FIELDS, row, strict=True)))


def message_row(row: Sequence[Any]) -> MessageRow:
    """A row of `SELECT_MESSAGES`."""
    return MessageRow(**dict(zip(_MESSAGE_FIELDS, row, strict=True)))
