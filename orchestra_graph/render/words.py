"""Text for people: names made harmless, times in human units, lists kept short."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from textwrap import wrap

__all__ = ["clean", "duration", "moment", "plural", "several", "shorten", "wrapped"]

_JOINERS = "\u200c\u200d"  # not printable, but part of Persian words and of composed emoji
_UNKNOWN = "\ufffd"


def clean(text: str) -> str:
    """Make *text* one line that every output can hold.

    Names come from users and labels from databases. Line breaks and tabs become spaces; what no XML may hold (control
    characters, halves of surrogate pairs), what a terminal would obey and what turns the writing direction of the text
    around it becomes U+FFFD.
    """
    line = " ".join(text.split())
    return "".join(c if c.isprintable() or c in _JOINERS else _UNKNOWN for c in line)


def shorten(text: str, most: int) -> str:
    """Cut *text* to *most* characters; a cut one ends in an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def wrapped(text: str, width: int) -> tuple[str, ...]:
    """Break a cleaned text into lines of about *width* characters.

    A no-break space holds its two words together, and becomes a space.
    """
    return tuple(line.replace("\u00a0", " ") for line in wrap(text, width, break_on_hyphens=False))


def plural(count: int, noun: str) -> str:
    """``1 turn``, ``2,000 turns``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def several(names: Sequence[str], most: int = 3) -> str:
    """``anna, ben, cleo and 4 more``; each name once."""
    different = list(dict.fromkeys(names))
    shown, rest = different[:most], len(different) - most
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """A length of time in its two largest units: ``12 ms``, ``1.2 s``, ``2 min 5 s``, ``3 h``."""
    if seconds < 0.001:
        return "<1 ms"
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    rest, parts = round(seconds), []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        parts.append(f"{count} {unit}" if count else "")
    first = next(i for i, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


def moment(seconds: float) -> str:
    """A time of day in UTC, since the picture may be looked at anywhere: ``2026-03-01 14:05 UTC``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
