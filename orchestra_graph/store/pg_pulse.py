"""The one connection on which a store hears what others wrote, and says that it lives.

Rule 1. The time that decides is the database's: the lease of the engine's row. It is renewed three times as often as it
has to be.
Rule 2. Who cannot renew it for a whole lease, by the clock of this process, owns nothing any more: it says so (`lost`)
before anybody looks at the database.
Rule 3. At each renewal what is owned is compared with what this store believes: a run that somebody took is lost.
Rule 4. A message that says something was written may be missed while the connection is away: a new connection is news.
So is every `_POLL`, for those whose messages are lost on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Any

import psycopg

from orchestra_graph.store import pg_sql
from orchestra_graph.store.changes import Changes
from orchestra_graph.store.pg_connect import Target
from orchestra_graph.store.pg_ledger import Member
from orchestra_graph.store.pg_writer import Wire

__all__ = ["Pulse"]

_POLL = 15.0
_BEATS = 3  # in a lease
_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Pulse:
    """Hears and beats, in a task of its own, from `start` to `stop`."""

    def __init__(
        self,
        target: Target,
        wire: Wire,
        member: Member,
        changes: Changes,
        answers: Changes,
        lost: Callable[[Collection[int]], None],
        come_back: Callable[[], None],
    ):
        """Without a connection.

        Args:
            target: The database.
            wire: What others tell.
            member: Who lives.
            changes: Is told when anybody wrote something.
            answers: Is told when anybody answered, or sent a message.
            lost: Called with the runs that are not owned any more.
            come_back: Called when the database can be reached again after a lapse.
        """
        self._target, self._wire, self._member = target, wire, member
        self._changes, self._answers = changes, answers
        self._lost, self._come_back = lost, come_back
        self._owned: dict[int, int] = {}
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    async def wait(self, changes: Changes, seconds: float) -> bool:
        """Wait for news of one kind, of others' making, too; see `Store.changes`."""
        return await changes.wait(seconds)

    async def start(self) -> None:
        """Connect, and begin to hear.

        Raises:
            psycopg.Error: There is no connection to be had.
        """
        connection = await self._connect()
        self._task = asyncio.create_task(self._live(connection), name="orchestra-pulse")

    async def stop(self) -> None:
        """Hear and beat no more. Not to be cancelled."""
        self._disarm()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # -- what is owned -------------------------------------------------------------------------------

    def owns(self, run: int, epoch: int) -> None:
        """This store became the owner of a run just now."""
        self._owned[run] = epoch
        if self._deadline is None:
            self._renewed(self._loop.time())

    def disowns(self, run: int) -> None:
        """It is not, or will not be in a moment."""
        self._owned.pop(run, None)

    # -- inside --------------------------------------------------------------------------------------

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(self._target.words, autocommit=True)
        try:
            for setting in self._target.settings():
                await connection.execute(setting)
            await connection.execute(f'LISTEN "{self._wire.channel}"'.encode())
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _live(self, connection: psycopg.AsyncConnection[Any] | None) -> None:
        pause = _PAUSE
        while True:
            try:
                if connection is None:
                    connection = await self._connect()
                    pause = _PAUSE
                await self._attend(connection)
            except (psycopg.Error, OSError):
                self._news()  # who waits shall meet the error itself, by reading
            finally:
                if connection is not None:
                    with contextlib.suppress(psycopg.Error, OSError):
                        await connection.close()
                connection = None
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _attend(self, connection: psycopg.AsyncConnection[Any]) -> None:
        next_poll = self._loop.time() + _POLL
        self._heard_first(connection)
        while True:
            beat = self._loop.time() + self._member.lease / _BEATS
            await self._beat(connection)
            while (left := min(beat, next_poll) - self._loop.time()) > 0:
                async for told in connection.notifies(timeout=left):
                    self._hear(told.payload)
            if self._loop.time() >= next_poll:
                next_poll = self._loop.time() + _POLL
                self._news()

    def _heard_first(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """What was written while there was no connection is news, but for the first one: that is there at the start."""
        if self._was_connected:
            self._news()
        self._was_connected = True

    _was_connected = False

    def _hear(self, payload: str) -> None:
        is_news, is_answer = self._wire.hear(payload)
        if is_news:
            self._changes.happened()
            if is_answer:
                self._answers.happened()

    def _news(self) -> None:
        self._changes.happened()
        self._answers.happened()

    async def _beat(self, connection: psycopg.AsyncConnection[Any]) -> None:
        me = self._member
        if not me.signed_in:
            return
        if me.left:
            self._come_back()
        before, believed = self._loop.time(), dict(self._owned)
        renewed = await connection.execute(pg_sql.RENEW.encode(), (me.lease, me.id))
        if not renewed.rowcount:
            self._lapse()
            self._come_back()
            return
        self._renewed(before)
        found = await (await connection.execute(pg_sql.OWNED.encode(), (me.id,))).fetchall()
        owned = dict(found)
        gone = [run for run, epoch in believed.items() if owned.get(run) != epoch and self._owned.get(run) == epoch]
        self._lose(gone)

    def _renewed(self, at: float) -> None:
        self._disarm()
        self._deadline = self._loop.call_at(at + self._member.lease, self._lapse)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _lapse(self) -> None:
        self._disarm()
        self._member.left.update(self._owned)
        self._lose(list(self._owned))

    def _lose(self, runs: Collection[int]) -> None:
        for run in runs:
            self._owned.pop(run, None)
        if runs:
            self._lost(runs)
