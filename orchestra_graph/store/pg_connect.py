"""Connections to PostgreSQL."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from orchestra_graph.errors import StoreError
from orchestra_graph.store.pg_faults import store_error

__all__ = ["Target", "channel_of", "connection_words"]

# A lost connection is told by our own errors; where nobody has set up logging, Python would print psycopg's, too.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")
_DEFAULTS = {
    "connect_timeout": "10",
    # A server that is gone without a word is noticed within half a minute.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}


def connection_words(url: str) -> str:
    """What libpq connects with.

    Raises:
        StoreError: It is no URL of a PostgreSQL database.
    """
    scheme = next((s for s in _SCHEMES if url.startswith(s)), None)
    if scheme is None:
        raise StoreError(
            url, "this is not the URL of a PostgreSQL database:   postgresql://user:password@host/database"
        )
    try:
        given = psycopg.conninfo.conninfo_to_dict(f"postgresql://{url[len(scheme) :]}")
    except psycopg.ProgrammingError as error:
        raise StoreError(url, f"this URL is not understood: {error}") from error
    return make_conninfo("", **{**_DEFAULTS, **{name: value for name, value in given.items() if value is not None}})


def channel_of(schema: str) -> str:
    """The name of the channel on which the stores of one schema tell each other of what they wrote."""
    return f"orchestra_{hashlib.sha256(schema.encode()).hexdigest()[:24]}"


class Target:
    """A database, and how the connections of one store to it are made.

    Attributes:
        url: As it was given.
    """

    def __init__(self, url: str, *, name: str, durability: str = "normal"):
        """Name the database; nothing is opened yet.

        Args:
            url: Of the database.
            name: Says whose the connections are, to whoever looks at the server's list of them.
            durability: ``"full"``: every commit waits for the disk, whatever the server is set to.
        """
        self.url = url
        self._words = make_conninfo(connection_words(url), application_name=name)
        self._full = durability == "full"

    @property
    def words(self) -> str:
        """What libpq connects with."""
        return self._words

    def connect(self, *, idle: float | None = None) -> psycopg.Connection[Any]:
        """A new connection, in autocommit mode.

        Args:
            idle: The server ends it when it stays in a transaction for so many seconds and says nothing: a process that
                was stopped must not keep its locks.

        Raises:
            psycopg.Error: It cannot be made.
        """
        connection = psycopg.connect(self._words, autocommit=True)
        try:
            for setting in self.settings(idle):
                connection.execute(setting)
        except BaseException:
            connection.close()
            raise
        return connection

    def settings(self, idle: float | None = None) -> list[bytes]:
        """The statements that every new connection begins with."""
        found = [b"SET tcp_keepalives_idle = 10", b"SET tcp_keepalives_interval = 5", b"SET tcp_keepalives_count = 4"]
        if idle is not None:
            found.append(f"SET idle_in_transaction_session_timeout = {max(int(idle * 1000), 1)}".encode())
        if self._full:
            found.append(b"SET synchronous_commit = on")
        return [b"; ".join(found)]

    def fault(self, error: psycopg.Error) -> StoreError:
        """Our error for psycopg's."""
        return store_error(self.url, error)
