"""The keys that values are encrypted with."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping

from orchestra_graph.errors import BadKeys
from orchestra_graph.store.sealed import KEY_ID

__all__ = ["Keys"]

_BYTES = 32
_MAKE = "python -c 'import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())'"


class Keys:
    """A ring of keys, each with an id that is stored beside what it encrypts.

        Keys({"2026": secret_of_2026, "2025": secret_of_2025}, use="2026")

    All of them read; one writes. So a new key is brought in beside the old one, which stays for as long as there are
    values that were written with it.

    Args:
        keys: 32 random bytes for each id. An id is letters, digits, ``.``, ``_`` and ``-``; it is no secret.
        use: The id of the one that writes.
        strict: Refuse values that are not encrypted. Left out, they are read: those that were stored before there was a
            key, and also any that somebody who can write to the database puts there.

    Raises:
        BadKeys: One of them is no key, or there is none with the id *use*.
    """

    __slots__ = ("_keys", "strict", "use")

    def __init__(self, keys: Mapping[str, bytes], *, use: str, strict: bool = False):
        for key, secret in keys.items():
            if not isinstance(key, str) or not KEY_ID.fullmatch(key):
                raise BadKeys(f"{key!r:.70} is no id of a key: letters, digits, '.', '_' and '-', 64 of them at most")
            if not isinstance(secret, bytes) or len(secret) != _BYTES:
                found = f"{len(secret)} bytes" if isinstance(secret, bytes) else type(secret).__name__
                raise BadKeys(f"the key '{key}' is {found}; {_BYTES} random bytes are needed. Make one:   {_MAKE}")
        if use not in keys:
            have = ", ".join(f"'{key}'" for key in keys) or "none"
            raise BadKeys(f"there is no key '{use!s:.70}' to write with (there is {have})")
        self._keys = dict(keys)
        self.use, self.strict = use, strict

    @classmethod
    def of(cls, text: str, *, strict: bool = False) -> Keys:
        """Read keys as they stand in an environment variable; the first one writes.

        Args:
            text: ``2026:BASE64,2025:BASE64``, or JSON: ``{"2026": "BASE64", "2025": "BASE64"}``.
            strict: See `Keys`.

        Raises:
            BadKeys: It cannot be read.
        """
        pairs = _of_json(text) if text.lstrip().startswith("{") else _of_list(text)
        if not pairs:
            raise BadKeys("there is no key in it. Keys look like   ID:BASE64,ID:BASE64")
        return cls({key: _decoded(key, secret) for key, secret in pairs}, use=pairs[0][0], strict=strict)

    def __repr__(self) -> str:
        return f"<keys {', '.join(self.ids)}; {self.use} writes>"

    def __reduce__(self) -> str:
        raise TypeError("keys are not pickled: they are secrets")

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, that of the key that writes first."""
        return (self.use, *(key for key in self._keys if key != self.use))

    def derived(self, key: str, purpose: str) -> bytes | None:
        """32 bytes for one purpose only, made of the key with an id; None where there is none."""
        secret = self._keys.get(key)
        return None if secret is None else hmac.digest(secret, f"orchestra_graph {purpose}".encode(), hashlib.sha256)


def _of_json(text: str) -> list[tuple[str, str]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise BadKeys('the keys are no JSON. They look like   {"ID": "BASE64"}') from None
    if not all(isinstance(secret, str) for secret in found.values()):
        raise BadKeys('each key is a text in base64. They look like   {"ID": "BASE64"}')
    return list(found.items())


def _of_list(text: str) -> list[tuple[str, str]]:
    pairs = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    if not all(colon for _, colon, _ in pairs):
        raise BadKeys("a key has no id. Keys look like   ID:BASE64,ID:BASE64")
    return [(key.strip(), secret.strip()) for key, _, secret in pairs]


def _decoded(key: str, secret: str) -> bytes:
    try:
        return base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        raise BadKeys(f"the key '{key:.70}' is not in base64. Make one:   {_MAKE}") from None
