"""Bringing a SQLite file up to date when it is opened. Everything here blocks; it runs in a thread.

Rule 1. A file is looked at through a read-only connection first. One that is newer than this release, damaged, or
somebody else's is refused, and nothing in it is changed.
Rule 2. Our files carry an application id (https://www.sqlite.org/pragma.html#pragma_application_id). A database
without it that has tables belongs to somebody: no table of ours is added to it. A wrong ``--db`` must not leave
anything behind.
Rule 3. One process at a time brings a file up to date, in one transaction: a crash leaves it as it was.
Rule 4. Alembic is imported only when there is something to do: its import takes longer than everything else here.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestra_graph.errors import EngineBug, StoreBroken, StoreBusy, StoreError, StoreNewer
from orchestra_graph.store.faults import store_error
from orchestra_graph.store.locks import FileLock

__all__ = ["bring_up_to_date", "known_revisions", "migrations_folder", "revision_of", "run_migrations"]

APPLICATION_ID = 0x4F726368  # "Orch"; written by the first migration
PAGE_SIZE = 8192  # a third less space for events of 1 KB than 4096
_PATIENCE = 60.0
_SECOND_LOOK = 0.05

_alembic = threading.Lock()  # Alembic keeps what it is doing in a global variable


def bring_up_to_date(path: Path, url: str) -> None:
    """Make *path* a database of this release, or see that it is one.

    Raises:
        StoreBroken: It is no database, or damaged, or somebody else's.
        StoreNewer: A newer release wrote it.
        StoreBusy: Another process has been bringing it up to date for a minute.
        StoreError: It cannot be read or made.
    """
    try:
        if not _is_up_to_date(path, url):
            _migrate_alone(path, url)
    except sqlite3.Error as error:
        raise store_error(url, error) from error
    except OSError as error:
        raise StoreError(url, f"{error.filename or path} cannot be made or read: {error.strerror}") from error


def migrations_folder() -> Path:
    """The Alembic scripts: inside of the package where it is installed, beside it in the source tree."""
    package = Path(__file__).parent.parent
    places = (package / "migrations", package.parent / "migrations")
    for place in places:
        if (place / "env.py").is_file():
            return place
    raise EngineBug(f"the migrations are missing; they should be in {places[0]}")


def known_revisions() -> list[str]:
    """The revisions of this release, the newest last. A revision is the number that its file's name begins with."""
    return sorted(path.name.partition("_")[0] for path in (migrations_folder() / "versions").glob("[0-9]*.py"))


# -- looking -----------------------------------------------------------------------------------------


def revision_of(path: Path, url: str) -> str | None:
    """The revision of a file of ours; None where there is no file yet, or an empty one.

    Raises:
        StoreBroken: It is no database, or damaged, or somebody else's.
        StoreNewer: A newer release wrote it.
        StoreError: It cannot be read.
    """
    try:
        return _known_revision(path, url)
    except sqlite3.Error as error:
        raise store_error(url, error) from error
    except OSError as error:
        raise StoreError(url, f"{error.filename or path} cannot be read: {error.strerror}") from error


def _is_up_to_date(path: Path, url: str) -> bool:
    return _known_revision(path, url) == known_revisions()[-1]


def _known_revision(path: Path, url: str) -> str | None:
    try:
        revision = _revision(path, url)
    except (sqlite3.DatabaseError, StoreBroken):
        # Another process may have been in the middle of making the file, or of copying the first write-ahead log into
        # it, which there was no sign of when we looked. Both take a moment only.
        time.sleep(_SECOND_LOOK)
        revision = _revision(path, url)
    known = known_revisions()
    if revision is not None and revision not in known:
        raise StoreNewer(
            url,
            f"a newer release of orchestra_graph wrote this database: its schema is {revision}, and this release knows "
            f"{known[-1]}. Nothing was changed. Upgrade:   pip install --upgrade orchestra-graph",
        )
    return revision


def _revision(path: Path, url: str) -> str | None:
    """The revision of our file; None where there is no file yet, or an empty one."""
    if path.is_dir():
        raise StoreError(url, f"{path} is a directory. Name a file:   {url.rstrip('/')}/runs.db")
    if not path.parent.is_dir():
        raise StoreError(url, f"the directory {path.parent} does not exist. Make it:   mkdir -p {path.parent}")
    if not path.exists() or not path.stat().st_size:
        return None
    _check_header(path, url)
    with contextlib.closing(_read_only(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        (application,) = database.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            _refuse_foreign(tables, application, url)
            return None
        versions = database.execute("SELECT version_num FROM alembic_version").fetchall()
    if len(versions) != 1:
        raise StoreBroken(url, f"it should name one schema revision, and names {len(versions)}. Bring back a backup")
    return str(versions[0][0])


def _check_header(path: Path, url: str) -> None:
    """Refuse what SQLite would take for an empty database, and write over: a file that is shorter than a page.

    See https://www.sqlite.org/fileformat.html#the_database_header.
    """
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0"):
        raise StoreBroken(url, "this file is no SQLite database. Use another file, or move this one away")
    page_size = int.from_bytes(header[16:18], "big")
    if len(header) < 100 or path.stat().st_size < (65536 if page_size == 1 else page_size):
        raise StoreBroken(url, "this SQLite file is damaged: it ends within its first page. Bring back a backup")


def _read_only(path: Path) -> sqlite3.Connection:
    """A connection that leaves nothing behind, not even the files that SQLite keeps beside a database in use."""
    # Without a write-ahead log nobody is writing, and the file alone is the whole database.
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro{alone}", uri=True)


def _refuse_foreign(tables: list[str], application: int, url: str) -> None:
    if not tables and not application:
        return
    shown = ", ".join(sorted(tables)[:5]) or "none"
    raise StoreBroken(
        url,
        f"this database is not one of orchestra_graph (its tables: {shown}). Nothing was changed. "
        f"Give the runs a file of their own:   sqlite:///runs.db",
    )


# -- changing ----------------------------------------------------------------------------------------


def _migrate_alone(path: Path, url: str) -> None:
    if not os.access(path.parent, os.W_OK):
        raise StoreError(url, f"the directory {path.parent} cannot be written to, and a database must be made in it")
    lock = FileLock.take(path.with_name(f"{path.name}-migrate.lock"), timeout=_PATIENCE)
    if lock is None:
        raise StoreBusy(
            url, f"another process has been bringing it up to date for {_PATIENCE:.0f} seconds. End it and try again"
        )
    try:
        if not _is_up_to_date(path, url):  # another process may have done it while we waited
            _migrate(path)
    finally:
        lock.drop()


def run_migrations(connection: Any) -> None:
    """Bring the schema behind a SQLAlchemy connection up to date, inside of the transaction that is open on it."""
    import alembic.command
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _alembic:
        alembic.command.upgrade(config, "head")


def _migrate(path: Path) -> None:
    from sqlalchemy import NullPool, create_engine, event
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import DBAPIError

    engine = create_engine(
        URL.create("sqlite", database=str(path)), poolclass=NullPool, connect_args={"isolation_level": None}
    )

    def prepare(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")

    event.listen(engine, "connect", prepare)
    # With isolation_level=None the sqlite3 module begins nothing by itself, and DDL is part of the transaction, too.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            run_migrations(connection)
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error
        raise
