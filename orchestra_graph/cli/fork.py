"""`orchestra fork`: another run out of one, as it stood after a step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.cli.driving import Begin
    from orchestra_graph.cli.targets import Loaded
    from orchestra_graph.runtime.engine import Engine, Run

__all__ = ["fork"]


@command("fork")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
@click.option(
    "--at",
    type=click.IntRange(min=0),
    help="The last step that both have, as in `orchestra history`; else the last one.",
)
@click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE", help="A field that is other from there on.")
@click.option("--key", "name", metavar="KEY", help="A name for the fork; the same name gives the same fork again.")
@click.option("--no-run", is_flag=True, help="Make it, and let it rest; `orchestra resume` goes on with it.")
def fork(settings: Settings, key: str, at: int | None, sets: tuple[str, ...], name: str | None, no_run: bool) -> Report:
    """Make another run out of one, as it stood after a step, and run it.

    What reads the same as there is not run again: its results are taken from the log. RUN itself is not touched. It
    needs the code of the run's graph: --target, $ORCHESTRA_TARGET or pyproject.toml.
    """
    import asyncio

    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import code_of_run, drive
    from orchestra_graph.cli.telling import taken_line
    from orchestra_graph.cli.values import field_values
    from orchestra_graph.cli.words import printable

    words = [key, *(() if at is None else ("--at", str(at))), *(word for text in sets for word in ("--set", text))]
    loaded = code_of_run(settings, key, "fork", *words)
    update, url = field_values(loaded.graph, sets), existing(settings)
    made: list[str] = []

    async def begin(engine: Engine) -> Run[Any]:
        run = await engine.get(key, loaded.graph)
        made[:] = [(other := await run.fork(at=at, update=update, key=name, drive=not no_run)).key]
        return other

    if no_run:
        asyncio.run(_only_make(settings, begin, loaded))
        line = settings.line("resume", made[0], target=loaded.named)
        return Report(
            document={"run": made[0], "origin": key}, text=f"forked from {key}: {made[0]}. To run it:\n    {line}"
        )
    report = drive(settings, loaded, begin, url=url, key=name, from_start=False)
    reused = asyncio.run(_reused(settings, made[0]))
    document = None if report.document is None else {**report.document, "origin": key, "reused": reused}
    return replace(
        report, document=document, text=f"forked from {printable(key)}; {printable(taken_line(reused))}\n{report.text}"
    )


async def _only_make(settings: Settings, begin: Begin, loaded: Loaded) -> None:
    from orchestra_graph.cli.targets import resources_of
    from orchestra_graph.runtime.engine import Engine

    resources = await resources_of(loaded)
    async with Engine(settings.url, graphs=[loaded.graph], resources=resources, keys=settings.keys) as engine:
        await begin(engine)


async def _reused(settings: Settings, key: str) -> list[str]:
    from orchestra_graph.runtime.engine import Engine

    async with Engine(settings.url, keys=settings.keys) as engine:
        return await (await engine.get(key)).reused()
