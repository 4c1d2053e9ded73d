"""Where runs are kept. `open_store` is the door: what a store needs is imported when one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestra_graph.clock import Clock
from orchestra_graph.errors import MissingExtra, StoreError
from orchestra_graph.store.base import Store

if TYPE_CHECKING:
    from orchestra_graph.store.keys import Keys

__all__ = ["open_store"]


def open_store(
    url: str | Store | None = None,
    *,
    durability: Literal["normal", "full"] = "normal",
    clock: Clock | None = None,
    lease: float = 30.0,
    keys: Keys | None = None,
) -> Store:
    """The store that a URL names, for ``async with``.

    Args:
        url: ``sqlite:///runs.db``; ``postgresql://user:password@host/database``; ``memory://`` or None for one that is
            gone with the object. A store is that store.
        durability: See `SqliteStore`.
        clock: Where the time comes from.
        keys: What values are encrypted with; None: they are not.
        lease: Seconds without a sign of life after which the owner of a run is dead, where the store goes by leases.

    Raises:
        StoreError: There is no such kind of store.
        MissingExtra: There are keys, or it is PostgreSQL, and the package that this needs is not installed.
    """
    if keys is not None:
        from orchestra_graph.store.encrypted import EncryptedStore

        return EncryptedStore(open_store(url, durability=durability, clock=clock, lease=lease), keys)
    if url is not None and not isinstance(url, str):
        return url
    scheme = "memory" if url is None else url.partition(":")[0].partition("+")[0]
    if scheme == "memory":
        from orchestra_graph.store.memory import MemoryStore

        return MemoryStore(clock=clock)
    assert url is not None
    if scheme == "sqlite":
        from orchestra_graph.store.sqlite import SqliteStore

        return SqliteStore(url, durability=durability, clock=clock)
    if scheme in ("postgresql", "postgres"):
        try:
            from orchestra_graph.store.postgres import PostgresStore
        except ImportError as error:
            if (error.name or "psycopg").partition(".")[0] != "psycopg":
                raise
            raise MissingExtra("PostgreSQL", "postgres") from error

        return PostgresStore(url, durability=durability, clock=clock, lease=lease)
    raise StoreError(
        url,
        "this is not the URL of a store. There are   sqlite:///runs.db   postgresql://user@host/database   memory://",
    )
