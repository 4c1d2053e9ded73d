"""Locks that die with their process: ``flock`` on small files beside the database.

Rule 1. Only who holds the lock of a file deletes the file.
Rule 2. Who gets the lock of a file that was deleted meanwhile has got nothing, and begins anew with the path.
Rule 3. A process that was forked closes what it inherited. The lock belongs to the open file, not to the process: a
child that kept it open would keep a dead parent's lock alive. (Closing takes nothing from the parent; a program that
is started never inherits it.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref
from pathlib import Path

__all__ = ["FileLock", "is_held"]

_RETRY = 0.01


class FileLock:
    """A lock that this process holds until `drop`, or until it dies."""

    def __init__(self, path: Path, descriptor: int):
        self._path = path
        self._descriptor = descriptor
        _all_held.add(self)

    @classmethod
    def take(cls, path: Path, *, timeout: float) -> FileLock | None:
        """Take the lock of *path*, which is created where it is missing; blocks the thread.

        Returns:
            The lock, or None if somebody else held it all the time.

        Raises:
            OSError: The file cannot be created or locked.
        """
        deadline = time.monotonic() + timeout
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if _try_lock(descriptor) and _is_still(path, descriptor):
                return cls(path, descriptor)
            os.close(descriptor)
            if time.monotonic() >= deadline:
                return None
            time.sleep(_RETRY)

    def drop(self) -> None:
        """Delete the file and give the lock up; does nothing the second time."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):  # the directory may be gone, or read-only by now
            if _is_still(self._path, self._descriptor):
                self._path.unlink()
        self._close()

    def abandon(self) -> None:
        """Give the lock up, and leave the file, as a process that dies does."""
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock of *path*. The file of a dead one is deleted.

    For a moment the lock is held by the one who asks, so two who ask at once could take each other for the owner. Ask
    only inside of a write transaction of the database.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except PermissionError:  # another user's, who may well be alive
            return True
        try:
            if not _try_lock(descriptor):
                return True
            if _is_still(path, descriptor):
                with contextlib.suppress(OSError):  # dead, whether or not we may tidy up after it
                    path.unlink()
                return False
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that the path names now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


_all_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    for lock in list(_all_held):
        lock._close()


os.register_at_fork(after_in_child=_forget_in_child)
