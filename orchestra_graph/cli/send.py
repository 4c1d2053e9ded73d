"""`orchestra send`: send a message to a run, and go on with it where its code is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.engine import Engine, Run
    from orchestra_graph.runtime.sending import Busy
    from orchestra_graph.store.base import RunRow

__all__ = ["send"]


@command("send", context_settings={"ignore_unknown_options": True})  # a VALUE may be -5
@click.argument("key", metavar="RUN", shell_complete=run_keys)
@click.argument("channel")
@click.argument("value")
@click.option("--id", "name", help="The message's own name: sent twice with the same one, it is one message.")
@click.option(
    "--busy",
    type=click.Choice(["queue", "reject", "interrupt"]),
    default="queue",
    show_default=True,
    help="Where no node waits for it now: it waits, is not sent, or the work of its loop is withdrawn.",
)
def send(settings: Settings, key: str, channel: str, value: str, name: str | None, busy: Busy) -> Report:
    """Send a message to the nodes of a run that take those of a CHANNEL.

    VALUE is JSON, @file, or plain text.

    With the code of the graph (--target, $ORCHESTRA_TARGET or pyproject.toml) the run goes on until it is done or
    waits again, and the exit code says which. Without it the message is checked and stored, and the run goes on when
    somebody drives it.
    """
    import asyncio

    from orchestra_graph.cli.driving import code_of
    from orchestra_graph.cli.values import readings

    meanings = list(readings(value))
    row = asyncio.run(_find(settings, key))
    loaded = code_of(settings, row.graph)
    if loaded is None:
        return asyncio.run(_store(settings, key, channel, meanings, name, busy))
    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import drive

    async def begin(engine: Engine) -> Run[Any]:
        run = await engine.get(key, loaded.graph)
        await _give(run, channel, meanings, name, busy)
        return run

    return drive(settings, loaded, begin, url=existing(settings), key=key, from_start=False)


async def _find(settings: Settings, key: str) -> RunRow:
    from orchestra_graph.cli.database import find_run, read_store

    async with read_store(settings) as store:
        return await find_run(store, key)


async def _give(run: Run[Any], channel: str, meanings: list[Any], name: str | None, busy: Busy) -> str:
    """Send the first meaning that fits."""
    from orchestra_graph.errors import BadInput

    first: BadInput | None = None
    for value in meanings:
        try:
            return await run.send_json(channel, value, id=name, busy=busy)
        except BadInput as error:
            first = first or error
    assert first is not None
    raise first


async def _store(
    settings: Settings, key: str, channel: str, meanings: list[Any], name: str | None, busy: Busy
) -> Report:
    """Send without the code, by the schema in the database."""
    from orchestra_graph.runtime.engine import Engine

    async with Engine(settings.url, keys=settings.keys) as engine:
        run = await engine.get(key)
        sent = await _give(run, channel, meanings, name, busy)
        status = await run.status()
    line = settings.line("resume", key)
    text = (
        f"message {sent} to {key} is stored. A process that drives the run goes on by itself.\n"
        f"Nothing was driven from here, for want of the graph's code ('{run.graph}'); with it:\n"
        f"    {line} --target path/file.py:{run.graph if run.graph.isidentifier() else 'graph'}"
    )
    document = {
        "run": key,
        "graph": run.graph,
        "status": status,
        "message": sent,
        "state": None,
        "questions": [],
        "error": None,
        "next": [line],
    }
    return Report(document=document, text=text)
