"""`orchestra run`: a new run, driven until it rests."""

from __future__ import annotations

import click

from orchestra_graph.cli.completing import targets
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

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
def run(settings: Settings, target: str | None, inputs: tuple[str, ...], key: str | None) -> Report:
    """Start a run, and drive it until it rests.

    That is: until it is done, fails, or waits for a person. The exit code says how it rests; see `orchestra --help`.
    Ctrl-C lets go of it: what is done is stored.
    """
    from orchestra_graph.cli.driving import drive
    from orchestra_graph.cli.targets import chosen
    from orchestra_graph.cli.values import start_state

    loaded = chosen(settings, target)
    state = start_state(loaded.graph, inputs)
    return drive(
        settings,
        loaded,
        lambda engine: engine.start(loaded.graph, state, key=key),
        url=settings.url,
        key=key,
        from_start=True,
    )
