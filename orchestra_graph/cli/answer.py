"""`orchestra answer`: answer what a run asks, and go on with it where its code is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import question_ids, run_keys
from orchestra_graph.cli.errors import NoQuestion
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.runtime.engine import Engine, Run
    from orchestra_graph.runtime.outcomes import OpenQuestion
    from orchestra_graph.store.base import RunRow

__all__ = ["answer"]


@command("answer", context_settings={"ignore_unknown_options": True})  # a VALUE may be -5
@click.argument("key", metavar="RUN", shell_complete=run_keys)
@click.argument("words", metavar="[ID] VALUE", nargs=-1, required=True, shell_complete=question_ids)
def answer(settings: Settings, key: str, words: tuple[str, ...]) -> Report:
    """Answer a question of a run.

    VALUE is JSON, @file, or plain text. ID may be left out where the run asks one thing only.

    With the code of the graph (--target, $ORCHESTRA_TARGET or pyproject.toml) the run goes on until it is done or
    waits again, and the exit code says which. Without it the answer is checked and stored, and the run goes on when
    somebody drives it.
    """
    import asyncio

    from orchestra_graph.cli.driving import code_of
    from orchestra_graph.cli.values import readings

    given, word = _id_and_value(words)
    meanings = list(readings(word))
    row, asked = asyncio.run(_ask_for_questions(settings, key))
    question = given or _only(asked, row, settings)
    loaded = code_of(settings, row.graph)
    if loaded is None:
        return asyncio.run(_store(settings, key, question, meanings))
    from orchestra_graph.cli.database import existing
    from orchestra_graph.cli.driving import drive

    async def begin(engine: Engine) -> Run[Any]:
        run = await engine.get(key, loaded.graph)
        await _give(run, question, meanings)
        return run

    return drive(settings, loaded, begin, url=existing(settings), key=key, from_start=False)


def _id_and_value(words: tuple[str, ...]) -> tuple[str | None, str]:
    unknown = next((word for word in words if word.startswith("--")), None)
    if unknown is not None:
        raise click.NoSuchOption(unknown)
    if len(words) > 2:
        raise click.UsageError(f"one VALUE is expected, and there are several: {' '.join(words[1:])}. Put it in quotes")
    return (None, words[0]) if len(words) == 1 else (words[0], words[1])


async def _ask_for_questions(settings: Settings, key: str) -> tuple[RunRow, list[OpenQuestion]]:
    from orchestra_graph.cli.database import find_run, read_store
    from orchestra_graph.cli.looking import open_questions

    async with read_store(settings) as store:
        row = await find_run(store, key)
        return row, await open_questions(store, row.number)


def _only(asked: list[OpenQuestion], row: RunRow, settings: Settings) -> str:
    from orchestra_graph.cli.telling import question_lines

    if len(asked) == 1:
        return asked[0].id
    if not asked and row.status == "waiting":  # answered where there was no code
        line = settings.line("resume", row.key)
        raise NoQuestion(f"run '{row.key}' asks nothing any more, and can go on:   {line}")
    if not asked:
        raise NoQuestion(f"run '{row.key}' is {row.status}, and asks nothing:   {settings.line('show', row.key)}")
    lines = [line for question in asked for line in question_lines(question, settings)]
    raise NoQuestion(
        "\n".join([f"run '{row.key}' asks {len(asked)} things. Say which:", *(f"  {line}" for line in lines)])
    )


async def _give(run: Run[Any], question: str, meanings: list[Any]) -> None:
    """Answer with the first meaning that fits."""
    from orchestra_graph.errors import WrongAnswer

    first: WrongAnswer | None = None
    for value in meanings:
        try:
            return await run.answer_json(question, value)
        except WrongAnswer as error:
            first = first or error
    assert first is not None
    raise first


async def _store(settings: Settings, key: str, question: str, meanings: list[Any]) -> Report:
    """Answer without the code, by the schema in the database."""
    from orchestra_graph.runtime.engine import Engine

    async with Engine(settings.url, keys=settings.keys) as engine:
        run = await engine.get(key)
        await _give(run, question, meanings)
        status = await run.status()
    line = settings.line("resume", key)
    text = (
        f"{question} of {key} is answered, and the answer is stored. A process that drives the run goes on by itself.\n"
        f"Nothing was driven from here, for want of the graph's code ('{run.graph}'); with it:\n"
        f"    {line} --target path/file.py:{run.graph if run.graph.isidentifier() else 'graph'}"
    )
    document = {
        "run": key,
        "graph": run.graph,
        "status": status,
        "state": None,
        "questions": [],
        "error": None,
        "next": [line],
    }
    return Report(document=document, text=text)
