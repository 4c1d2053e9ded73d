"""A run that kills whoever drives it is left alone, until a person lets it go on."""

from __future__ import annotations

from orchestra_graph.core import events as ev
from orchestra_graph.core.run import RunState
from orchestra_graph.runtime.blobs import log_row
from orchestra_graph.runtime.journal import text
from orchestra_graph.store.base import Append, LogRow, RunRow, Store

__all__ = ["park"]

_FEW = 5


async def park(store: Store, row: RunRow, run: RunState, at: float) -> list[LogRow]:
    """End a run as ``dead``, and give it up. Its questions stay open, and all that was done is kept.

    Args:
        store: Where it is.
        row: The run, owned by this engine.
        run: Its state: as it was when each of its owners died, for nothing has come of them.
        at: Seconds since the epoch.

    Returns:
        The rows that were written.
    """
    why = _reason(run, row.claims)
    logged = log_row(run.seq, ev.RunEnded(at=at, status="dead", reason=why))
    note = text({"reason": why, "deaths": row.claims})
    # What is counted begins anew with whoever retries it.
    change = Append(
        run=row.number, epoch=row.epoch, rows=[logged.row], status="dead", note=note, release=True, moved=True
    )
    await store.append(change)
    return [logged.row]


def _reason(run: RunState, deaths: int) -> str:
    """What may be to blame. Starts are not logged: it is whatever could have been running."""
    suspects = [f"`{a.id}`" for a in run.live.values() if a.status in ("ready", "running")]
    listed = ", ".join(suspects[:_FEW]) + (f" and {len(suspects) - _FEW:,} more" if len(suspects) > _FEW else "")
    doing = f"was running {listed}" if suspects else "was running nothing yet"
    return f"{doing} when {deaths} owners in a row died"
