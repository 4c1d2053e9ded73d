"""`orchestra replay`: fold the log of a run once more, and compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import ExitCode, Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.replay import Replay

__all__ = ["replay"]


@command("replay")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
def replay(settings: Settings, key: str) -> Report:
    """Fold the log of a run once more, and say whether all comes out the same.

    Compared are the snapshot, the status, and every choice that is in the log: conditions are asked again. Nothing is
    written, and no node is run. It needs the code of the run's graph: --target, $ORCHESTRA_TARGET or pyproject.toml.
    The exit code is 1 where something is not the same.
    """
    import asyncio

    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import code_of_run
    from orchestra_graph.cli.words import printable
    from orchestra_graph.runtime.engine import Engine

    loaded = code_of_run(settings, key, "replay", key)
    url = existing(settings)

    async def read() -> Replay:
        async with Engine(url, keys=settings.keys) as engine:
            return await (await engine.get(key, loaded.graph)).replay()

    found = asyncio.run(read())
    document = {
        "run": key,
        "same": found.same,
        "rows": found.rows,
        "choices": found.choices,
        "status": found.status,
        "differences": list(found.differences),
    }
    text = "\n".join(printable(line) for line in str(found).splitlines())
    return Report(document=document, text=text, code=ExitCode.DONE if found.same else ExitCode.ERROR)
