"""Driving a run from the command line: until it rests, or until Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from orchestra_graph.cli.database import find_run, read_store
from orchestra_graph.cli.errors import Interrupted, NoCode
from orchestra_graph.cli.following import follow
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings
from orchestra_graph.cli.targets import Loaded, every_graph, here, resources_of
from orchestra_graph.cli.telling import outcome_report
from orchestra_graph.errors import GraphError, Problem
from orchestra_graph.runtime.engine import Engine, Run

__all__ = ["Begin", "code_of", "code_of_run", "drive"]

Begin = Callable[[Engine], Awaitable[Run[Any]]]
"""Starts, finds, retries or answers a run, and gives it."""


def drive(settings: Settings, loaded: Loaded, begin: Begin, *, url: str, key: str | None, from_start: bool) -> Report:
    """Drive a run until it rests.

    Args:
        settings: What was said on the line.
        loaded: The graph of the run.
        begin: Gives the run.
        url: The database.
        key: The run's key, where it is known before.
        from_start: Whether to show what happened before, too.

    Raises:
        Interrupted: The user pressed Ctrl-C; the run was let go.
    """
    known = [key] if key else []

    async def driven() -> Report:
        resources = await resources_of(loaded)
        async with Engine(url, graphs=[loaded.graph], resources=resources, keys=settings.keys) as engine:
            run = await begin(engine)
            known[:] = [run.key]
            async with follow(run, from_start=from_start, shown=not settings.json):
                outcome = await run.wait()
            return outcome_report(outcome, run.graph, settings, loaded.named)

    try:
        return asyncio.run(driven())
    except GraphError as error:
        raise GraphError([_with_resources(problem, loaded) for problem in error.problems]) from None
    except KeyboardInterrupt:
        raise Interrupted(_how_to_go_on(settings, loaded, known)) from None


def _with_resources(problem: Problem, loaded: Loaded) -> Problem:
    """Say of a missing resource where a module has to name it: nobody here calls an Engine."""
    if problem.code != "resource":
        return problem
    place = here(loaded.module.__file__ or loaded.module.__name__)
    return replace(problem, mend=f"{problem.mend}\nor, for the command line, in {place}:   resources = [...]")


def _how_to_go_on(settings: Settings, loaded: Loaded, known: list[str]) -> str:
    if not known:
        return "interrupted before the run was started"
    line = settings.line("resume", known[0], target=loaded.named)
    return f"interrupted: run '{known[0]}' was let go. What was done is stored; to go on:\n    {line}"


def code_of(settings: Settings, graph: str) -> Loaded | None:
    """The graph with this name, out of the targets of this call; None where none of them has it.

    Raises:
        BadTarget: A target that would have to be looked into cannot be imported, or names no graph.
    """
    for named in settings.code:
        for loaded in every_graph(named):
            if loaded.graph.name == graph:
                return loaded
    return None


def code_of_run(settings: Settings, key: str, *words: str) -> Loaded:
    """The graph of a run, where nothing can be done without it.

    Args:
        settings: What was said on the line.
        key: The run.
        *words: The command that needs its code.

    Raises:
        NoCode: No target has it.
        UnknownRun: There is no such run.
    """

    async def find() -> str:
        async with read_store(settings) as store:
            return (await find_run(store, key)).graph

    graph = asyncio.run(find())
    found = code_of(settings, graph)
    if found is not None:
        return found
    targets = ", ".join(named.text for named in settings.code)
    looked = f"the targets have none of that name ({targets})" if targets else "no target was named"
    line = f"{settings.line(*words)} --target path/file.py:{graph if graph.isidentifier() else 'graph'}"
    raise NoCode(f"this needs the code of run '{key}', its graph '{graph}', and {looked}. Say where it is:\n    {line}")
