"""Large values are kept once: how a log row names them, and how they are found again.

Rule 1. Rows of the log become events with values here, and nowhere else: `read_events`.
Rule 2. The name of a blob is the hash of its text. A text that is not what its name says is never used.
Rule 3. The names stand in a key of their own beside the values (``"blobs"``): user data is never searched for marks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestra_graph.core import events as ev
from orchestra_graph.errors import StoreBroken
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.journal import body_of, event_of, unreadable, with_large
from orchestra_graph.state.codec import parse
from orchestra_graph.store.base import LogRow, Store

__all__ = ["LARGE", "Logged", "hash_of", "log_row", "read_body", "read_events"]

LARGE = 16 * 1024
"""From so many characters of JSON on, a value is kept by its hash.

Measured on SQLite, for values that are all different, so that nothing is gained: at 16 KB the hash, the row of the blob
and the row of its use take 2 % more room and 0.05 ms more for each write; at 4 KB it would be 4 % and more than half as
much time again, at 1 KB a quarter more room and twice the time.
"""


class Logged(NamedTuple):
    """A log row, and the large values that it names.

    Attributes:
        row: The row.
        blobs: Hash to JSON text; they go into the transaction of the row.
    """

    row: LogRow
    blobs: Mapping[str, str]


def hash_of(text: str) -> str:
    """The name of a blob: SHA-256 of its UTF-8 text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def log_row(
    seq: int, event: ev.Event, fragments: Mapping[str, str] | None = None, items: Mapping[int, str] | None = None
) -> Logged:
    """Write an event down as a row of the log.

    Args:
        seq: The number of the row.
        event: The event.
        fragments: The JSON of what it writes, by field.
        items: The JSON of the items of an `each` that a function made, by edge.
    """
    texts: dict[str, str] = {}
    small, large = _split(fragments or {}, texts)
    few, many = _split(items or {}, texts)
    named = {part: hashes for part, hashes in (("writes", large), ("items", many)) if hashes}
    return Logged(LogRow(seq, type(event).__name__, event.at, body_of(event, small, few, named)), texts)


def _split(values: Mapping[Any, str], texts: dict[str, str]) -> tuple[dict[Any, str], dict[str, str]]:
    """The small values as they are, and the hashes of the large ones, whose texts are put into *texts*."""
    small, large = dict(values), dict[str, str]()
    for name, value in values.items():
        if len(value) >= LARGE:
            found = large[str(name)] = hash_of(value)
            texts[found] = small.pop(name)
    return small, large


async def read_events(store: Store, rows: Sequence[LogRow], plan: Plan | None) -> list[ev.Event]:
    """The events of log rows, large values and all.

    Args:
        store: Where the rows are from.
        rows: The rows; their large values are read in one go.
        plan: Says what the values are; None leaves all values out.

    Raises:
        StoreBroken: A row cannot be read, or a large value that it names is missing or is not what was written.
    """
    large = {} if plan is None else await _read_large(store, rows)
    return [event_of(row, plan, store.url, large) for row in rows]


async def read_body(store: Store, row: LogRow) -> dict[str, Any]:
    """The body of a row as a JSON parser gives it, large values in place.

    Raises:
        StoreBroken: The row cannot be read, or a large value is missing or is not what was written.
    """
    large = await _read_large(store, [row])
    try:
        return with_large(parse(row.body), large)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise unreadable(row, store.url, error) from error


async def _read_large(store: Store, rows: Sequence[LogRow]) -> dict[str, Any]:
    """The large values that rows name, by their hash; each is parsed once, however many rows name it."""
    named = {found: (row, what) for row in rows for what, found in _named(row)}
    if not named:
        return {}
    texts = await store.blobs(named)
    for found, (row, what) in named.items():
        text = texts.get(found)
        if text is None or hash_of(text) != found:
            wrong = "is missing" if text is None else "was altered: its hash is another one"
            raise StoreBroken(
                store.url, f"log row {row.seq} ({row.kind}): the large value of {what} {wrong} (blob {found})"
            )
    return {found: parse(text) for found, text in texts.items()}


def _named(row: LogRow) -> list[tuple[str, str]]:
    """What the large values of a row are, for messages, and their hashes."""
    if '"blobs":' not in row.body:  # it may stand in user data, too: this only saves the look
        return []
    try:
        return [
            (f"'{name}'" if part == "writes" else f"the items of edge {name}", str(found))
            for part, hashes in parse(row.body).get("blobs", {}).items()
            for name, found in hashes.items()
        ]
    except (ValueError, AttributeError):  # who makes an event of the row says what is wrong with it
        return []
