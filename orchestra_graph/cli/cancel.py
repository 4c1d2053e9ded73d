"""`orchestra cancel`: end a run that should not go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import ExitCode, Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.engine import Engine, Run

__all__ = ["cancel"]


@command("cancel")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
def cancel(settings: Settings, key: str) -> Report:
    """End a run for good.

    Nothing starts any more, and what it asks is withdrawn; what was done stays stored. It needs the code of the run's
    graph: --target, $ORCHESTRA_TARGET or pyproject.toml. A run that another process drives is cancelled there.

    The exit code is 0 when the run is cancelled.
    """
    from dataclasses import replace

    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import code_of_run, drive

    loaded = code_of_run(settings, key, "cancel", key)

    async def begin(engine: Engine) -> Run[Any]:
        run = await engine.get(key, loaded.graph)
        await run.cancel()
        return run

    report = drive(settings, loaded, begin, url=existing(settings), key=key, from_start=False)
    return replace(report, code=ExitCode.DONE)  # what was asked for has been done
