"""What the outcome of a run says beyond its status: the note in its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestra_graph.runtime.wellformed import Misfit, object_in, reading
from orchestra_graph.state.codec import parse
from orchestra_graph.store.base import RunRow

__all__ = ["note_of"]


def note_of(row: RunRow, url: str) -> dict[str, Any]:
    """Read the note of a run, with all that belongs to its status.

    Raises:
        StoreBroken: It is none that this library wrote.
        StoreSealed: It is encrypted.
    """
    with reading(url, "its note", row.key, row.note):
        note = object_in(parse(row.note), "the note") if row.note else {}
        for name, (fits, expected) in _PARTS.get(row.status, {}).items():
            if name not in note or not fits(note[name]):
                raise Misfit(f"'{name}' is {note.get(name)!r:.80}; expected {expected}")
    return note


def _text(value: object) -> bool:
    return isinstance(value, str)


def _number(value: object) -> bool:
    return isinstance(value, int | float)


def _errors(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, list) and len(one) == 3 and all(map(_text, one)) for one in value
    )


_PARTS: Mapping[str, Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "failed": {
        "reason": (_text, "a text"),
        "errors": (_errors, "a list of three texts each"),
        "final": (lambda value: isinstance(value, bool), "true or false"),
    },
    "stopped": {"limit": (_text, "a text"), "allowed": (_number, "a number")},
    "dead": {"reason": (_text, "a text"), "deaths": (_number, "a number")},
}
