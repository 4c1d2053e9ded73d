"""A run as it goes on, line by line, for whoever sits at a terminal.

It is read from the log, so that it does not matter which process drives the run.

Rule 1. What is shown never disturbs the run: nothing is awaited for it, and its errors are dropped.
Rule 2. Many that finish at once are one line: an `each` over thousands must not scroll everything else away.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import click

from orchestra_graph.cli.words import printable
from orchestra_graph.core import events as ev
from orchestra_graph.render.words import duration, plural
from orchestra_graph.runtime.journal import event_of
from orchestra_graph.store.base import RunRow, Store

__all__ = ["follow", "lines_of"]

_PAUSE = 0.1  # between two looks: what finishes meanwhile is counted together
_FEW = 3
_MARKS = re.compile("[@#~!]")  # what follows the node's name in an id: turn, instance ...
_TIMES = "\u00d7"


@contextlib.asynccontextmanager
async def follow(store: Store, row: RunRow, *, from_start: bool, shown: bool) -> AsyncIterator[None]:
    """Print what happens to a run while the block runs.

    Args:
        store: Where it is.
        row: The run.
        from_start: Whether to begin with what happened before.
        shown: Whether to print at all: not into a pipe, and not beside a JSON document.
    """
    if not shown or not sys.stderr.isatty():
        yield
        return
    follower = _Follower(store, row, -1 if from_start else await _last(store, row))
    task = asyncio.create_task(follower.go(), name=f"progress of {row.key}")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(Exception):
            await follower.look()


async def _last(store: Store, row: RunRow) -> int:
    log = await store.log(row.number)
    return log[-1].seq if log else -1


class _Follower:
    def __init__(self, store: Store, row: RunRow, after: int):
        self._store, self._row, self._after = store, row, after

    async def go(self) -> None:
        while True:
            await self._store.changes(1.0)
            await self.look()
            await asyncio.sleep(_PAUSE)

    async def look(self) -> None:
        log = await self._store.log(self._row.number, after=self._after)
        if log:
            self._after = log[-1].seq
            for line in lines_of(event_of(row, None) for row in log):
                click.echo(f"  {line}", err=True)


def lines_of(events: Iterable[ev.Event]) -> Iterator[str]:
    """What is worth a line, many of one node in one line."""
    shown = (event for event in events if type(event) in _LINES)
    for (kind, node), group in groupby(shown, key=_same):
        alike = list(group)
        if kind is ev.NodeFinished and len(alike) > _FEW:
            longest = duration(max(event.took for event in alike if isinstance(event, ev.NodeFinished)))
            yield printable(f"✓ {node} {_TIMES}{len(alike):,}  (up to {longest})")
        else:
            yield from (printable(_LINES[kind](event)) for event in alike)


def _same(event: ev.Event) -> tuple[type[ev.Event], str]:
    return type(event), _MARKS.split(getattr(event, "id", ""), maxsplit=1)[0]


def _finished(event: ev.NodeFinished) -> str:
    tries = f", {plural(event.attempt, 'attempt')}" if event.attempt > 1 else ""
    return f"✓ {event.id}  ({duration(event.took)}{tries})"


def _failed(event: ev.NodeFailed) -> str:
    if event.retry_at is None:
        return f"✗ {event.id}  {event.error}"
    return (
        f"↻ {event.id}  {event.error} (attempt {event.attempt}; again in {duration(max(0, event.retry_at - event.at))})"
    )


def _asked(event: ev.QuestionAsked) -> str:
    return f"? {event.question}  asks {event.to or 'a person'}"


_LINES: Mapping[type[ev.Event], Callable[[Any], str]] = {
    ev.NodeFinished: _finished,
    ev.NodeFailed: _failed,
    ev.QuestionAsked: _asked,
    ev.LimitPassed: lambda event: f"■ limit reached: {event.limit} (allowed: {event.allowed:g})",
}
