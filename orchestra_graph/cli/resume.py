"""`orchestra resume`: go on with a run that nobody drives, or that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.engine import Engine, Run

__all__ = ["resume"]


@command("resume")
@click.argument("key", metavar="RUN")
@click.option("--retry", is_flag=True, help="Let a failed or stopped run go on from where it failed.")
def resume(settings: Settings, key: str, retry: bool) -> Report:
    """Go on with a run whose process ended.

    Nothing that was finished runs again. It needs the code of the run's graph: --target, $ORCHESTRA_TARGET or
    pyproject.toml.
    """
    import asyncio

    from orchestra_graph.cli.database import existing, find_run, read_store
    from orchestra_graph.cli.driving import drive, needed_code

    async def find() -> str:
        async with read_store(settings) as store:
            return (await find_run(store, key)).graph

    words = ("resume", key, "--retry") if retry else ("resume", key)
    loaded = needed_code(settings, key, asyncio.run(find()), *words)

    async def begin(engine: Engine) -> Run[Any]:
        run = await engine.get(key, loaded.graph)
        await (run.retry() if retry else run.resume())  # where another process drives it, both say which
        return run

    return drive(settings, loaded, begin, url=existing(settings), key=key, from_start=False)
