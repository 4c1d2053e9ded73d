"""`orchestra fork`: another run out of one, as it stood after a step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.cli.targets import Loaded
    from orchestra_graph.runtime.engine import Engine, Run

__all__ = ["fork"]

_FEW = 8


@command("fork")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
@click.option(
    "--at", type=click.IntRange(min=0), help="The last step that both have, as in `orchestra history`; else the last one."
)
@click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE", help="A field that is other from there on.")
@click.option("--key", "name", metavar="KEY", help="A name for the fork; the same name gives the same fork again.")
@click.option("--no-run", is_flag=True, help="Make it, and let it rest; `orchestra resume` goes on with it.")
def fork(settings: Settings, key: str, at: int | None, sets: tuple[str, ...], name: str | None, no_run: bool) -> Report:
    """Make another run out of one, as it stood after a step, and run it.

    What reads the same as there is not run again: its results are taken from the log. RUN itself is not touched. It
    needs the code of the run's graph: --target, $ORCHESTRA_TARGET or pyproject.toml.
    """
    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import code_of_run, drive
    from orchestra_graph.cli.values import field_values

    words = [key, *(() if at is None else ("--at", str(at))), *(word for text in sets for word in ("--set", text))]
    loaded = code_of_run(settings, key, "fork", *words)
    update, url = field_values(loaded.graph, sets), existing(settings)
    reused: list[str] = []
    made: list[Run[Any]] = []

    async def begin(engine: Engine) -> Run[Any]:
        run = await engine.get(key, loaded.graph)
        made[:] = [await run.fork(at=at, update=update, key=name)]
        return made[0]

    async def end(run: Run[Any]) -> None:
        reused[:] = await run.reused()

    if no_run:
        return _only_made(settings, loaded, url, key, at, update, name)
    report = drive(settings, loaded, begin, url=url, key=name, from_start=False, end=end)
    told = f"forked from {key}; {_taken(reused)}"
    document = None if report.document is None else {**report.document, "origin": key, "reused": reused}
    return replace(report, document=document, text=f"{told}\n{report.text}")


def _only_made(
    settings: Settings,
    loaded: Loaded,
    url: str,
    key: str,
    at: int | None,
    update: dict[str, Any],
    name: str | None,
) -> Report:
    import asyncio

    from orchestra_graph.runtime.engine import Engine

    async def make() -> str:
        async with Engine(url, graphs=[loaded.graph]) as engine:
            run = await engine.get(key, loaded.graph)
            return (await run.fork(at=at, update=update, key=name, drive=False)).key

    made = asyncio.run(make())
    text = f"forked from {key}: {made}. To go on with it:\n    {settings.line('resume', made, target=loaded.named)}"
    return Report(document={"run": made, "origin": key}, text=text)


def _taken(reused: list[str]) -> str:
    from orchestra_graph.cli.words import printable

    if not reused:
        return "nothing was taken from its log"
    listed = ", ".join(reused[:_FEW]) + (f" and {len(reused) - _FEW} more" if len(reused) > _FEW else "")
    return f"taken from its log: {printable(listed)}"
