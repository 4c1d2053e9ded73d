"""`orchestra history`: every step that a run has made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.history import HistoryStep

__all__ = ["history"]

_HEADINGS = ("STEP", "TIME", "WHAT", "NODE", "WRITES")


@command("history")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
def history(settings: Settings, key: str) -> Report:
    """List every step of a run, with what it wrote.

    The numbers are those that `orchestra diff` takes. No code is needed.
    """
    import asyncio

    from orchestra_graph.cli.database import existing
    from orchestra_graph.runtime.engine import Engine

    url = existing(settings)

    async def read() -> list[HistoryStep]:
        async with Engine(url, keys=settings.keys) as engine:
            return await (await engine.get(key)).history()

    steps = asyncio.run(read())
    document = {"run": key, "steps": [_facts(step) for step in steps]}
    more = [f"what changed between two steps:   {settings.line('diff', key, '0', str(steps[-1].number))}"]
    return Report(document=document, text="\n".join([*_lines(steps), "", *more]))


def _facts(step: HistoryStep) -> dict[str, Any]:
    from orchestra_graph.cli.words import when

    return {
        "step": step.number,
        "at": when(step.at),
        "what": step.what,
        "id": step.id,
        "node": step.node,
        "writes": list(step.writes),
        "status": step.status,
        "reused": step.reused,
        "error": step.error,
        "key": step.key,
    }


def _lines(steps: list[HistoryStep]) -> list[str]:
    from orchestra_graph.cli.words import clock, printable, table

    cells = [
        (str(step.number), clock(step.at), step.what, printable(step.id or ""), printable(_told(step)))
        for step in steps
    ]
    return table(_HEADINGS, cells)


def _told(step: HistoryStep) -> str:
    told = step.error or (", ".join(step.writes) if step.key is None else f"step '{step.key}'")
    taken = "" if step.reused is None else f" (taken from {step.reused})"
    return " ".join(f"{told}{taken}".split())
