"""A fork of a run: the rows of its log up to a step, and one that makes a run of its own of them.

Rule 1. The run that is forked is only read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.run import RunState
from orchestra_graph.errors import BadInput, NotStorable, RunEnded, RunKeyTaken, UnknownStep, nearest
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import Limits
from orchestra_graph.runtime.blobs import log_row
from orchestra_graph.runtime.code_version import codes_of
from orchestra_graph.runtime.forms import parts_of
from orchestra_graph.runtime.load import Behind, Loaded
from orchestra_graph.runtime.wellformed import check_rest, fold
from orchestra_graph.state.codec import first_line, parse
from orchestra_graph.store.base import LogRow, NewRun, QuestionRow, RunRow, Store

__all__ = ["Fork", "accept_update", "check_same_fork", "fork_of"]


class Fork(NamedTuple):
    """A fork that can be created.

    Attributes:
        new: The run.
        loaded: Its state.
        row: The log row that makes it a run of its own.
    """

    new: NewRun
    loaded: Loaded
    row: LogRow


def accept_update(plan: Plan, update: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Check what a fork sets, field by field.

    Returns:
        The values, and the JSON of each.

    Raises:
        BadInput: There is no such field in the state, or a value does not fit.
    """
    values, fragments = {}, {}
    for name, value in update.items():
        if name not in plan.own:
            state = plan.schema.state.__name__
            raise BadInput(f"'{name}' is no field of {state}, so it cannot be updated.{nearest(name, plan.own)}")
        try:
            values[name], fragments[name] = plan.codec.fields[name].accept(value)
        except ValidationError as error:
            raise BadInput(f"field '{name}' does not fit: {first_line(error)}") from None
        except NotStorable as error:
            raise BadInput(str(error)) from None
    return values, fragments


async def fork_of(
    store: Store,
    row: RunRow,
    plan: Plan,
    *,
    key: str,
    at: int | None,
    update: Mapping[str, Any],
    limits: Limits | None,
    now: float,
) -> Fork:
    """Everything that a fork of a run begins with.

    Args:
        store: Where the run is kept.
        row: The run.
        plan: Its graph.
        key: Of the fork.
        at: The last step that both have; None: the last one, before a cancellation.
        update: Field to value.
        limits: The allowance from there on; None: what is left of that of the run.
        now: Seconds since the epoch.

    Raises:
        UnknownStep: There is no such step.
        BadInput: The update does not fit.
        RunEnded: At that step the run was cancelled, or had failed so that nothing can mend it.
    """
    rows, known = await _prefix(store, row, at)
    begun = await _folded(store, row, plan, rows, whole=at is None)
    run = begun.run
    values, fragments = accept_update(run.plan, update)
    if run.status == "cancelled":
        raise RunEnded(row.key, run.status, f"be forked at step {rows[-1].seq}: nothing is live there")
    forked = _forked(run, row, values, limits, now, step=rows[-1].seq, known=known)
    own = log_row(run.seq, forked, fragments)
    evolve(run, forked)
    if run.status == "failed" and run.halt is not None and run.halt.final:
        raise RunEnded(row.key, run.status, f"be forked at step {forked.step}: what failed would fail again")
    run.closed.clear()  # what is asked no more is not asked in the fork, either
    run.led_on.clear()
    every = [*rows, own.row]
    new = NewRun(
        key=key,
        graph=row.graph,
        version=run.plan.version,
        fingerprint=run.plan.fingerprint,
        shape=await store.shape(run.plan.fingerprint) or json.dumps(plan.shape),
        body=rows[0].body,
        kind=rows[0].kind,
        at=rows[0].at,
        created_at=own.row.at,
        storage=row.storage,
        blobs=own.blobs,
        rows=every[1:],
        asked=await _questions(store, row, begun),
        pinned=row.pinned,
        origin=row.key,
    )
    behind = Behind(rows=len(every), bytes=sum(len(r.body) for r in every))
    return Fork(new, Loaded(run, behind), own.row)


class _Begun(NamedTuple):
    """Where a fork begins.

    Attributes:
        run: The state there.
        asked: The questions that were asked before.
        answered: Those of them whose answers were taken before.
    """

    run: RunState
    asked: Collection[str]
    answered: Collection[str]


async def _folded(store: Store, row: RunRow, plan: Plan, rows: Sequence[LogRow], *, whole: bool) -> _Begun:
    asked, answered = set[str](), set[str]()
    parts = await parts_of(store, row, rows, plan, whole=whole)
    for part in parts:
        for logged, event in part.rows:
            activation = part.run.live.get(getattr(event, "id", ""))
            if isinstance(event, ev.Answered) and activation is not None and activation.question is not None:
                answered.add(activation.question)
            elif isinstance(event, ev.QuestionAsked):
                asked.add(event.question)
            fold(part.run, logged, event, store.url, row.key)
    check_rest(parts[-1].run, store.url, row.key)
    return _Begun(parts[-1].run, asked, answered)


async def _questions(store: Store, row: RunRow, begun: _Begun) -> list[QuestionRow]:
    """The questions that the fork begins with."""
    open_now = {activation.question for activation in begun.run.questions}
    found = [q for q in await store.questions(row.number, status=()) if q.id in begun.asked]
    return [_as_of(q, q.id in open_now, q.id in begun.answered) for q in found]


async def _prefix(store: Store, row: RunRow, at: int | None) -> tuple[list[LogRow], int]:
    """The log up to a step, and how many rows there are."""
    rows = await store.log(row.number)
    ended = next((logged.seq for logged in rows if logged.kind == "RunCancelled"), len(rows))
    if at is None:
        return rows[:ended], len(rows)
    if not 0 <= at < len(rows):
        raise UnknownStep(row.key, at, len(rows) - 1)
    return rows[: at + 1], len(rows)


def _forked(
    run: RunState, row: RunRow, values: Mapping[str, Any], limits: Limits | None, now: float, *, step: int, known: int
) -> ev.RunForked:
    old = run.steps_allowed, run.seconds_allowed, run.turns_allowed
    steps, seconds, turns = old if limits is None else (limits.steps, limits.seconds, limits.turns)
    return ev.RunForked(
        at=now,
        origin=row.key,
        step=step,
        known=known,
        values=values,
        steps=steps,
        seconds=seconds,
        turns=turns,
        anew=limits is not None,
        code=codes_of(run.plan),
    )


def _as_of(row: QuestionRow, is_open: bool, was_answered: bool) -> QuestionRow:
    """A question as it stands where the fork begins; one that is open there has the answer that it was given since."""
    if is_open:
        return row if row.status == "answered" else replace(row, status="open")
    if row.status == "answered" and was_answered:
        return row
    status = "withdrawn" if row.status in ("open", "answered") else row.status
    return replace(row, status=status, answer=None, answered_at=None)


async def check_same_fork(store: Store, found: RunRow, wanted: Fork) -> None:
    """Make sure that the run that has a key already is the fork that was to be made.

    Raises:
        RunKeyTaken: It is another run.
    """
    mine = wanted.row
    rows = await store.rows(found.number, [mine.seq])
    same = found.origin == wanted.new.origin and [_said(r) for r in rows] == [_said(mine)]
    if not same:
        raise RunKeyTaken(found.key, f"it is no fork of '{wanted.new.origin}' at step {mine.seq - 1} with this update")


def _said(row: LogRow) -> Any:
    body = parse(row.body)
    return row.kind, [body.get(name) for name in ("origin", "step", "writes", "blobs")]
