"""`orchestra runs`: what is in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command
from orchestra_graph.core.record import RunStatus

if TYPE_CHECKING:
    from orchestra_graph.store.base import RunRow

__all__ = ["runs"]

_HEADINGS = ("RUN", "GRAPH", "STATUS", "STARTED", "CHANGED")


@command("runs")
@click.option(
    "--status", multiple=True, type=click.Choice(get_args(RunStatus)), help="Only runs of this status; may be repeated."
)
@click.option("--graph", metavar="NAME", help="Only runs of this graph.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
def runs(settings: Settings, status: tuple[RunStatus, ...], graph: str | None, limit: int) -> Report:
    """List the runs in the database, the newest first."""
    import asyncio

    from orchestra_graph.cli.database import read_store
    from orchestra_graph.cli.words import run_facts

    async def read() -> list[RunRow]:
        async with read_store(settings) as store:
            return await store.runs(status=status, graph=graph, limit=limit + 1)

    found = asyncio.run(read())
    shown = found[:limit]
    document = {"runs": [run_facts(row) for row in shown], "more": len(found) > limit}
    if not shown:
        which = " of that kind" if status or graph else ""
        return Report(document=document, text=f"there are no runs{which} in {settings.url}")
    rest = [f"... and more:   orchestra runs --limit {10 * limit}{settings.again()}"] if len(found) > limit else []
    return Report(document=document, text="\n".join([*_table(shown), *rest]))


def _table(rows: list[RunRow]) -> list[str]:
    from orchestra_graph.cli.words import bold, printable
    from orchestra_graph.clock import as_text

    cells = [
        [printable(row.key), printable(row.graph), row.status, as_text(row.created_at), as_text(row.updated_at)]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *cells, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in cells]
    heading = "  ".join(text.ljust(width) for text, width in zip(_HEADINGS, widths, strict=True))
    return [bold(heading.rstrip()), *(line.rstrip() for line in lines)]
