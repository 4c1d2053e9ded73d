"""The schema on PostgreSQL: looked at when a store is opened, changed by ``orchestra db upgrade`` alone.

Rule 1. Opening changes nothing. A schema that is missing, older or newer is refused, and the line to type is said.
Rule 2. An upgrade is one transaction under an advisory lock: of ten processes that start one, nine find it done, and
one that is killed leaves the schema as it was.
Rule 3. The tables lie in the first schema of the search path. Our mark is the table ``orchestra_version`` in there; a
schema without it that has tables belongs to somebody, and no table of ours is added to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from orchestra_graph.errors import StoreBroken, StoreError, StoreNewer, StoreOlder
from orchestra_graph.store.migrate import known_revisions, run_migrations
from orchestra_graph.store.pg_connect import Target

__all__ = ["Schema", "check", "look", "revision_of", "upgrade"]

_VERSION = "orchestra_version"
_UPGRADE = "orchestra db upgrade --db URL"


@dataclass(frozen=True, slots=True)
class Schema:
    """What was found.

    Attributes:
        name: Of the schema in which the tables lie.
        revision: The revision of our tables; None where there are none.
    """

    name: str
    revision: str | None


def look(connection: psycopg.Connection[Any], url: str) -> Schema:
    """See which revision the tables have.

    Raises:
        StoreBroken: The tables are somebody else's, or name no revision.
        StoreNewer: A newer release made them.
        StoreError: The search path names no schema, or the database cannot hold our texts.
    """
    name, encoding = connection.execute("SELECT current_schema(), current_setting('server_encoding')").fetchall()[0]
    if name is None:
        raise StoreError(
            url, "the search path of this user names no schema that is there. Make it:   CREATE SCHEMA ..."
        )
    if encoding != "UTF8":
        raise StoreError(
            url, f"this database is in {encoding}, and must be in UTF8. Make one:   createdb -E UTF8 -T template0 NAME"
        )
    tables = [
        table
        for (table,) in connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1",
            (name,),
        )
    ]
    if _VERSION not in tables:
        _refuse_foreign(tables, name, url)
        return Schema(name, None)
    return Schema(name, _revision(connection, url))


def revision_of(url: str) -> str | None:
    """The revision of the tables of a database; None where there are none. Blocks.

    Raises:
        StoreError: As `look`, or the database cannot be reached.
    """
    target = Target(url, name="orchestra db check")
    try:
        with target.connect() as connection:
            return look(connection, url).revision
    except psycopg.Error as error:
        raise target.fault(error) from error


def check(connection: psycopg.Connection[Any], url: str) -> Schema:
    """See that the tables are those of this release.

    Raises:
        StoreOlder: There are none, or an older release made them.
        StoreBroken: They are somebody else's.
        StoreNewer: A newer release made them.
    """
    found = look(connection, url)
    known = known_revisions()
    if found.revision is None:
        raise StoreOlder(url, f"there are no tables of orchestra_graph in it yet. Make them:   {_UPGRADE}")
    if found.revision != known[-1]:
        raise StoreOlder(
            url,
            f"an older release of orchestra_graph made its schema: it is {found.revision}, and this release needs "
            f"{known[-1]}. Nothing was changed. Bring it up to date:   {_UPGRADE}",
        )
    return found


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the schema up to date; make it where it is not there. Blocks.

    Returns:
        The revision before, and now.

    Raises:
        StoreBroken: The tables are somebody else's; nothing was changed.
        StoreNewer: A newer release made them; nothing was changed.
        StoreError: The database refuses.
    """
    target = Target(url, name="orchestra db upgrade")
    try:
        with target.connect() as connection:
            if look(connection, url).revision == known_revisions()[-1]:
                return (known_revisions()[-1],) * 2
        return _migrate(target)
    except psycopg.Error as error:
        raise target.fault(error) from error


def _migrate(target: Target) -> tuple[str | None, str]:
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.exc import DBAPIError

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(target.words)

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("SELECT pg_advisory_xact_lock(hashtextextended('orchestra_graph ' || current_schema(), 0))")
            before = look(driver, target.url).revision  # another process may have done it while we waited
            if before != known_revisions()[-1]:
                run_migrations(connection)
        return before, known_revisions()[-1]
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error
        raise


def _revision(connection: psycopg.Connection[Any], url: str) -> str:
    versions = [str(version) for (version,) in connection.execute(f"SELECT version_num FROM {_VERSION}")]
    if len(versions) != 1:
        raise StoreBroken(url, f"it should name one schema revision, and names {len(versions)}. Bring back a backup")
    known = known_revisions()
    if versions[0] not in known:
        raise StoreNewer(
            url,
            f"a newer release of orchestra_graph made its schema: it is {versions[0]}, and this release knows "
            f"{known[-1]}. Nothing was changed. Upgrade:   pip install --upgrade orchestra-graph",
        )
    return versions[0]


def _refuse_foreign(tables: list[str], schema: str, url: str) -> None:
    if not tables:
        return
    raise StoreBroken(
        url,
        f"the schema '{schema}' is not one of orchestra_graph (its tables: {', '.join(tables[:5])}). Nothing was "
        f"changed. Give the runs a schema of their own:   CREATE SCHEMA orchestra   and add to the URL   "
        f"?options=-csearch_path%3Dorchestra,public",
    )
