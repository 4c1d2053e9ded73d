"""A thread with one PostgreSQL connection, which is made when it is first needed, and again when it was lost."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from orchestra_graph.store.door import Reply
from orchestra_graph.store.pg_connect import Target
from orchestra_graph.store.pg_faults import is_lost

__all__ = ["Door", "Patience"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


class Patience:
    """How long one goes on to look for a server that is away: its time begins with the first pause."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._until: float | None = None
        self._pause = _FIRST_PAUSE

    def wait(self) -> bool:
        """Wait a little, each time longer; False, at once, where the time is over."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        if now >= self._until:
            return False
        time.sleep(min(self._pause, self._until - now))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return True


class Door:
    """The thread and its connection. What is said to be in the thread is never called from outside of it."""

    def __init__(self, target: Target, *, idle: float | None = None):
        """Without a connection and without a thread.

        Args:
            target: The database.
            idle: See `Target.connect`.
        """
        self._target = target
        self._idle = idle
        self._connection: psycopg.Connection[Any] | None = None
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any], Reply] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def hand_over(self, work: Callable[[], Any], reply: Reply) -> None:
        """Have *work* done in the thread after all that was handed over before; does not wait."""
        if self._thread is None:
            # A store that was never closed shall not keep the process from ending.
            self._thread = threading.Thread(target=self._work, name="orchestra-postgres", daemon=True)
            self._thread.start()
        self._queue.put((work, reply))

    def ask(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Have *work* done in the thread; its result."""
        future = asyncio.get_running_loop().create_future()
        self.hand_over(work, future)
        return future

    async def close(self) -> None:
        """Close the connection, when all is done that was handed over. Not to be cancelled."""
        if self._thread is None:
            return
        await self.ask(self.drop)
        self._queue.put(None)
        thread, self._thread = self._thread, None
        thread.join()

    # -- in the thread -------------------------------------------------------------------------------

    def connection(self) -> psycopg.Connection[Any]:
        """The connection, in autocommit mode; a new one where there is none.

        Raises:
            psycopg.Error: It cannot be made.
        """
        if self._connection is not None and not (self._connection.closed or self._connection.broken):
            return self._connection
        self.drop()
        self._connection = self._target.connect(idle=self._idle)
        return self._connection

    def reconnect(self, patience: Patience) -> psycopg.Connection[Any]:
        """A new connection, however long the server is away.

        Raises:
            psycopg.Error: It was away for longer than one was patient.
        """
        self.drop()
        while True:
            try:
                return self.connection()
            except psycopg.Error as error:
                if not is_lost(error) or not patience.wait():
                    raise

    def drop(self) -> None:
        """Close the connection, whatever state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            work, reply = job
            told: Callable[[Any], None] = reply.set_result
            found: Any
            try:
                found = work()
            except BaseException as error:
                found, told = error, reply.set_exception
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody is there to be told
                reply.get_loop().call_soon_threadsafe(_tell, reply, told, found)
            del job, work, reply, told, found


def _tell(reply: Reply, told: Callable[[Any], None], found: Any) -> None:
    if not reply.done():
        told(found)
