"""The schema of a database, whatever kind it is of: what it is, and how it is brought up to date. Everything blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestra_graph.errors import MissingExtra, StoreError
from orchestra_graph.store.migrate import known_revisions

__all__ = ["SchemaState", "is_postgres", "schema_of", "upgrade_schema"]


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What schema a database has.

    Attributes:
        found: Its revision; None where there are no tables yet.
        needed: The revision of this release.
    """

    found: str | None
    needed: str

    @property
    def state(self) -> Literal["ok", "older", "missing"]:
        """How the two go together; a newer one is an error."""
        if self.found is None:
            return "missing"
        return "ok" if self.found == self.needed else "older"


def is_postgres(url: str) -> bool:
    """Whether a URL is one of PostgreSQL."""
    return url.partition(":")[0].partition("+")[0] in ("postgresql", "postgres")


def schema_of(url: str) -> SchemaState:
    """What schema the database has; nothing is changed.

    Raises:
        StoreNewer: A newer release made it.
        StoreBroken: It is somebody else's, or damaged.
        StoreError: It cannot be reached, or keeps nothing.
        MissingExtra: psycopg is not installed.
    """
    if is_postgres(url):
        _check_driver()
        from orchestra_graph.store import pg_migrate

        return SchemaState(pg_migrate.revision_of(url), known_revisions()[-1])
    _refuse_memory(url)
    from orchestra_graph.store.migrate import revision_of
    from orchestra_graph.store.place import sqlite_path

    return SchemaState(revision_of(sqlite_path(url), url), known_revisions()[-1])


def upgrade_schema(url: str) -> SchemaState:
    """Bring a database up to date; make what is missing.

    Returns:
        What there was before.

    Raises:
        StoreError: As `schema_of`.
        MissingExtra: psycopg is not installed.
    """
    before = schema_of(url)
    if before.state == "ok":
        return before
    if is_postgres(url):
        from orchestra_graph.store import pg_migrate

        return SchemaState(*pg_migrate.upgrade(url))
    from orchestra_graph.store.migrate import bring_up_to_date
    from orchestra_graph.store.place import sqlite_path

    bring_up_to_date(sqlite_path(url), url)
    return before


def _check_driver() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingExtra("PostgreSQL", "postgres") from None


def _refuse_memory(url: str) -> None:
    if url.startswith("memory:"):
        raise StoreError(url, "it ends with the process that uses it: it has no schema")
