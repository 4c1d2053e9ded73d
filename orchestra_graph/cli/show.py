"""`orchestra show`: one run, node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import run_keys
from orchestra_graph.cli.report import Report, has_colours
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.cli.config import Named
    from orchestra_graph.cli.looking import Seen
    from orchestra_graph.errors import StoreSealed
    from orchestra_graph.runtime.explain import Reason

__all__ = ["show"]


@command("show")
@click.argument("key", metavar="RUN", shell_complete=run_keys)
def show(settings: Settings, key: str) -> Report:
    """Show what a run has done, what it waits for, and what it asks.

    Its state is shown, too, where the code of its graph is at hand: --target, $ORCHESTRA_TARGET or pyproject.toml.
    """
    import asyncio

    from orchestra_graph.cli.looking import look_at_run
    from orchestra_graph.cli.telling import activation_facts, question_facts
    from orchestra_graph.cli.words import run_facts, when
    from orchestra_graph.errors import StoreSealed

    try:
        seen = asyncio.run(look_at_run(settings, key))
    except StoreSealed as error:
        return asyncio.run(_sealed(settings, key, error))
    state, hidden, target = _state(settings, seen)
    document = {
        "run": {**run_facts(seen.row), "ended": when(seen.record.ended), "steps": seen.record.steps},
        "activations": [activation_facts(record) for record in seen.record.activations],
        "why": [{"kind": type(reason).__name__, "text": str(reason)} for reason in seen.explanation.reasons],
        "questions": [question_facts(question, settings, target) for question in seen.questions],
        "state": state,
        "state_hidden": hidden,
    }
    return Report(document=document, text="\n".join(_lines(settings, seen, state, hidden, target)))


async def _sealed(settings: Settings, key: str, error: StoreSealed) -> Report:
    """What can be said of a run whose values are encrypted, and there is no key."""
    from orchestra_graph.cli.database import existing, find_run
    from orchestra_graph.cli.words import printable, run_facts
    from orchestra_graph.clock import as_text
    from orchestra_graph.store import open_store

    async with open_store(existing(settings)) as store:
        row = await find_run(store, key)
    hidden = f"encrypted (key '{error.key}')"
    document: dict[str, Any] = {
        "run": {**run_facts(row), "ended": None, "steps": None},
        "activations": [],
        "why": [],
        "questions": [],
        "state": None,
        "state_hidden": hidden,
    }
    lines = [
        f"{row.key} ({row.graph}) is {row.status}, since {as_text(row.updated_at)}; all else is {hidden}",
        f"    To see it:   export ORCHESTRA_KEYS={error.key}:BASE64",
    ]
    return Report(document=document, text="\n".join(map(printable, lines)))


def _state(settings: Settings, seen: Seen) -> tuple[dict[str, Any] | None, str | None, Named | None]:
    """The state; or why it is not shown, which does not keep the rest from being shown; and where the code is."""
    import asyncio

    from orchestra_graph.cli.driving import code_of
    from orchestra_graph.cli.telling import state_facts
    from orchestra_graph.errors import OrchestraError
    from orchestra_graph.runtime.engine import Engine
    from orchestra_graph.state.schema import State

    try:
        loaded = code_of(settings, seen.row.graph)
        if loaded is None:
            return None, f"it needs the code of the graph:   --target path/file.py:{seen.row.graph}", None

        async def read() -> State:
            async with Engine(settings.url, keys=settings.keys) as engine:
                run = await engine.get(seen.row.key, loaded.graph)
                state: State = await run.state()
                return state

        return state_facts(asyncio.run(read())), None, loaded.named
    except OrchestraError as error:
        return None, str(error), None


def _lines(
    settings: Settings, seen: Seen, state: dict[str, Any] | None, hidden: str | None, target: Named | None
) -> list[str]:
    from orchestra_graph.cli.telling import question_lines, taken_line, value_lines
    from orchestra_graph.cli.words import bold, columns, printable
    from orchestra_graph.render import text_of

    lines = text_of(seen.picture, colour=has_colours(), ways=False, columns=columns()).splitlines()
    errors = [f"{a.id}: {a.error}" for a in seen.record.activations if a.error and a.status in ("failed", "retrying")]
    if errors:
        lines += ["", bold("errors"), *(f"  {printable(line)}" for error in errors for line in error.splitlines())]
    reused = [a.id for a in seen.record.activations if a.reused is not None]
    if seen.row.origin is not None:
        lines += ["", bold(f"fork of {printable(seen.row.origin)}"), f"  {printable(taken_line(reused))}"]
    stuck = [line for reason in seen.explanation.reasons for line in _said_only_here(reason)]
    if stuck:
        lines += ["", bold("what it is at" if seen.row.status == "running" else "why it does not go on"), *stuck]
    if seen.questions:
        asked = [line for question in seen.questions for line in question_lines(question, settings, target)]
        lines += ["", bold("questions"), *(f"  {line}" for line in asked)]
    if state is not None:
        lines += ["", bold("state"), *(f"  {line}" for line in value_lines(state))]
    elif hidden is not None:
        lines += ["", bold("state (not shown)"), *(f"  {printable(line)}" for line in hidden.splitlines())]
    for why, line in _next(settings, seen, target):
        lines += ["", why, f"    {printable(line)}"]
    return lines


def _said_only_here(reason: Reason) -> list[str]:
    """A reason, unless it is an error or a question: these have parts of their own."""
    from orchestra_graph.cli.words import printable
    from orchestra_graph.runtime.explain import Failure, PersonWaits

    if isinstance(reason, Failure | PersonWaits):
        return []
    return [f"  {printable(line)}" for line in str(reason).splitlines()]


def _channels(seen: Seen) -> list[str]:
    """Where the run waits for messages."""
    from orchestra_graph.runtime.explain import MessageWaits

    found = [reason.channel for reason in seen.explanation.reasons if isinstance(reason, MessageWaits)]
    return list(dict.fromkeys(found))


def _next(settings: Settings, seen: Seen, target: Named | None) -> list[tuple[str, str]]:
    """What could be typed next."""
    key = seen.row.key
    match seen.row.status:
        case "running" if seen.row.owner is None:
            return [("nothing drives it; to go on:", settings.line("resume", key, target=target))]
        case "running" if not seen.explanation.driven:
            return [("the process that drove it has died; to go on:", settings.line("resume", key, target=target))]
        case "failed" | "stopped" | "dead":
            return [("to go on from there:", settings.line("retry", key, target=target))]
        case "waiting" if channels := _channels(seen):
            return [
                (f"to send it one on '{c}':", settings.line("send", key, c, "...", target=target)) for c in channels
            ]
        case "waiting" if not seen.questions:
            return [("nothing is asked any more; to go on:", settings.line("resume", key, target=target))]
    return []
