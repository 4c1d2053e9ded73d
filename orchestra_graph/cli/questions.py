"""`orchestra questions`: what people are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.outcomes import OpenQuestion

__all__ = ["questions"]


@command("questions")
@click.argument("key", metavar="[RUN]", required=False, shell_complete=run_keys)
def questions(settings: Settings, key: str | None) -> Report:
    """List the open questions, of one run or of all.

    Each comes with the line that answers it.
    """
    import asyncio

    from orchestra_graph.cli.database import find_run, read_store
    from orchestra_graph.cli.looking import open_questions
    from orchestra_graph.cli.telling import question_facts, question_lines
    from orchestra_graph.cli.words import printable

    async def read() -> list[OpenQuestion]:
        async with read_store(settings) as store:
            return await open_questions(store, (await find_run(store, key)).number if key else None)

    found = asyncio.run(read())
    document = {"questions": [question_facts(question, settings) for question in found]}
    if not found:
        return Report(document=document, text=f"nothing is asked {f'by {key}' if key else f'in {settings.shown_url}'}")
    parts = ["\n".join([printable(q.run), *(f"  {line}" for line in question_lines(q, settings))]) for q in found]
    return Report(document=document, text="\n\n".join(parts))
