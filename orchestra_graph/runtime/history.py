"""The steps of a run, and the state after each of them: the log, read one row at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.run import RunState
from orchestra_graph.errors import UnknownStep
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.forms import parts_of
from orchestra_graph.runtime.invoke import state_of
from orchestra_graph.runtime.outline import known_event, written_in
from orchestra_graph.runtime.telling import Teller, teller_of
from orchestra_graph.state.schema import State
from orchestra_graph.store.base import LogRow, RunRow, Store

__all__ = ["Change", "HistoryStep", "changes_of", "history_of", "run_at", "state_so_far"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStep:
    """One row of the log of a run.

    Attributes:
        number: Its number, from 0; give it to `Run.state_at`.
        at: When, seconds since the epoch.
        what: What happened, such as ``NodeFinished``.
        id: Of which activation; None where it is the run's.
        node: The name of its node, or None.
        writes: The fields that were written.
        status: How the run stood right after.
        error: How the attempt failed, ``Type: message``, or None.
        reused: In a fork: the key of the run from whose log the result was taken; None: it was run.
        key: Of a ``StepDone``: what the node calls the step; None for all others.
    """

    number: int
    at: float
    what: str
    id: str | None = None
    node: str | None = None
    writes: tuple[str, ...] = ()
    status: RunStatus = "running"
    error: str | None = None
    reused: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one field between two steps, as plain data.

    Attributes:
        field: Its name.
        before: Its value at the first step; None also where it was not written yet.
        after: Its value at the second step.
        was_written: Whether it had a value at the first step.
        is_written: Whether it has a value at the second step.
    """

    field: str
    before: Any = None
    after: Any = None
    was_written: bool = True
    is_written: bool = True


async def history_of(store: Store, row: RunRow) -> list[HistoryStep]:
    """Every row of the log of a run; needs no code."""
    rows, steps = await store.log(row.number), []
    teller = await teller_of(store, row, rows)
    for logged in rows:
        await teller.read_from(store, logged)
        steps.append(_step(logged, teller, store.url))
    return steps


def _step(logged: LogRow, teller: Teller, url: str) -> HistoryStep:
    event, body = known_event(logged, url)
    identity, error = getattr(event, "id", None), getattr(event, "error", None)
    return HistoryStep(
        number=logged.seq,
        at=logged.at,
        what=logged.kind,
        id=identity,
        node=None if identity is None else teller.node_of(identity),
        writes=tuple(written_in(body)),
        status=teller.status,
        error=None if error is None else str(error),
        reused=getattr(event, "reused", None),
        key=getattr(event, "key", None),
    )


async def run_at(store: Store, row: RunRow, plan: Plan, step: int) -> RunState:
    """The state of a run right after one row of its log.

    Raises:
        UnknownStep: There is no such row.
    """
    rows = await store.log(row.number, upto=step) if step >= 0 else []
    if step < 0 or len(rows) != step + 1:
        raise UnknownStep(row.key, step, len(await store.log(row.number)) - 1)
    parts = await parts_of(store, row, rows, plan, whole=False)
    return [part.fold(store.url, row.key) for part in parts][-1]


def state_so_far(run: RunState) -> State:
    """The final state; before the end, the merge of everything that is live."""
    if run.result is not None:
        return state_of(run.plan, run.result.seen())
    if not (heads := run.heads):
        return state_of(run.plan, {})
    return state_of(run.plan, run.revisions.look(heads, run.lost))


def changes_of(before: State, after: State) -> list[Change]:
    """Every field in which two states differ, in the order of the declaration."""
    one, other = _plain(before), _plain(after)
    return [
        Change(
            field=name,
            before=one.get(name),
            after=other.get(name),
            was_written=name in one,
            is_written=name in other,
        )
        for name in type(after).model_fields
        if (name in one, one.get(name)) != (name in other, other.get(name))
    ]


def _plain(state: State) -> Mapping[str, Any]:
    values = {name: state.__dict__[name] for name in type(state).model_fields if name in state.__dict__}
    return {name: to_jsonable_python(value, inf_nan_mode="strings", fallback=repr) for name, value in values.items()}
