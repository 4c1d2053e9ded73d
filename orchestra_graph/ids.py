"""Names that are made, not chosen."""

from __future__ import annotations

import secrets

__all__ = ["new_engine_id", "new_message_id", "new_run_key"]

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # no 0/o, 1/i/l: people type these


def _random(length: int) -> str:
    number, letters = secrets.randbelow(len(_ALPHABET) ** length), ""  # the system is asked once, not for each letter
    for _ in range(length):
        number, letter = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[letter]
    return letters


def new_run_key(graph: str) -> str:
    """A key for a run that was started without one, such as ``support-k3x9w2mz``."""
    return f"{graph}-{_random(8)}"


def new_message_id() -> str:
    """A name for a message that its sender gave none."""
    return _random(16)


def new_engine_id() -> str:
    """A name for one engine in one process."""
    return _random(12)
