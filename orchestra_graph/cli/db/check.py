"""`orchestra db check`: can this release, and this code, work with the database as it is?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from orchestra_graph.cli.completing import targets as completed
from orchestra_graph.cli.config import url_of
from orchestra_graph.cli.report import ExitCode, Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.outlook import Outlook

__all__ = ["check"]


@command("check")
@click.argument("target", required=False, shell_complete=completed)
def check(settings: Settings, target: str | None) -> Report:
    """See whether the database fits this release, and its runs fit your code.

    First the schema of the database. With a TARGET then, before it is deployed, every run of its graphs that has not
    ended: whether it goes on with this code as it is, by a move (the graph has changed, and the run goes on by itself),
    by a migration, or cannot, and what helps. Nothing is changed, and no resources are opened.

    The exit code is 1 where the schema is missing, older or newer, or where a run cannot go on.
    """
    found = _schema(settings)
    if target is None or found.code != ExitCode.DONE:
        return found
    runs = _runs(settings, target)
    bad = any(run.how == "cannot" for run in runs)
    text = "\n".join([found.text, *_lines(target, runs)])
    document = {**(found.document or {}), "runs": [asdict(run) for run in runs], "ok": not bad}
    return Report(document=document, text=text, code=ExitCode.ERROR if bad else ExitCode.DONE)


def _schema(settings: Settings) -> Report:
    from orchestra_graph.errors import without_password
    from orchestra_graph.store.schema import schema_of

    url = url_of(settings.database)
    shown = without_password(url)
    found = schema_of(url)
    document = {"url": shown, "schema": found.state, "found": found.found, "needed": found.needed}
    match found.state:
        case "ok":
            return Report(document=document, text=f"{shown}: the schema is up to date: {found.found}")
        case "older":
            said = f"{shown}: the schema is {found.found}, and this release needs {found.needed}"
        case "missing":
            said = f"{shown}: there are no tables yet, and this release needs schema {found.needed}"
    text = f"{said}. Bring it up to date:   orchestra --db URL db upgrade"
    return Report(document=document, text=text, code=ExitCode.ERROR)


def _runs(settings: Settings, target: str) -> list[Outlook]:
    import asyncio

    from orchestra_graph.cli.database import read_store
    from orchestra_graph.cli.targets import every_graph, typed_target
    from orchestra_graph.runtime.outlook import outlooks

    plans = [loaded.graph.compile() for loaded in every_graph(typed_target(target))]

    async def look() -> list[Outlook]:
        async with read_store(settings) as store:
            return [run for plan in plans for run in [one async for one in outlooks(store, plan)]]

    return asyncio.run(look())


def _lines(target: str, runs: Sequence[Outlook]) -> Iterator[str]:
    """What becomes of runs, those of which the same is to be said together."""
    from orchestra_graph.cli.words import printable

    counts = Counter(run.how for run in runs)
    if not runs:
        yield f"{target}: no run has yet to go on"
        return
    cannot: dict[tuple[str, ...], list[Outlook]] = {}
    for run in runs:
        if run.how == "cannot":
            cannot.setdefault((run.graph, run.version, *run.why), []).append(run)
    for first, *others in cannot.values():
        more = f" and {len(others)} more: each" if others else ""
        yield f"✗ {first.key} ({first.graph} {first.version}, {first.status}){more} cannot go on"
        yield from (f"    {printable(line)}" for line in first.why)
        yield from (f"  → {printable(line)}" for line in first.mends)
    for how, mark in (("by a move", "✓"), ("by a migration", "✓"), ("as it is", "✓"), ("pinned", "·")):
        alike = [run for run in runs if run.how == how]
        if alike:
            said = "is pinned to its version, and left to code of that" if how == "pinned" else f"goes on {how}"
            yield f"{mark} {alike[0].key}" + (f" and {len(alike) - 1} more: each" if alike[1:] else "") + f" {said}"
            yield from (f"    {printable(line)}" for line in alike[0].changes if how == "by a move")
    yield f"{target}: {len(runs)} to go on, {counts['cannot']} cannot"
