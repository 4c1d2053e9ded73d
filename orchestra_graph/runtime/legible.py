"""Texts of users that are no values: what an error says, what a person is asked.

Such a text must never keep a run from being stored. An error about a file may have its name in it, and that may be any
bytes.
"""

from __future__ import annotations

__all__ = ["legible"]


def legible(text: str) -> str:
    """A text as every database takes it: halves of characters, and NULs, are written out as escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
