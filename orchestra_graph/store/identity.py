"""Who an open store is, and whether the others are alive.

Rule 1. An engine that owns a run holds the lock of ``<database>-owner-<engine id>.lock``. The lock is free: the
engine is dead, whatever the tables say.
Rule 2. The lock is taken and asked for only inside of a write transaction of the database (see `is_held`).
Rule 3. The lock decides, not the name of the machine. A SQLite file in WAL mode can be used from one kernel only, and
all containers of that kernel see the same locks; their host names change with each restart.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from orchestra_graph.errors import StoreError
from orchestra_graph.ids import new_engine_id
from orchestra_graph.store.locks import FileLock, is_held

__all__ = ["Identity"]

_SUFFIX = ".lock"


class Identity:
    """One open store as an owner of runs.

    Attributes:
        id: The engine id; never used a second time.
        pid: Of this process.
        host: The name of this machine.
    """

    def __init__(self, database: Path, url: str):
        self.id = new_engine_id()
        self.pid = os.getpid()
        self.host = platform.node()
        self._folder = database.parent
        self._prefix = f"{database.name}-owner-"
        self._url = url
        self._lock: FileLock | None = None

    @property
    def is_secured(self) -> bool:
        """Whether this engine's own lock is held; it is from the first run that it owns."""
        return self._lock is not None

    def secure(self) -> bool:
        """Take this engine's own lock.

        Returns:
            Whether it was taken just now, rather than held already.
        """
        if self._lock is not None:
            return False
        path = self._path(self.id)
        try:
            self._lock = FileLock.take(path, timeout=1)
        except OSError as error:
            raise StoreError(
                self._url, f"the lock of this process, {path}, cannot be made: {error.strerror}"
            ) from error
        if self._lock is None:
            raise StoreError(self._url, f"another process holds the lock of this one, {path}")
        return True

    def give_up(self) -> None:
        """Let everybody have what this engine owned."""
        if self._lock is not None:
            self._lock.drop()
            self._lock = None

    def abandon(self) -> None:
        """Leave the lock as a dead process leaves it: free, and its file where it was."""
        if self._lock is not None:
            self._lock.abandon()
            self._lock = None

    def is_alive(self, engine: str) -> bool:
        """Whether an engine still runs; the file of a dead one is removed."""
        if engine == self.id:
            return True
        path = self._path(engine)
        try:
            return is_held(path)
        except OSError as error:
            raise StoreError(
                self._url, f"whether another process is alive cannot be seen from its lock, {path}: {error.strerror}"
            ) from error

    def sweep_files(self) -> None:
        """Remove the files that dead engines left behind."""
        try:
            names = os.listdir(self._folder)
        except OSError:  # a directory that may be used, but not be listed
            return
        for name in names:
            if name.startswith(self._prefix) and name.endswith(_SUFFIX):
                self.is_alive(name[len(self._prefix) : -len(_SUFFIX)])

    def _path(self, engine: str) -> Path:
        return self._folder / f"{self._prefix}{engine}{_SUFFIX}"
