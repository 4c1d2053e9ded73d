"""`orchestra watch`: a run as it goes on, whichever process drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import ExitCode, Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.events import RunEvent
    from orchestra_graph.runtime.engine import Run

__all__ = ["watch"]

_CODES = {
    "done": ExitCode.DONE,
    "waiting": ExitCode.WAITING,
    "failed": ExitCode.FAILED,
    "stopped": ExitCode.STOPPED,
    "cancelled": ExitCode.CANCELLED,
    "dead": ExitCode.DEAD,
}


@command("watch")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
@click.option("--after", metavar="CURSOR", help="Only what comes after the event with this cursor (see --json).")
def watch(settings: Settings, key: str, after: str | None) -> Report:
    """Show what happens in a run, from its start, until it rests.

    It only reads: whichever process drives the run, and whether one does. With --json each event is one line with one
    JSON object. The exit code says how the run rests; Ctrl-C ends the watching, and not the run.
    """
    import asyncio

    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.errors import Interrupted
    from orchestra_graph.runtime.engine import Engine

    settings.lines = True
    url = existing(settings)

    async def read() -> str:
        async with Engine(url, keys=settings.keys) as engine:
            run = await engine.get(key)
            await _hint(settings, run)
            return await _watched(settings, run, after)

    try:
        status = asyncio.run(read())
    except KeyboardInterrupt:
        raise Interrupted(f"not watched any more; the run goes on:   {settings.line('watch', key)}") from None
    return Report(document=None, text="", code=_CODES[status])


async def _hint(settings: Settings, run: Run[Any]) -> None:
    """Say so where nothing will happen until somebody drives the run."""
    explanation = await run.explain()
    if explanation.status == "running" and not explanation.driven:
        click.echo(f"nothing drives it; to go on:   {settings.line('resume', run.key)}", err=True)


async def _watched(settings: Settings, run: Run[Any], after: str | None) -> str:
    """Show everything; the status in which the run rests."""
    from orchestra_graph import events
    from orchestra_graph.cli.following import batches

    last = after
    if after is not None and (resting := await _rests(run, after)):
        return resting
    async for batch in batches(run.events(after)):
        _show(settings, batch)
        if batch:
            last = batch[-1].cursor
        # Behind a rest that has passed there is more to read.
        if any(isinstance(event, events.Waiting | events.RunEnded) for event in batch) and last:
            resting = await _rests(run, last)
            if resting:
                return resting
    return await run.status()


async def _rests(run: Run[Any], last: str) -> str:
    """How the run rests, if nothing has happened after *last*; else nothing."""
    status = await run.status()
    if status == "running":
        return ""
    async for _ in run.events(last, follow=False):
        return ""
    return status


def _show(settings: Settings, batch: list[RunEvent]) -> None:
    from orchestra_graph.cli.following import lines_of
    from orchestra_graph.cli.report import has_colours, render_line
    from orchestra_graph.cli.words import clock
    from orchestra_graph.events import as_data

    if settings.json:
        for event in batch:
            click.echo(render_line(as_data(event)), file=settings.out)
        return
    at = clock(batch[0].at) if batch else ""
    for line in lines_of(batch, whole=True):
        click.echo(f"{click.style(at, dim=True)}  {line}", file=settings.out, color=None if has_colours() else False)
