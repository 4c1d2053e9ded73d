"""The store in a PostgreSQL database.

Rule 1. All writes of an open store go through one connection (`PgWriter`), but for those of a node's own transaction,
which has a connection to itself (`PgTransaction`).
Rule 2. A run is owned under the lease of an engine, by the database's clock; every append locks the row of its run and
sees that it is still the owner's. A process that stood still and wakes up writes nothing.
Rule 3. The schema is never changed by opening a store.
Rule 4. A store belongs to the event loop and to the process that opened it. Do not carry it over a fork: open another
one there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from orchestra_graph.clock import Clock, SystemClock
from orchestra_graph.errors import StoreError
from orchestra_graph.store import pg_sql
from orchestra_graph.store.base import Append, Fenced, NewRun, RunRow, Transaction
from orchestra_graph.store.changes import Changes
from orchestra_graph.store.patience import to_the_end
from orchestra_graph.store.pg_connect import Target, channel_of
from orchestra_graph.store.pg_door import Door
from orchestra_graph.store.pg_faults import is_not_ready
from orchestra_graph.store.pg_ledger import Member, PgLedger, session_name
from orchestra_graph.store.pg_migrate import Schema, check
from orchestra_graph.store.pg_pen import Pen
from orchestra_graph.store.pg_pulse import Pulse
from orchestra_graph.store.pg_readers import PgReaders
from orchestra_graph.store.pg_transaction import PgTransaction, Slots
from orchestra_graph.store.pg_writer import PgWriter, Wire
from orchestra_graph.store.sql_store import Opened, SqlStore
from orchestra_graph.store.statements import POSTGRES

__all__ = ["PostgresStore"]

_READERS = 4
_TRANSACTIONS = 8
_STARTING = 10.0
_LEASE = 30.0


@dataclass(frozen=True, slots=True)
class _Open(Opened):
    door: Door  # the writer's
    pen: Pen
    member: Member
    pulse: Pulse
    slots: Slots


class PostgresStore(SqlStore):
    """A `Store` in one schema of a PostgreSQL database, used by any number of processes on any number of machines."""

    def __init__(
        self,
        url: str,
        *,
        durability: Literal["normal", "full"] = "normal",
        clock: Clock | None = None,
        lease: float = _LEASE,
    ):
        """Name the database; nothing is opened yet.

        Args:
            url: ``postgresql://user:password@host/database``. The tables lie in the first schema of the search path:
                ``?options=-csearch_path%3Dorchestra`` chooses one.
            durability: ``"normal"``: as the server is set, and where a change asks for it at least the loss of power is
                survived; ``"full"``: by every commit.
            clock: Where the time in the rows comes from. What decides who owns a run is the database's clock.
            lease: Seconds after which an owner that said nothing is taken for dead. Also how long a server that is away
                is waited for.

        Raises:
            StoreError: It is no URL of a PostgreSQL database.
        """
        super().__init__(url, POSTGRES)
        self._durability = durability
        self._clock: Clock = clock or SystemClock()
        self._lease = lease
        Target(url, name="orchestra")  # is it one?

    async def __aenter__(self) -> PostgresStore:
        """Connect, and see that the schema is that of this release."""
        if self._open is not None:
            raise StoreError(self.url, "this store is open already. Open another one on the same database")
        try:
            await to_the_end(self._start())
        except asyncio.CancelledError:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: Any) -> None:
        """Finish what was queued, give up every ownership, close."""
        opened, self._open = self._open, None
        if opened is not None:
            assert isinstance(opened, _Open)
            await to_the_end(self._stop(opened))

    # -- what is owned -------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        run, created = await super().create(new)
        if created:
            self._here().pulse.owns(run.number, run.epoch)
        return run, created

    async def claim(self, run: int) -> RunRow:
        """See `Store.claim`."""
        row = await super().claim(run)
        self._here().pulse.owns(row.number, row.epoch)
        return row

    async def append(self, change: Append) -> None:
        """See `Store.append`."""
        opened = self._here()
        if change.release:
            opened.pulse.disowns(change.run)
        try:
            if change.within is None:
                await super().append(change)
            else:
                await self._append_within(opened, change, change.within)
        except Fenced:
            opened.pulse.disowns(change.run)
            raise
        except StoreError:
            if change.release:
                opened.pulse.owns(change.run, change.epoch)
            raise

    async def crash(self) -> None:
        """Die as a process does by ``kill -9``, for tests: nothing is given up, and what was queued is lost.

        What is in a transaction at this moment is stored, or not, as always. The lease is over at once.
        """
        opened, self._open = self._open, None
        if opened is not None:
            assert isinstance(opened, _Open)
            await to_the_end(self._die(opened))

    async def _append_within(self, opened: _Open, change: Append, within: Transaction) -> None:
        if not isinstance(within, PgTransaction):
            raise StoreError(self.url, "the transaction that the change is to be stored in is one of another store")
        turn = opened.writer.hold_run(change.run)  # in the order of the calls
        await to_the_end(within.store(change, turn))

    # -- transactions of nodes -----------------------------------------------------------------------

    async def begin(self, run: int, epoch: int) -> Transaction:
        """See `Store.begin`."""
        return await self._here().slots.begin(run, epoch)

    # -- looking after it ----------------------------------------------------------------------------

    async def compact(self) -> None:
        """See `Store.compact`: the room of what was removed is used again; the server gives some back to the disk."""
        opened = self._here()
        try:
            await opened.door.ask(lambda: _vacuum(opened.door))
        except psycopg.Error as error:
            raise opened.slots.target.fault(error) from error

    async def _may_some_be_dead(self, opened: Opened) -> bool:
        return bool(await self._read(pg_sql.COUNT_DEAD))

    # -- inside --------------------------------------------------------------------------------------

    def _here(self) -> _Open:
        opened = self._now()
        assert isinstance(opened, _Open)
        return opened

    async def _start(self) -> None:
        member = Member(self._lease)
        target = Target(self.url, name=session_name(member.id), durability=self._durability)
        door = Door(target, idle=self._lease)
        try:
            schema = await door.ask(lambda: _look(door, self.url))
            opened = self._set_up(target, door, member, schema)
            await opened.pulse.start()
        except psycopg.Error as error:
            await door.close()
            raise target.fault(error) from error
        except BaseException:
            await door.close()
            raise
        self._open = opened

    def _set_up(self, target: Target, door: Door, member: Member, schema: Schema) -> _Open:
        changes, answers = Changes(), Changes()
        wire = Wire(channel_of(schema.name), member.id)
        pen = Pen(door, target, f"{member.id}/0", self._lease)
        ledger = PgLedger(self.url, member, self._clock)
        writer = PgWriter(door, pen, target, wire, changes.happened)

        def come_back() -> None:
            left = dict(member.left)

            def given_up(done: asyncio.Future[Any]) -> None:
                if not done.cancelled() and done.exception() is None:
                    for run, epoch in left.items():
                        if member.left.get(run) == epoch:
                            del member.left[run]

            writer.submit(ledger.come_back, left).add_done_callback(given_up)

        pulse = Pulse(target, wire, member, changes, answers, self._tell_lost, come_back)
        readers = PgReaders(target, _READERS, self._lease)
        slots = Slots(target, ledger, writer, wire, member, changes.happened, _TRANSACTIONS, self._lease)
        return _Open(readers, ledger, writer, changes, answers, pulse, door, pen, member, pulse, slots)

    async def _die(self, opened: _Open) -> None:
        opened.writer.forget()
        await opened.writer.finish()
        await opened.pulse.stop()
        await opened.slots.close()
        with contextlib.suppress(psycopg.Error):
            await opened.door.ask(lambda: opened.door.connection().execute(pg_sql.END_LEASE, (opened.member.id,)))
        await opened.readers.close()
        await opened.door.close()

    def _tell_lost(self, runs: Collection[int]) -> None:
        if self.lost is not None:
            self.lost(runs)

    async def _stop(self, opened: _Open) -> None:
        opened.changes.happened()  # whoever waits for a change shall wait no longer
        opened.answers.happened()
        await opened.writer.finish()
        await opened.slots.close()
        if opened.member.signed_in:
            # Where this cannot be stored, the lease says it: nobody waits for an engine whose lease is over.
            with contextlib.suppress(StoreError):
                await opened.writer.submit(opened.ledger.sign_out, None)
        await opened.pulse.stop()
        with contextlib.suppress(psycopg.Error):
            await opened.door.ask(lambda: _unmark(opened.door, opened.member))
        await opened.readers.close()
        await opened.door.close()


def _look(door: Door, url: str) -> Schema:
    from orchestra_graph.store.pg_door import Patience

    patience = Patience(_STARTING)
    while True:
        try:
            return check(door.connection(), url)
        except psycopg.Error as error:
            if not is_not_ready(error) or not patience.wait():
                raise


def _unmark(door: Door, member: Member) -> None:
    door.connection().execute(pg_sql.UNMARK.encode(), (f"{member.id}/%",))


def _vacuum(door: Door) -> None:
    for table in ("events", "snapshots", "questions", "inbox", "blob_uses", "blobs", "node_cache", "runs", "graphs"):
        door.connection().execute(f"VACUUM (ANALYZE) {table}".encode())
