"""How an encrypted value looks: which key it was written with can be read without any key.

``sealed:1:KEY ID:BASE64``, where the rest is a nonce of 12 bytes and what AES-GCM made. No JSON text begins so. Of a
cached result the names of its large values follow, as `rules.named_in` finds them: ``;"blobs":["NAME"]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

__all__ = ["KEY_ID", "key_of", "parts_of", "sealed_text", "with_names"]

KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""What a key may be called."""

_BEGIN = "sealed:1:"
_ENOUGH = len(_BEGIN) + 65


def sealed_text(key: str, data: str) -> str:
    """An encrypted value as it is stored; *data* is in base64."""
    return f"{_BEGIN}{key}:{data}"


def with_names(sealed: str, names: Collection[str]) -> str:
    """An encrypted value with the names of the large values that it needs, for whoever removes those nobody needs."""
    return f'{sealed};"blobs":{json.dumps(sorted(names))}' if names else sealed


def key_of(text: str) -> str | None:
    """The id of the key that a stored text was encrypted with; None: it is not encrypted."""
    if not text.startswith(_BEGIN):
        return None
    key, colon, _ = text[len(_BEGIN) : _ENOUGH].partition(":")
    return key if colon and KEY_ID.fullmatch(key) else None


def parts_of(text: str) -> tuple[str, str] | None:
    """The id of the key and the data in base64 of an encrypted value; None: it is not encrypted."""
    key = key_of(text)
    if key is None:
        return None
    data, _, _ = text[len(_BEGIN) + len(key) + 1 :].partition(";")
    return key, data
