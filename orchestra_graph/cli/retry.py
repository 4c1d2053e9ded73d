"""`orchestra retry`: let a failed, stopped or dead run go on from where it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.engine import Engine, Run

__all__ = ["retry"]


@command("retry")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
def retry(settings: Settings, key: str) -> Report:
    """Let a failed, stopped or dead run go on.

    It goes on from the failed nodes with new attempts, and keeps all that was done. One that a limit stopped gets the
    same allowance once more; one that has killed its processes is tried again. It needs the code of the run's graph:
    --target, $ORCHESTRA_TARGET or pyproject.toml.
    """
    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import code_of_run, drive

    loaded = code_of_run(settings, key, "retry", key)

    async def begin(engine: Engine) -> Run[Any]:
        run = await engine.get(key, loaded.graph)
        await run.retry()
        return run

    return drive(settings, loaded, begin, url=existing(settings), key=key, from_start=False)
