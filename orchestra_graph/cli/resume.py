"""`orchestra resume`: go on with a run that nobody drives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.engine import Engine, Run

__all__ = ["resume"]


@command("resume")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
def resume(settings: Settings, key: str) -> Report:
    """Go on with a run whose process ended.

    Nothing that was finished runs again. It needs the code of the run's graph: --target, $ORCHESTRA_TARGET or
    pyproject.toml. A run that failed goes on with `orchestra retry`.
    """
    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import code_of_run, drive

    loaded = code_of_run(settings, key, "resume", key)

    async def begin(engine: Engine) -> Run[Any]:
        run = await engine.get(key, loaded.graph)
        await run.resume()  # where another process drives it, this says which
        return run

    return drive(settings, loaded, begin, url=existing(settings), key=key, from_start=False)
