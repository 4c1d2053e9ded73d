"""Transactions of nodes on the database of the store: what a node does there is stored with its result, or not at all.

Rule 1. A transaction ends with the node: by the append of its result, or undone. A block that was left without an
error leaves it open until then.
Rule 2. Of one run there is one at a time, and while it is there nothing else is appended to the run (see `Desk`): on a
database with one writer the append would wait for the transaction, and the transaction for the append.
Rule 3. Others wait while it is open. So its time is bounded: after that it is undone, and the node has failed.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any

from orchestra_graph.errors import StepRefused, StoreBusy, StoreError
from orchestra_graph.runtime.steps import Attempt, ByHand
from orchestra_graph.store.base import Transaction
from orchestra_graph.store.patience import to_the_end

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SECONDS", "NodeTransaction", "SyncTransaction"]

SECONDS = 5.0
"""For how long a transaction may be open where nothing else is said; less than others wait for the database."""


class NodeTransaction:
    """What ``async with ctx.transaction() as tx:`` gives: SQL on the store's own database.

    What is done in the block is committed with the node's result, in one transaction, and so exactly once. Where the
    node fails, is cancelled, or does not drive the run any more, nothing of it is.
    """

    def __init__(self, attempt: Attempt | ByHand, seconds: float):
        self._attempt, self._seconds = attempt, seconds
        self._open: Transaction | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._undoing: asyncio.Task[None] | None = None
        self._error: StoreError | None = None
        self._inside = self._seated = self._ended = False

    async def execute(self, statement: Any, parameters: Any = None) -> list[Any]:
        """Run one statement.

        Args:
            statement: SQL with ``:name`` parameters, or a statement of SQLAlchemy Core. Tables of this library may be
                read, and not changed.
            parameters: A mapping of their values, or a list of such: the statement is run for each.

        Returns:
            The rows that it gives, as named tuples; empty where it gives none.

        Raises:
            StoreError: The database refuses. The transaction is over with that: the block cannot be left without an
                error any more.
            StoreBusy: The transaction was open for too long.
            StepRefused: The block was left before.
        """
        if self._error is not None:
            raise self._error
        if not self._inside or self._open is None:
            raise StepRefused(self._id, "a statement was run outside of the block of its transaction. Put it inside")
        try:
            return await self._open.execute(statement, parameters)
        except StoreError as error:
            self._error = self._error or error
            raise self._error from error.__cause__

    @property
    def _id(self) -> str:
        return self._attempt.activation.id if isinstance(self._attempt, Attempt) else ""

    # -- the block ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        attempt = self._attempt
        attempt.check_may_transact()
        assert isinstance(attempt, Attempt)
        if self._ended or self._seated:
            raise StepRefused(self._id, "a transaction was used twice. Begin another one:   ctx.transaction()")
        attempt.transaction = self
        try:
            await self._begin(attempt)
        except BaseException:
            attempt.transaction = None
            raise
        self._inside = True
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)
        return self

    async def _begin(self, attempt: Attempt) -> None:
        driving = attempt.driving
        await driving.desk.enter()
        self._seated = True
        try:
            self._open = await driving.store.begin(driving.row.number, driving.scribe.epoch)
        except BaseException:
            self._stand_up()
            raise
        if attempt.over:  # of a sync node that was left alone meanwhile
            await self.undo()
            raise StepRefused(self._id, "the node was left alone before its transaction had begun")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._error is None and self._open is not None:
            try:
                await self._open.check()
            except StoreError as refused:
                self._error = self._error or refused
        self._inside = False
        if error is None and self._error is None:
            return
        await self.undo()
        if error is None and self._error is not None:
            raise self._error

    def _expire(self) -> None:
        if self._ended:
            return
        assert isinstance(self._attempt, Attempt)
        url = self._attempt.driving.store.url
        self._error = self._attempt.trouble = StoreBusy(
            url,
            f"the transaction of {self._id} was open for longer than {self._seconds:g} s, and was undone: others wait "
            f"for it. Do what takes long before it, or give it more time:   ctx.transaction(seconds=30)",
        )
        self._end()
        assert self._open is not None
        self._undoing = asyncio.create_task(self._undo(self._open))

    # -- the end ------------------------------------------------------------------------------------

    @property
    def is_inside(self) -> bool:
        """Whether its block was not left."""
        return self._inside

    def hand_over(self) -> Transaction | None:
        """Whoever calls this ends the transaction, and gives up its turn at the desk."""
        if self._ended or self._open is None:
            return None
        self._end()
        self._seated, transaction = False, self._open
        if isinstance(self._attempt, Attempt):
            self._attempt.transaction = None
        return transaction

    async def undo(self) -> None:
        """Undo everything, once; nothing where it was handed over."""
        if self._undoing is None:
            if self._ended or self._open is None:
                return
            self._end()
            self._undoing = asyncio.create_task(self._undo(self._open))
        await to_the_end(_end_of(self._undoing))

    async def _undo(self, transaction: Transaction) -> None:
        try:
            await transaction.rollback()
        finally:
            self._stand_up()

    def _end(self) -> None:
        self._ended, self._inside = True, False
        if self._timer is not None:
            self._timer.cancel()

    def _stand_up(self) -> None:
        if self._seated and isinstance(self._attempt, Attempt):
            self._seated = False
            self._attempt.transaction = None
            self._attempt.driving.desk.leave()


async def _end_of(task: asyncio.Task[None]) -> None:
    await task


class SyncTransaction:
    """What ``with ctx.transaction_sync() as tx:`` gives to a node that is a plain function; see `NodeTransaction`."""

    def __init__(self, attempt: Attempt | ByHand, seconds: float):
        self._attempt, self._inner = attempt, NodeTransaction(attempt, seconds)

    def execute(self, statement: Any, parameters: Any = None) -> list[Any]:
        """Run one statement; see `NodeTransaction.execute`."""
        return self._bridge.bridge(self._inner.execute(statement, parameters))

    @property
    def _bridge(self) -> Attempt:
        self_attempt = self._attempt
        if isinstance(self_attempt, ByHand):
            self_attempt.check_may_transact()
        assert isinstance(self_attempt, Attempt)
        return self_attempt

    def __enter__(self) -> Self:
        self._bridge.bridge(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bridge.bridge(self._inner.__aexit__(kind, error, trace))
