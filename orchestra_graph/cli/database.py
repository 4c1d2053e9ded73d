"""Looking into a database without making one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestra_graph.cli.config import Named, url_of
from orchestra_graph.cli.errors import NoDatabase
from orchestra_graph.cli.settings import Settings
from orchestra_graph.errors import UnknownRun
from orchestra_graph.store import open_store
from orchestra_graph.store.base import RunRow, Store

__all__ = ["existing", "find_run", "read_store"]

_KNOWN = 200


def existing(settings: Settings) -> str:
    """The URL of a database that is there.

    Raises:
        NoDatabase: There is none.
    """
    named = settings.database
    url = url_of(named)
    if url.startswith("memory:"):
        raise NoDatabase(f"{url} ends with the process that used it: there is nothing in it.\n{_mend(named)}")
    if url.startswith("sqlite"):
        from orchestra_graph.store.place import sqlite_path

        path = sqlite_path(url)
        if not path.exists():
            raise NoDatabase(f"there is no database {url} ({named.origin}): {path} does not exist.\n{_mend(named)}")
        if path.is_file() and not path.stat().st_size:
            raise NoDatabase(f"{path} ({named.origin}) is empty: there are no runs in it.\n{_mend(named)}")
    return url


def _mend(named: Named) -> str:
    ways = ["--db FILE", "ORCHESTRA_DB=FILE", 'database = "FILE" in [tool.orchestra] of pyproject.toml']
    others = [way for way in ways if not (named.typed and way.startswith("--db"))]
    return f"    Choose another:   {'   or   '.join(others)}\n    A run makes one:  orchestra run TARGET"


@asynccontextmanager
async def read_store(settings: Settings) -> AsyncIterator[Store]:
    """The store, open; see `existing`."""
    async with open_store(existing(settings), keys=settings.keys) as store:
        yield store


async def find_run(store: Store, key: str) -> RunRow:
    """A run by its key.

    Raises:
        UnknownRun: There is none.
    """
    row = await store.find(key)
    if row is None:
        raise UnknownRun(key, store.url, [known.key for known in await store.runs(limit=_KNOWN)])
    return row
