"""`orchestra db prune`: remove old runs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, get_args

import click

from orchestra_graph.cli.moments import Moment
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command
from orchestra_graph.core.record import RunStatus

if TYPE_CHECKING:
    from orchestra_graph.runtime.retention import Pruned

__all__ = ["prune"]

_STATUSES = [status for status in get_args(RunStatus) if status != "running"]


@command("prune")
@click.option(
    "--older-than",
    type=Moment(),
    required=True,
    help="Only runs whose status has not changed since: 12h, 30d, 8w, 2026-03-01.",
)
@click.option(
    "--status",
    multiple=True,
    type=click.Choice(_STATUSES),
    help="Only runs of this status; may be repeated. Without it: done and cancelled.",
)
@click.option("--graph", metavar="NAME", help="Only runs of this graph.")
@click.option("--dry-run", is_flag=True, help="Say how many there are, and remove nothing.")
def prune(
    settings: Settings, older_than: datetime, status: tuple[RunStatus, ...], graph: str | None, dry_run: bool
) -> Report:
    """Remove old runs for good, with all that belongs to them.

    A run that is running, or that somebody drives, is never removed. It is done in small transactions, so that whoever
    works meanwhile is not held up. A file keeps its size, and uses the room again; to make it smaller:

        orchestra db compact
    """
    import asyncio
    import time

    from orchestra_graph.cli.database import read_store
    from orchestra_graph.cli.words import when
    from orchestra_graph.runtime.retention import USUALLY, Pruned, prunable
    from orchestra_graph.runtime.retention import prune as prune_store

    before, wanted = older_than.timestamp(), status or USUALLY

    async def work() -> Pruned:
        async with read_store(settings) as store:
            if dry_run:
                return Pruned(len([row async for row in prunable(store, before=before, status=wanted, graph=graph)]), 0)
            return await prune_store(store, before=before, now=time.time(), status=wanted, graph=graph)

    pruned = asyncio.run(work())
    document = {
        "dry_run": dry_run,
        "runs": pruned.runs,
        "rows": pruned.rows,
        "before": when(before),
        "status": list(wanted),
        "graph": graph,
    }
    return Report(document=document, text="\n".join(_lines(settings, pruned, wanted, before, dry_run)))


def _lines(
    settings: Settings, pruned: Pruned, status: tuple[RunStatus, ...], before: float, dry_run: bool
) -> list[str]:
    from orchestra_graph.clock import as_text

    kind = f"{'run' if pruned.runs == 1 else 'runs'} that {'has' if pruned.runs == 1 else 'have'} been"
    what = f"{pruned.runs} {kind} {' or '.join(status)} since before {as_text(before)}"
    if dry_run:
        return [f"would remove {what}"]
    lines = [f"removed {what}"]
    if pruned.rows:
        lines.append(f"and {pruned.rows} {'row' if pruned.rows == 1 else 'rows'} that nothing needs any more")
    if pruned.runs or pruned.rows:
        lines.append(f"to give the room back to the disk:   {settings.line('db', 'compact')}")
    return lines
