"""`orchestra testcase`: a test for pytest, from a run that was recorded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.cli.config import Named
    from orchestra_graph.runtime.recorded import Recorded

__all__ = ["testcase"]


@command("testcase")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
@click.option("-o", "--output", metavar="FILE", help="Write it there, instead of to the terminal.")
@click.option("--live", is_flag=True, help="The test runs the nodes, instead of taking what they gave.")
def testcase(settings: Settings, key: str, output: str | None, live: bool) -> Report:
    """Write a test from a recorded run: what came in, which way it took, and how it ended.

    The test starts the graph with the same input, gives the same answers and sends the same messages, and sees that it
    goes the same way to the same state. Its nodes are not run: they give what they gave then; with --live they are run.
    It needs the code of the run's graph: --target, $ORCHESTRA_TARGET or pyproject.toml.
    """
    import asyncio

    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import code_of_run
    from orchestra_graph.runtime.engine import Engine
    from orchestra_graph.runtime.recorded import record, test_file

    words = ["testcase", key, *(["-o", output] if output else []), *(["--live"] if live else [])]
    loaded = code_of_run(settings, key, *words)
    url = existing(settings)

    async def read() -> Recorded:
        async with Engine(url, keys=settings.keys) as engine:
            return await record(await engine.get(key, loaded.graph))

    recorded = asyncio.run(read())
    folder = Path(output).resolve().parent if output else Path.cwd()
    target, line = _target(loaded.named, loaded.graph.name, folder), " ".join(["orchestra", *words])
    text = test_file(recorded, target, live=live, line=line)
    document = {"run": key, "file": output, "activations": len(recorded.path), "live": live}
    if output is None:
        return Report(document={**document, "text": text}, text=text.rstrip("\n"))
    Path(output).write_text(text, "utf-8")
    return Report(document=document, text=f"wrote {output}; to run it:\n    pytest {output}")


def _target(named: Named, graph: str, folder: Path) -> str:
    """A target as it is seen from the folder of the test."""
    place, colon, variable = named.text.rpartition(":")
    if not colon or os.sep in variable:
        place, variable = named.text, graph
    if place.endswith(".py") or os.sep in place:
        place = Path(os.path.relpath((named.folder / place).resolve(), folder)).as_posix()
        place = place if "/" in place else f"./{place}"
    return f"{place}:{variable}"
