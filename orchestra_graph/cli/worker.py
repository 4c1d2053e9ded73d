"""`orchestra worker`: drive every run that can move, for as long as it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import targets as known_targets
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.cli.targets import Loaded
    from orchestra_graph.runtime.worker import Told

__all__ = ["worker"]


@command("worker")
@click.argument("targets", metavar="[TARGET]...", nargs=-1, shell_complete=known_targets)
@click.option(
    "--concurrency",
    metavar="RUNS",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Drive at most so many runs at once.",
)
@click.option(
    "--poll",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Look at least so often for what there is to do.",
)
@click.option(
    "--lease",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="On PostgreSQL: others take over what this worker drives when it has been silent for so long.",
)
@click.option("--until-idle", is_flag=True, help="End when nothing is left to be done.")
def worker(
    settings: Settings, targets: tuple[str, ...], concurrency: int, poll: float, lease: float, until_idle: bool
) -> Report:
    """Drive every run of these graphs that can move.

    These are runs whose process died or let them go, and runs that wait and to which somebody has said something. Start
    as many workers as you like, on one database: each run is driven by one. A line says which run was taken, and how it
    rests; with --json it is one JSON object.

    SIGTERM or Ctrl-C: it takes nothing more, and lets go of its runs at once; another worker goes on with them. The
    exit code is 0 then. A second signal ends it without that.
    """
    import asyncio

    from orchestra_graph.cli.targets import every_graph, typed_target

    settings.lines = True
    named = tuple(typed_target(text) for text in targets) or settings.code
    if not named:
        raise click.UsageError("no graph was named: give a TARGET, such as   path/file.py:graph")
    loaded = [found for place in named for found in every_graph(place)]
    asyncio.run(_work(settings, _each_once(loaded), concurrency, poll, lease, until_idle))
    return Report(document=None, text="")


def _each_once(loaded: list[Loaded]) -> list[Loaded]:
    """The graphs, each once.

    Raises:
        BadTarget: Two of them have one name: nobody could say whose a run is.
    """
    from orchestra_graph.cli.errors import BadTarget

    found: dict[str, Loaded] = {}
    for one in loaded:
        other = found.setdefault(one.graph.name, one)
        if other.graph is not one.graph:
            raise BadTarget(
                f"two graphs are named '{one.graph.name}', in {other.named.text} and in {one.named.text}. "
                f"Leave one of them out, or give it another name:   Graph(..., name=...)"
            )
    return list(found.values())


async def _work(
    settings: Settings, loaded: list[Loaded], most: int, poll: float, lease: float, until_idle: bool
) -> None:
    import asyncio

    from orchestra_graph.runtime.engine import Engine
    from orchestra_graph.runtime.worker import Worker

    stop = _signals()
    graphs = [one.graph for one in loaded]
    async with Engine(
        settings.url, graphs=graphs, resources=await _resources(loaded), lease=lease, keys=settings.keys
    ) as engine:
        going = Worker(engine, poll=poll, most=most, tell=lambda told: _show(settings, told)).go(until_idle=until_idle)
        working, stopping = asyncio.create_task(going), asyncio.create_task(stop.wait())
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        stopping.cancel()
        (ended, _) = await asyncio.gather(working, stopping, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended


def _signals() -> Any:
    """Is set by the first signal to end; the second one ends the process."""
    import asyncio
    import os
    import signal

    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def hear(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        click.echo("stopping: its runs are let go; once more to end at once", err=True)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, hear, number)
    return stop


async def _resources(loaded: list[Loaded]) -> list[Any] | dict[str, Any]:
    """What the nodes of all graphs get.

    Raises:
        BadTarget: One module names its resources, and another one does not.
    """
    from orchestra_graph.cli.errors import BadTarget
    from orchestra_graph.cli.targets import resources_of

    modules = {one.module.__name__: one for one in loaded}
    given = [found for one in modules.values() if (found := await resources_of(one))]
    listed = [found for found in given if isinstance(found, list)]
    named = [found for found in given if isinstance(found, dict)]
    if listed and named:
        raise BadTarget("some of these modules have a list of 'resources', and some a mapping: give all of them names")
    if named:
        return {name: value for found in named for name, value in found.items()}
    return [value for found in listed for value in found]


def _show(settings: Settings, told: Told) -> None:
    from datetime import UTC, datetime

    from orchestra_graph.cli.report import render_line
    from orchestra_graph.cli.words import clock, printable, when

    now = datetime.now(UTC).timestamp()
    if settings.json:
        facts = {"at": when(now), "run": told.run, "graph": told.graph, "what": told.what}
        line = render_line({**facts, "status": told.status, "why": told.why or None})
    else:
        line = f"{clock(now)}  {printable(str(told))}"
    click.echo(line, file=settings.out)
