"""From rows of the tables to the values of the contract. Columns stand in the order of the fields of the values."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from sqlalchemy import Column, ColumnElement, Select, select

from orchestra_graph.errors import StoreBroken
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

_Row = TypeVar("_Row", RunRow, LogRow, QuestionRow, MessageRow)

_RUN_FIELDS = tuple(RunRow.__dataclass_fields__)
_PINNED = _RUN_FIELDS.index("pinned")
_QUESTION_FIELDS = tuple(QuestionRow.__dataclass_fields__)
_MESSAGE_FIELDS = tuple(MessageRow.__dataclass_fields__)


def run_row(row: Sequence[Any]) -> RunRow:
    """A row of `SELECT_RUNS`."""
    values = (*row[:_PINNED], bool(row[_PINNED]), *row[_PINNED + 1 :])  # SQLite has numbers for yes and no
    return _checked(RunRow(**dict(zip(_RUN_FIELDS, values, strict=True))), values)


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
    seq, kind, at, body = row
    if type(seq) is int and isinstance(kind, str) and isinstance(at, float) and isinstance(body, str):
        return LogRow(seq, kind, at, body)
    return _checked(LogRow(*row), row)


def question_row(row: Sequence[Any]) -> QuestionRow:
    """A row of `SELECT_QUESTIONS`."""
    return _checked(QuestionRow(**dict(zip(_QUESTION_FIELDS, row, strict=True))), row)


def message_row(row: Sequence[Any]) -> MessageRow:
    """A row of `SELECT_MESSAGES`."""
    return _checked(MessageRow(**dict(zip(_MESSAGE_FIELDS, row, strict=True))), row)


# -- what a column may hold ------------------------------------------------------------------------------
# SQLite keeps in a column whatever somebody puts there, and no database knows what a status is.


def _checked(found: _Row, values: Sequence[Any]) -> _Row:
    """A value of the contract, if it holds what its class says.

    Args:
        found: The value.
        values: Those of its fields.

    Raises:
        StoreBroken: It does not; names the row, and what was found.
    """
    for value, (name, plain, fits, expected) in zip(values, _COLUMNS[type(found)], strict=True):
        if type(value) not in plain and not fits(value):
            what = _NAMED[type(found)](found)
            raise StoreBroken("the database", f"{what}: its {name} is {_short(value)}; expected {expected}")
    return found


_NAMED: Mapping[Any, Callable[[Any], str]] = {
    RunRow: lambda found: f"run {_short(found.key)}",
    LogRow: lambda found: f"log row {_short(found.seq)}",
    QuestionRow: lambda found: f"run {_short(found.key)}, question {_short(found.id)}",
    MessageRow: lambda found: f"run #{_short(found.run)}, message {_short(found.id)}",
}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _columns(kind: Any) -> Sequence[tuple[str, frozenset[type], Callable[[Any], bool], str]]:
    """For each field: its name, types of which every value fits, whether a value fits, and what is expected.

    The types are there to save calls: this is done for each row that is read.
    """
    hints = get_type_hints(kind)
    return [(name, _plain(hints[name]), *_kind_of(hints[name])) for name in kind.__dataclass_fields__]


def _plain(hint: Any) -> frozenset[type]:
    args = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    return frozenset(arg for arg in args if arg in (str, int, bool, NoneType))


def _kind_of(hint: Any) -> tuple[Callable[[Any], bool], str]:
    if get_origin(hint) is Literal:
        words = get_args(hint)
        return (lambda value: isinstance(value, str) and value in words), f"one of {', '.join(words)}"
    if get_origin(hint) is UnionType:
        fits, expected = _kind_of(next(arg for arg in get_args(hint) if arg is not type(None)))
        return (lambda value: value is None or fits(value)), f"{expected}, or nothing"
    return _KINDS[hint]


_KINDS: dict[Any, tuple[Callable[[Any], bool], str]] = {
    str: (lambda value: isinstance(value, str), "a text"),
    int: (lambda value: type(value) is int, "a whole number"),
    bool: (lambda value: isinstance(value, bool), "yes or no"),
    # The years 1 to 9999: what is shown as a date.
    float: (lambda value: type(value) in (float, int) and -62_135_596_800 <= value < 253_402_300_800, "a time"),
}

# Made now: annotations are read by evaluating them, which nothing does while a row is read.
_COLUMNS: Mapping[Any, Sequence[tuple[str, frozenset[type], Callable[[Any], bool], str]]] = {
    kind: _columns(kind) for kind in _Row.__constraints__
}
