"""`orchestra runs`: what is in the database."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, get_args

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.moments import Moment
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
@click.option("--key", metavar="BEGINNING", help="Only runs whose key begins so.")
@click.option("--since", type=Moment(), help="Only runs started then or later: 2h, 3d, 2026-03-01, 2026-03-01T14:00.")
@click.option("--until", type=Moment(), help="Only runs started before. A time without a zone is in UTC.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--after", metavar="RUN", shell_complete=run_keys, help="The next page: the runs older than this one.")
def runs(
    settings: Settings,
    status: tuple[RunStatus, ...],
    graph: str | None,
    key: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: str | None,
) -> Report:
    """List the runs in the database, the newest first."""
    import asyncio

    from orchestra_graph.cli.database import find_run, read_store
    from orchestra_graph.cli.words import printable, run_facts

    async def read() -> list[RunRow]:
        async with read_store(settings) as store:
            return await store.runs(
                status=status,
                graph=graph,
                key=key,
                since=since.timestamp() if since else None,
                until=until.timestamp() if until else None,
                after=(await find_run(store, after)).number if after else None,
                limit=limit + 1,
            )

    found = asyncio.run(read())
    shown = found[:limit]
    more = len(found) > limit
    document = {"runs": [run_facts(row) for row in shown], "more": more, "next": shown[-1].key if more else None}
    if not shown:
        filtered = any((status, graph, key, since, until, after))
        return Report(document=document, text=f"there are no runs{' of that kind' * filtered} in {settings.shown_url}")
    rest = [f"... and more:   {printable(_next_page(settings, shown[-1].key))}"] if more else []
    return Report(document=document, text="\n".join([*_table(shown), *rest]))


def _next_page(settings: Settings, last: str) -> str:
    """This very line, with the options it had, for the runs that follow."""
    words = ["runs"]
    context = click.get_current_context()
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if not isinstance(option, click.Option) or option.name == "after" or value in (None, (), option.default):
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [option.opts[0], one.isoformat() if isinstance(one, datetime) else str(one)]
    return settings.line(*words, "--after", last)


def _table(rows: list[RunRow]) -> list[str]:
    from orchestra_graph.cli.words import printable, table
    from orchestra_graph.clock import as_text

    cells = [
        (printable(row.key), printable(row.graph), row.status, as_text(row.created_at), as_text(row.updated_at))
        for row in rows
    ]
    return table(_HEADINGS, cells)
