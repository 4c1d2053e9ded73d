"""`Scribe`: what a driven run writes to the store, and nothing else.

Rule 1. What happens together is one append. What a node did in a transaction of its own is stored with its result.
Rule 2. Once the run may be somebody else's, nothing is written.
Rule 3. All snapshots together cost no more than the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.run import RunState
from orchestra_graph.core.snapshot import freeze
from orchestra_graph.runtime.blobs import Logged, log_row
from orchestra_graph.runtime.happening import Happening
from orchestra_graph.runtime.load import Behind, Loaded
from orchestra_graph.store.base import Append, Fenced, LogRow, QuestionStatus, RunRow, Snapshot, Store, Transaction
from orchestra_graph.store.patience import to_the_end

__all__ = ["Scribe", "row_of", "undo"]

_SNAPSHOT_ROWS = 500
_SNAPSHOT_GROWTH = 2  # a snapshot is worth writing when the log since the last one is this many times as large
_IDLE = (ev.RunResumed, ev.RunForked, ev.RunMoved, ev.NodeStarted, ev.LateResult)
"""Whoever dies behind one of these has brought the run no farther."""


class Scribe:
    """Appends to the log of one run.

    Args:
        store: Where it is kept.
        row: The run, owned by this process.
        epoch: Of that ownership.
        behind: How far the last snapshot is behind.
        status: What the store says of the run, where that is known.

    Attributes:
        epoch: Of the ownership.
        status: What the store says of the run.
        lost: The run may be somebody else's.
        on_durable: Called with log rows that have been written just now.
    """

    def __init__(self, store: Store, row: RunRow, epoch: int, behind: Behind, status: RunStatus | None):
        self.epoch, self.status, self.lost = epoch, status, False
        self.on_durable: Callable[[Sequence[LogRow]], object] | None = None
        self._store, self._run, self._key, self._claims, self._behind = store, row.number, row.key, row.claims, behind
        self._snapshot: Snapshot | None = None  # goes into the next append

    async def write(
        self,
        batch: Sequence[Happening] = (),
        logged: Sequence[Logged] = (),
        closed: Sequence[tuple[str, QuestionStatus]] = (),
        **more: Any,
    ) -> None:
        """Make what has happened durable.

        Args:
            batch: What has happened.
            logged: The log row of each.
            closed: Questions that were withdrawn by it.
            **more: Further arguments of `Append`.

        Raises:
            Fenced: The run is not ours any more.
            StoreError: It could not be written.
        """
        if self.lost:
            await undo([h.within for h in batch if h.within is not None])
            raise Fenced(f"run {self._key} may have another owner")
        if self.status != "running":  # what the store says of a run that was resting until now
            more.setdefault("status", "running")
        change = self._change(batch, logged, closed, more)
        self._snapshot = None
        await self._store.append(change)
        if self.on_durable is not None:
            self.on_durable(change.rows)
        self.status = change.status or self.status
        self._claims = 0 if change.moved else self._claims
        self._behind.rows += len(change.rows)
        self._behind.bytes += sum(len(row.body) for row in change.rows)

    def _change(
        self,
        batch: Sequence[Happening],
        logged: Sequence[Logged],
        closed: Sequence[tuple[str, QuestionStatus]],
        more: Mapping[str, Any],
    ) -> Append:
        rows = [row for row, _ in logged]
        return Append(
            run=self._run,
            epoch=self.epoch,
            rows=rows,
            snapshot=self._snapshot,
            asked=[h.asked for h in batch if h.asked is not None],
            closed=[*closed, *(h.closed for h in batch if h.closed is not None)],
            sync=any(h.sync for h in batch),
            blobs={name: body for _, blobs in logged for name, body in blobs.items()},
            cached=[h.cached for h in batch if h.cached is not None],
            moved=self._claims > 0 and not all(isinstance(h.event, _IDLE) for h in batch),
            taken=[(h.message, row.seq) for h, row in zip(batch, rows, strict=True) if h.message is not None],
            within=next((h.within for h in batch if h.within is not None), None),
            **more,
        )

    async def release(self) -> None:
        """Give the ownership up, and change nothing else."""
        await self._store.append(Append(run=self._run, epoch=self.epoch, release=True))

    def owns_again(self, row: RunRow) -> bool:
        """The run was claimed once more; whether somebody had it in between."""
        moved = row.epoch != self.epoch + 1
        self.epoch, self._claims = row.epoch, row.claims
        return moved

    def read_again(self, loaded: Loaded) -> None:
        """The state was read anew."""
        self._behind, self._snapshot = loaded.behind, None

    # -- snapshots ----------------------------------------------------------------------------------

    def take_snapshot(self, run: RunState) -> None:
        """Now and then, so that a replay is bounded."""
        if self._behind.rows >= _SNAPSHOT_ROWS and self._behind.bytes >= _SNAPSHOT_GROWTH * self._behind.size:
            self.freeze(run)

    def freeze(self, run: RunState) -> None:
        """Let a snapshot go into the next append."""
        body = freeze(run)
        self._snapshot = Snapshot(run.seq - 1, body)
        self._behind = Behind(size=len(body))


def row_of(seq: int, happening: Happening) -> Logged:
    """The log row of something that has happened, and the large values that it names."""
    event, result = happening.event, happening.result
    if happening.step is not None:
        return log_row(seq, event, step=happening.step)
    return log_row(seq, event) if result is None else log_row(seq, event, result.fragments, result.item_fragments)


async def undo(transactions: Sequence[Transaction]) -> None:
    """Roll back what was handed over, and cannot be stored."""
    for transaction in transactions:
        await to_the_end(transaction.rollback())
