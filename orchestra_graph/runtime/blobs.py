"""Large values are kept once: how a log row names them, and how they are found again.

Rule 1. Rows of the log become events with values here, and nowhere else: `read_events`.
Rule 2. The name of a blob is the hash of its text. A text that is not what its name says is never used.
Rule 3. The names stand in a key of their own beside the values (``"blobs"``): user data is never searched for marks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from orchestra_graph.core import events as ev
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.journal import body_of, event_of, with_large
from orchestra_graph.runtime.wellformed import Misfit, object_in, reading, reading_row
from orchestra_graph.state.codec import parse
from orchestra_graph.store.base import LogRow, Store
from orchestra_graph.store.sealed import key_of

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
    seq: int,
    event: ev.Event,
    fragments: Mapping[str, str] | None = None,
    items: Mapping[int, str] | None = None,
    step: str | None = None,
) -> Logged:
    """Write an event down as a row of the log.

    Args:
        seq: The number of the row.
        event: The event.
        fragments: The JSON of what it writes, by field.
        items: The JSON of the items of an `each` that a function made, by edge.
        step: The JSON of the value of a step.
    """
    texts: dict[str, str] = {}
    small, large = _split(fragments or {}, texts)
    few, many = _split(items or {}, texts)
    short, long = _split({} if step is None else {"value": step}, texts)
    named = {part: hashes for part, hashes in (("writes", large), ("items", many), ("step", long)) if hashes}
    return Logged(LogRow(seq, type(event).__name__, event.at, body_of(event, small, few, named, short)), texts)


def _split(values: Mapping[Any, str], texts: dict[str, str]) -> tuple[dict[Any, str], dict[str, str]]:
    """The small values as they are, and the hashes of the large ones, whose texts are put into *texts*."""
    if not values:
        return {}, {}
    small, large = dict(values), dict[str, str]()
    for name, value in values.items():
        if len(value) >= LARGE:
            found = large[str(name)] = hash_of(value)
            texts[found] = small.pop(name)
    return small, large


async def read_events(store: Store, rows: Sequence[LogRow], plan: Plan | None, run: str = "") -> list[ev.Event]:
    """The events of log rows, large values and all.

    Args:
        store: Where the rows are from.
        rows: The rows; their large values are read in one go.
        plan: Says what the values are; None leaves all values out.
        run: The key of their run, for messages.

    Raises:
        StoreBroken: A row cannot be read, or a large value that it names is missing or is not what was written.
    """
    large = {} if plan is None else await _read_large(store, rows, run)
    return [event_of(row, plan, store.url, large, run) for row in rows]


async def read_body(store: Store, row: LogRow, run: str = "") -> dict[str, Any]:
    """The body of a row as a JSON parser gives it, large values in place.

    Raises:
        StoreBroken: The row cannot be read, or a large value is missing or is not what was written.
    """
    large = await _read_large(store, [row], run)
    with reading_row(row, store.url, run):
        body = with_large(object_in(parse(row.body), "the body"), large)
        body["writes"] = object_in(body.get("writes", {}), "writes")
    return body


async def _read_large(store: Store, rows: Sequence[LogRow], run: str) -> dict[str, Any]:
    """The large values that rows name, by their hash; each is parsed once, however many rows name it."""
    named = {found: (row, what) for row in rows for what, found in _named(row)}
    if not named:
        return {}
    texts, values = await store.blobs(named), dict[str, Any]()
    for found, (row, what) in named.items():
        with reading(store.url, f"log row {row.seq} ({row.kind}): the large value of {what}", run, texts.get(found)):
            values[found] = _value(found, texts.get(found))
    return values


def _value(found: str, text: str | None) -> Any:
    """The value of a blob."""
    if text is None:
        raise Misfit(f"is missing (blob {found:.64})")
    if key_of(text) is None and hash_of(text) != found:
        raise Misfit(f"was altered: its hash is another one (blob {found:.64})")
    return parse(text)


_NAMED: Mapping[str, Callable[[str], str]] = {
    "writes": "'{}'".format,
    "items": "the items of edge {}".format,
    "step": "the step".format,
}


def _named(row: LogRow) -> list[tuple[str, str]]:
    """What the large values of a row are, for messages, and their hashes."""
    if '"blobs":' not in row.body:  # it may stand in user data, too: this only saves the look
        return []
    try:
        return [
            (_NAMED[part](name), str(found))
            for part, hashes in parse(row.body).get("blobs", {}).items()
            for name, found in hashes.items()
        ]
    except (KeyError, ValueError, AttributeError):  # who makes an event of the row says what is wrong with it
        return []
