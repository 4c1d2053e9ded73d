"""`orchestra diff`: what became of the state between two steps of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.history import Change

__all__ = ["diff"]


@command("diff")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
@click.argument("one", metavar="A", type=click.IntRange(min=0))
@click.argument("other", metavar="[B]", type=click.IntRange(min=0), required=False)
def diff(settings: Settings, key: str, one: int, other: int | None) -> Report:
    """Show each field that is not the same after the steps A and B.

    Without B: after step A, and now. `orchestra history` lists the steps. It needs the code of the run's graph:
    --target, $ORCHESTRA_TARGET or pyproject.toml.
    """
    import asyncio

    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import code_of_run
    from orchestra_graph.runtime.engine import Engine

    words = [key, str(one)] if other is None else [key, str(one), str(other)]
    loaded = code_of_run(settings, key, "diff", *words)
    url = existing(settings)

    async def read() -> tuple[int, list[Change]]:
        async with Engine(url, keys=settings.keys) as engine:
            run = await engine.get(key, loaded.graph)
            last = (await run.history())[-1].number if other is None else other
            return last, await run.diff(one, last)

    last, changes = asyncio.run(read())
    document = {"run": key, "from": one, "to": last, "changes": [_facts(change) for change in changes]}
    text = "\n".join(line for change in changes for line in _lines(change))
    return Report(document=document, text=text or f"nothing is different after the steps {one} and {last}")


def _facts(change: Change) -> dict[str, Any]:
    return {
        "field": change.field,
        "before": change.before,
        "after": change.after,
        "was_written": change.was_written,
        "is_written": change.is_written,
    }


def _lines(change: Change) -> list[str]:
    """The field, and its two values, each behind a mark as in a patch."""
    from orchestra_graph.cli.telling import value_lines
    from orchestra_graph.cli.words import bold, printable

    before = value_lines({"-": change.before}) if change.was_written else ["- (not written yet)"]
    after = value_lines({"+": change.after}) if change.is_written else ["+ (not written yet)"]
    lines = [line.replace(f"{mark}:", mark, 1) for mark, part in (("-", before), ("+", after)) for line in part]
    painted = [_painted(line) for line in lines]
    return [bold(printable(change.field)), *(f"  {line}" for line in painted)]


def _painted(line: str) -> str:
    colour = {"-": "red", "+": "green"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line
