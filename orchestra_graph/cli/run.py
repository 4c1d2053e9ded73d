"""`orchestra run`: a new run, driven until it rests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import targets
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.cli.targets import Loaded

__all__ = ["run"]


@command("run")
@click.argument("target", required=False, shell_complete=targets)
@click.option(
    "--input",
    "inputs",
    metavar="INPUT",
    multiple=True,
    help="What the run starts with: a JSON object, @file with one (@- for the standard input), or field=value, where "
    "value is JSON if that fits the field, else text. May be repeated.",
)
@click.option("--key", metavar="KEY", help="The run's name. The same key again goes on with the same run.")
@click.option("--detach", is_flag=True, help="Only start it: a worker drives it.")
def run(settings: Settings, target: str | None, inputs: tuple[str, ...], key: str | None, detach: bool) -> Report:
    """Start a run, and drive it until it rests.

    That is: until it is done, fails, or waits for a person. The exit code says how it rests; see `orchestra --help`.
    Ctrl-C lets go of it: what is done is stored.
    """
    import asyncio

    from orchestra_graph.cli.driving import drive
    from orchestra_graph.cli.targets import chosen
    from orchestra_graph.cli.values import start_state

    loaded = chosen(settings, target)
    state = start_state(loaded.graph, inputs)
    if detach:
        return asyncio.run(_detached(settings, loaded, state, key))
    return drive(
        settings,
        loaded,
        lambda engine: engine.start(loaded.graph, state, key=key),
        url=settings.url,
        key=key,
        from_start=True,
    )


async def _detached(settings: Settings, loaded: Loaded, state: Any, key: str | None) -> Report:
    """Start a run, and leave it to a worker."""
    from orchestra_graph.runtime.engine import Engine

    async with Engine(settings.url, graphs=[loaded.graph], keys=settings.keys) as engine:
        started = await engine.start(loaded.graph, state, key=key, drive=False)
        status = await started.status()
    worker, watch = settings.line("worker", target=loaded.named), settings.line("watch", started.key)
    document = {
        "run": started.key,
        "graph": started.graph,
        "status": status,
        "state": None,
        "questions": [],
        "error": None,
        "next": [watch],
    }
    text = f"{started.key} is {status}, and a worker drives it:   {worker}\n    {watch}"
    return Report(document=document, text=text)
