"""Where a store is: the file that a URL names, and how a URL may be shown."""

from __future__ import annotations

import os
from pathlib import Path

from orchestra_graph.errors import StoreError, without_password

__all__ = ["shown", "sqlite_path"]

_SCHEMES = ("sqlite:///", "sqlite+aiosqlite:///")


def sqlite_path(url: str) -> Path:
    """The absolute path of the database file, with symbolic links followed: lock files must lie beside the real one.

    Raises:
        StoreError: The URL names no file.
    """
    scheme = next((s for s in _SCHEMES if url.startswith(s)), None)
    if scheme is None and url.split("://")[0] not in {s.split("://")[0] for s in _SCHEMES}:
        raise StoreError(url, "this is not the URL of a SQLite file, which looks like   sqlite:///runs.db")
    name = url[len(scheme) :] if scheme else ""
    if name in ("", ":memory:"):
        raise StoreError(
            url, "a SQLite database in memory keeps nothing. Name a file:   sqlite:///runs.db   or use   memory://"
        )
    name, mark, options = name.partition("?")
    if mark:
        raise StoreError(
            url, f"options after the file's name ('{options}') are not understood. Leave them out:   {scheme}{name}"
        )
    return Path(os.path.realpath(name))


def shown(url: str) -> str:
    """A URL for messages, logs and screens: without a password. Errors of the store hold it in this form only."""
    return without_password(url)
