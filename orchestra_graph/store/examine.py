"""Looking at a SQLite file from outside: without opening the store, and without changing anything.

For `orchestra doctor`, which must be able to say what is wrong with a file that no store would open, and for a shell
that completes a word, for which opening a store takes too long.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from orchestra_graph.errors import StoreError
from orchestra_graph.store.faults import store_error
from orchestra_graph.store.identity import Identity
from orchestra_graph.store.migrate import APPLICATION_ID, known_revisions
from orchestra_graph.store.place import sqlite_path

__all__ = ["Findings", "Owned", "examine", "keys_in", "questions_in", "size_on_disk"]

_PATIENCE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A run that somebody is said to drive.

    Attributes:
        key: The run.
        process: The process and its machine, as it said itself; empty where nothing is known of it.
        alive: Whether that process is still there; None where that cannot be asked now.
    """

    key: str
    process: str
    alive: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What there is to know of a database file.

    Attributes:
        path: The file.
        bytes: Its size, with what SQLite keeps beside it.
        ours: Whether it says that it is a database of this library.
        revision: Of its schema; None where it has none.
        newest: The revision that this release makes.
        known: Whether this release knows the revision.
        journal: ``wal``, as it should be, or ``rollback``.
        writable: Whether this user may write to the file and to its directory.
        damage: What SQLite's own check found, a line each; empty when all is well.
        free: Bytes that the disk still has room for.
        runs: How many runs have which status.
        owned: The runs that have an owner.
    """

    path: Path
    bytes: int
    ours: bool
    revision: str | None
    newest: str
    known: bool
    journal: str
    writable: bool
    damage: tuple[str, ...]
    free: int
    runs: dict[str, int]
    owned: tuple[Owned, ...]


def examine(url: str) -> Findings:
    """Look at the file of a SQLite store; its whole content is read.

    Raises:
        StoreError: It is no SQLite file, or cannot be read.
    """
    path, newest = sqlite_path(url), known_revisions()
    with _reading(url) as database:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        said = [str(line) for (line,) in database.execute("PRAGMA integrity_check(5)")]
        ours = application == APPLICATION_ID
        revision = _revision(database) if ours else None
        readable = ours and revision in newest
        counts = database.execute("SELECT status, count(*) FROM runs GROUP BY status") if readable else ()
        runs = {str(status): int(count) for status, count in counts}
    return Findings(
        path=path,
        bytes=sum(part.stat().st_size for part in _parts(path)),
        ours=ours,
        revision=revision,
        newest=newest[-1],
        known=revision in newest,
        journal=_journal(path),
        writable=os.access(path, os.W_OK) and os.access(path.parent, os.W_OK),
        damage=() if said == ["ok"] else tuple(said),
        free=shutil.disk_usage(path.parent).free,
        runs=runs,
        owned=_owned(path, url) if readable else (),
    )


def size_on_disk(url: str) -> int | None:
    """The bytes of a SQLite store, with what SQLite keeps beside the file; None for a store of another kind."""
    if not url.startswith("sqlite"):
        return None
    return sum(part.stat().st_size for part in _parts(sqlite_path(url)))


def keys_in(url: str, begun: str, most: int) -> list[tuple[str, str]]:
    """Keys of runs that begin so, the newest first, with their status."""
    with _reading(url) as database:
        return database.execute(
            "SELECT key, status FROM runs WHERE substr(key, 1, length(?1)) = ?1 ORDER BY id DESC LIMIT ?2",
            (begun, most),
        ).fetchall()


def questions_in(url: str, key: str, most: int) -> list[tuple[str, str]]:
    """The ids of the open questions of a run, the oldest first, with what they ask."""
    with _reading(url) as database:
        return database.execute(
            "SELECT questions.name, questions.prompt FROM questions JOIN runs ON runs.id = questions.run "
            "WHERE runs.key = ? AND questions.status = 'open' ORDER BY questions.id LIMIT ?",
            (key, most),
        ).fetchall()


@contextlib.contextmanager
def _reading(url: str) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write. Without a write-ahead log it makes no files beside the database, either."""
    path = sqlite_path(url)
    alone = "" if _beside(path, "-wal").exists() else "&immutable=1"
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro{alone}", uri=True, timeout=_PATIENCE)
        ) as database:
            yield database
    except sqlite3.Error as error:
        raise store_error(url, error) from error


def _journal(path: Path) -> str:
    """Out of the header of the file: a connection that cannot write may not see it."""
    with path.open("rb") as file:
        return "wal" if file.read(20)[18:20] == b"\2\2" else "rollback"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _parts(path: Path) -> list[Path]:
    return [part for part in (path, _beside(path, "-wal"), _beside(path, "-shm")) if part.exists()]


def _revision(database: sqlite3.Connection) -> str | None:
    found = database.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(found[0][0]) if len(found) == 1 else None


_OWNED = (
    "SELECT runs.key, runs.owner, engines.pid, engines.host FROM runs LEFT JOIN engines ON engines.id = runs.owner "
    "WHERE runs.owner IS NOT NULL ORDER BY runs.id"
)


def _owned(path: Path, url: str) -> tuple[Owned, ...]:
    """The runs with an owner. Whether one is alive may be asked inside of a write transaction only; see `locks`."""
    with _reading(url) as database:
        rows = database.execute(_OWNED).fetchall()
    if not rows:
        return ()
    alive: dict[str, bool] = {}
    writing = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    with contextlib.closing(writing) as database, contextlib.suppress(sqlite3.Error, StoreError):
        database.execute("BEGIN IMMEDIATE")
        rows = database.execute(_OWNED).fetchall()
        identity = Identity(path, url)
        alive = {owner: identity.is_alive(owner) for _, owner, _, _ in rows}
        database.execute("ROLLBACK")
    return tuple(
        Owned(key=key, process="" if pid is None else f"{pid} on {host}", alive=alive.get(owner))
        for key, owner, pid, host in rows
    )
