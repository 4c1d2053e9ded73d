"""A run as it goes on, line by line, for whoever sits at a terminal.

It is read from the events of the run, so that it does not matter which process drives it.

Rule 1. What is shown never disturbs the run: nothing is awaited for it, and its errors are dropped.
Rule 2. Many that happen at once are one line: an `each` over thousands must not scroll everything else away.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import click

from orchestra_graph import events as public
from orchestra_graph.cli.words import printable
from orchestra_graph.events import RunEvent
from orchestra_graph.render.words import duration, plural, several, shorten
from orchestra_graph.runtime.engine import Run

__all__ = ["batches", "follow", "lines_of"]

_PAUSE = 0.1  # between two looks: what finishes meanwhile is counted together
_FEW = 3
_LONG = 60
_TIMES = "\u00d7"


@contextlib.asynccontextmanager
async def follow(run: Run[Any], *, from_start: bool, shown: bool) -> AsyncIterator[None]:
    """Print what happens to a run while the block runs.

    Args:
        run: The run.
        from_start: Whether to begin with what happened before.
        shown: Whether to print at all: not into a pipe, and not beside a JSON document.
    """
    if not shown or not sys.stderr.isatty():
        yield
        return
    follower = _Follower(run, None if from_start else await _last(run))
    task = asyncio.create_task(follower.go(), name=f"progress of {run.key}")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(Exception):
            await follower.rest()


async def _last(run: Run[Any]) -> str | None:
    cursor = None
    async for event in run.events(follow=False):
        cursor = event.cursor
    return cursor


class _Follower:
    def __init__(self, run: Run[Any], after: str | None):
        self._run, self._after = run, after

    async def go(self) -> None:
        async for batch in batches(self._run.events(self._after)):
            self._show(batch)

    async def rest(self) -> None:
        """Show what was stored since the last look."""
        self._show([event async for event in self._run.events(self._after, follow=False)])

    def _show(self, batch: list[RunEvent]) -> None:
        if batch:
            self._after = batch[-1].cursor
        for line in lines_of(batch):
            click.echo(f"  {line}", err=True)


async def batches(source: AsyncGenerator[RunEvent, None]) -> AsyncIterator[list[RunEvent]]:
    """The events of a run, those together that come within a moment."""
    queue: asyncio.Queue[RunEvent | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async for event in source:
                queue.put_nowait(event)
        finally:
            queue.put_nowait(None)

    reader = asyncio.create_task(read(), name="reader of events")
    try:
        last = False
        while not last:
            batch = [await queue.get()]
            await asyncio.sleep(_PAUSE)
            while not queue.empty():
                batch.append(queue.get_nowait())
            last = batch[-1] is None
            yield [event for event in batch if event is not None]
        await reader  # raises what it raised
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await source.aclose()


# -- lines -------------------------------------------------------------------------------------------

_Lines = Mapping[type[Any], Callable[[Any], str]]


def lines_of(events: Iterable[RunEvent], *, whole: bool = False) -> Iterator[str]:
    """What is worth a line, many of one node in one line.

    Args:
        events: What happened.
        whole: Say what the run itself does and which nodes start, too, for who sees nothing else of it.
    """
    told = {**_LINES, **_MORE} if whole else _LINES
    shown = (event for event in events if type(event) in told)
    for (kind, node), group in groupby(shown, key=_same):
        alike = list(group)
        if kind in _COUNTED and len(alike) > _FEW:
            yield printable(f"{_COUNTED[kind]} {node} {_TIMES}{len(alike):,}{_longest(alike)}")
        else:
            yield from (" ".join(printable(told[kind](event)).splitlines()) for event in alike)


def _same(event: RunEvent) -> tuple[type[Any], str]:
    return type(event), getattr(event, "node", "")


def _longest(events: list[RunEvent]) -> str:
    took = [event.took for event in events if isinstance(event, public.NodeFinished)]
    return f"  (up to {duration(max(took))})" if took else ""


def _finished(event: public.NodeFinished) -> str:
    tries = f", {plural(event.attempt, 'attempt')}" if event.attempt > 1 else ""
    if event.reused is not None:
        return f"✓ {event.id}  (taken from {event.reused})"
    return f"✓ {event.id}  ({duration(event.took)}{tries})"


def _failed(event: public.NodeFailed) -> str:
    if event.to:
        return f"✗ {event.id}  {event.error}; goes on at {several(event.to)}"
    if event.retry_at is None:
        return f"✗ {event.id}  {event.error}"
    return (
        f"↻ {event.id}  {event.error} (attempt {event.attempt}; again in {duration(max(0, event.retry_at - event.at))})"
    )


def _progress(event: public.Progress) -> str:
    done = "" if event.fraction is None else f"{event.fraction:.0%}"
    return f"… {event.id}  {' '.join(filter(None, (done, event.text)))}".rstrip()


def _retold(event: public.RunEnded) -> str:
    reason = f": {event.reason}" if event.reason else ""
    return f"{_ENDINGS[event.status]} {event.status}{reason}"


_ENDINGS = {"done": "✓", "failed": "✗", "cancelled": "⊘", "stopped": "■", "dead": "✝"}
_COUNTED: Mapping[type[Any], str] = {
    public.NodeStarted: "►",
    public.NodeFinished: "✓",
    public.NodeWithdrawn: "⊘",
    public.QuestionAsked: "?",
    public.Progress: "…",
    public.Emitted: "·",
}
_LINES: _Lines = {
    public.NodeFinished: _finished,
    public.NodeFailed: _failed,
    public.NodeWithdrawn: lambda event: f"⊘ {event.id}  withdrawn",
    public.LateResult: lambda event: f"· {event.id}  ended after its timeout ({event.outcome}); dropped",
    public.QuestionAsked: lambda event: f"? {event.question}  asks {event.to or 'a person'}",
    public.LimitReached: lambda event: f"■ limit reached: {event.limit} (allowed: {event.allowed:g})",
    public.Interrupted: lambda event: f"⊘ message {event.message} on '{event.channel}' interrupts",
    public.MessageRefused: lambda event: f"✗ message {event.message} on '{event.channel}' is refused: {event.error}",
    public.Progress: _progress,
    public.Emitted: lambda event: f"· {event.id}  {shorten(' '.join(repr(event.value).split()), _LONG)}",
}
_MORE: _Lines = {
    public.RunStarted: lambda event: f"► {event.run} starts: {event.graph} {event.version}",
    public.NodeStarted: lambda event: f"► {event.id}" + (f"  attempt {event.attempt}" if event.attempt > 1 else ""),
    public.StepDone: lambda event: f"· {event.id}  step '{event.key}' is done",
    public.Answered: lambda event: f"✓ {event.question}  was answered",
    public.QuestionWithdrawn: lambda event: f"⊘ {event.question}  is not asked any more",
    public.Waiting: lambda event: f"? waits for {several((*event.questions, *event.channels))}",
    public.RunResumed: lambda event: "► goes on",
    public.RunRetried: lambda event: "► is retried",
    public.RunMoved: lambda event: f"► goes on with version {event.version} of its graph",
    public.RunForked: lambda event: f"► is a fork of {event.origin} from here on",
    public.RunCancelled: lambda event: "⊘ is cancelled",
    public.RunEnded: _retold,
}
