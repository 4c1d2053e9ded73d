"""`orchestra cancel`: end a run that should not go on."""

from __future__ import annotations

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

__all__ = ["cancel"]


_PATIENCE = 1.0


def _say_that_it_waits(settings: Settings) -> None:
    if not settings.json:
        click.echo("the process that drives it was asked to end it, and is waited for (Ctrl-C: no longer)", err=True)


@command("cancel")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
def cancel(settings: Settings, key: str) -> Report:
    """End a run for good.

    Nothing starts any more, and what it asks is withdrawn; what was done stays stored. No code is needed. Another
    process that drives the run is told, and waited for. Who waits no longer takes nothing back.

    The exit code is 0 when the run is cancelled.
    """
    import asyncio

    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.errors import Interrupted
    from orchestra_graph.runtime.engine import Engine

    url = existing(settings)

    async def end() -> str:
        async with Engine(url, keys=settings.keys) as engine:
            run = await engine.get(key)
            slow = asyncio.get_running_loop().call_later(_PATIENCE, _say_that_it_waits, settings)
            try:
                await run.cancel()
            finally:
                slow.cancel()
            return run.graph

    line = settings.line("show", key)
    try:
        graph = asyncio.run(end())
    except KeyboardInterrupt:
        raise Interrupted(f"whoever drives run '{key}' was told to end it, and has not yet:   {line}") from None
    document = {
        "run": key,
        "graph": graph,
        "status": "cancelled",
        "state": None,
        "questions": [],
        "error": None,
        "next": [line],
    }
    return Report(document=document, text=f"{key} was cancelled: {line}")
