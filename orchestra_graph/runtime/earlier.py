"""What a fork takes from the logs of the runs that it comes from, instead of running it.

Rule 1. Those runs are only read.
Rule 2. A result is taken where the same activation has finished before, with the same code and the same reads: it is
read like a log row, and where the run goes from there is decided anew.
Rule 3. What is to be taken is taken before anything is run, in the order of the log where that can make a difference:
so a race has the same winner, and its losers are not begun.
Rule 4. An irreversible node that has happened in one of those runs never happens again unless a person says so.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from orchestra_graph.clock import Clock
from orchestra_graph.core import events as ev
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.errors import OrchestraError
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.blobs import read_body
from orchestra_graph.runtime.cache import reads_of, writes_in
from orchestra_graph.runtime.code_version import code_at, codes_of
from orchestra_graph.runtime.forms import parts_of
from orchestra_graph.runtime.happening import Happening
from orchestra_graph.runtime.invoke import Invoker, Result
from orchestra_graph.runtime.outline import known_event
from orchestra_graph.runtime.wellformed import fold
from orchestra_graph.store.base import RunRow, Store

__all__ = ["Earlier"]

_LOG = logging.getLogger("orchestra_graph.run")


class _Done(NamedTuple):
    """A finished activation of an earlier run.

    Attributes:
        seq: The log row.
        code: The code of its node; empty where that is not known.
        reads: A hash of what it read; empty where that cannot be said.
    """

    seq: int
    code: str
    reads: str


@dataclass(slots=True)
class _Past:
    """What was done in one earlier run.

    Attributes:
        row: The run.
        done: The activations that have finished, by id.
        happened: Irreversible ones (among others) that were begun there, or taken from elsewhere, and did not fail.
        defaults: What was made by default for a graph inside, by the activation that entered it.
        forked: What made it a fork itself, or None.
    """

    row: RunRow
    done: dict[str, _Done] = field(default_factory=dict)
    happened: set[str] = field(default_factory=set)
    defaults: dict[str, dict[str, Any]] = field(default_factory=dict)
    forked: ev.RunForked | None = None


class Taking(Protocol):
    """Who takes earlier results: a `Drive`."""

    store: Store
    row: RunRow
    run: RunState
    invoker: Invoker
    clock: Clock

    def add(self, happening: Happening) -> None:
        """Let something happen to the run."""
        ...

    def taken_over(self, activation: Activation, result: Result) -> None:
        """An activation has finished with an earlier result."""
        ...

    def refuse(self, activation: Activation, error: Exception, began: float) -> None:
        """What it came to is no good."""
        ...


class Earlier:
    """What a fork takes from the logs of the runs that it comes from; of a run that is no fork: nothing."""

    def __init__(self, drive: Taking):
        self._drive = drive
        self._pasts: list[_Past] | None = None if drive.row.origin is not None else []
        self._matches: dict[str, tuple[_Past, _Done] | None] = {}
        self._again: dict[str, bool] = {}
        self._in_order = _order_counts(drive.invoker.plan)

    async def take(self) -> bool:
        """Let all happen that was done before and can be taken now; whether there was anything."""
        run = self._drive.run
        if self._pasts is None:
            self._pasts = await self._read()
        if not self._pasts or run.halt is not None or run.status != "running":
            return False
        await self._look_at_irreversible()
        found = sorted(self._at_hand(), key=lambda match: match[2].seq)
        for activation, past, done in found[:1] if self._in_order else found:
            await self._take(activation, past, done)
        return bool(found)

    def defaults(self, activation: Activation) -> Mapping[str, Any]:
        """What was made by default when a graph inside was entered before."""
        return next((p.defaults[activation.id] for p in self._pasts or () if activation.id in p.defaults), {})

    def why_not(self, activation: Activation) -> str | None:
        """Why an irreversible node may not simply begin; None: it may."""
        past = next((p for p in self._pasts or () if activation.id in p.happened), None)
        if past is None or self._again.get(activation.id):
            return None
        there = f"in run '{past.row.key}', of which this is a fork"
        if activation.id not in past.done:
            return f"was begun {there}, and its outcome there is not known"
        return f"has happened {there}, on other values or with other code"

    # -- what is there to take ----------------------------------------------------------------------

    def _at_hand(self) -> Iterator[tuple[Activation, _Past, _Done]]:
        run = self._drive.run
        waiting = [run.live[i] for i in run.ready] + [
            a for a in run.live.values() if a.status in ("asking", "receiving")
        ]
        for activation in waiting:
            if run.plan.nodes[activation.vertex].passage:
                continue
            if activation.id not in self._matches:
                self._matches[activation.id] = self._match(activation)
            match = self._matches[activation.id]
            if match is not None:
                yield activation, *match

    def _match(self, activation: Activation) -> tuple[_Past, _Done] | None:
        plan, reads = self._drive.run.plan, _reads(self._drive.invoker, activation)
        code = code_at(plan, codes_of(plan), activation.vertex)
        for past in self._pasts or ():
            done = past.done.get(activation.id)
            if done is not None and reads and code and (done.reads, done.code) == (reads, code):
                return past, done
        return None

    async def _take(self, activation: Activation, past: _Past, done: _Done) -> None:
        drive, now = self._drive, self._drive.clock.now()
        self._matches[activation.id] = None  # whatever comes of it, once
        plan = drive.run.plan
        try:
            (row,) = await drive.store.rows(past.row.number, [done.seq])
            writes, replaced = writes_in(plan, plan.nodes[activation.vertex], await read_body(drive.store, row))
        except (OrchestraError, ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.warning("what %s gave in run %s is of no use: %s", activation.id, past.row.key, error)
            return
        try:
            result = drive.invoker.recalled(activation, writes, replaced, past.row.key)
        except Exception as error:
            drive.refuse(activation, error, now)
            return
        drive.taken_over(activation, result)

    async def _look_at_irreversible(self) -> None:
        """Whether a person has said in this run that what happened before is to happen once more."""
        run = self._drive.run
        for identity in run.ready:
            known = run.live[identity].asked and any(identity in past.happened for past in self._pasts or ())
            if known and not self._again.get(identity):
                self._again[identity] = await self._asked_since(identity)

    async def _asked_since(self, identity: str) -> bool:
        store, row, asked = self._drive.store, self._drive.row, False
        for logged in await store.log(row.number):
            if logged.kind in ("RunForked", "DoubtSettled"):
                event = known_event(logged, store.url, row.key)[0]
                asked = isinstance(event, ev.DoubtSettled) and (asked or event.id == identity)
        return asked

    # -- reading ------------------------------------------------------------------------------------

    async def _read(self) -> list[_Past]:
        """The runs that this one comes from, the nearest first; one that is there no more ends the row."""
        store, pasts, forked = self._drive.store, list[_Past](), await self._forked()
        while forked is not None and (row := await store.find(forked.origin)) is not None:
            pasts.append(await _past_of(store, row, self._drive.invoker, forked.known))
            forked = pasts[-1].forked
        return pasts

    async def _forked(self) -> ev.RunForked | None:
        """What made this run a fork: the last such row, for those before belong to the run that it was forked from."""
        store, row = self._drive.store, self._drive.row
        rows = [logged for logged in await store.log(row.number) if logged.kind == "RunForked"]
        event = known_event(rows[-1], store.url, row.key)[0] if rows else None
        return event if isinstance(event, ev.RunForked) else None


async def _past_of(store: Store, row: RunRow, invoker: Invoker, known: int) -> _Past:
    """Fold the first *known* rows of the log of a run, and note what each activation read when it finished."""
    past = _Past(row)
    try:
        rows = await store.log(row.number)
        for part in await parts_of(store, row, rows[:known], invoker.plan, whole=False):
            codes = ""  # of another form they say nothing; whoever moves a run says so anew
            for logged, event in part.rows:
                codes = getattr(event, "code", "") or codes
                _note(past, part.run, event, codes, invoker)
                fold(part.run, logged, event, store.url, row.key)
        for logged in rows[known:]:  # its results are not taken, but what cannot be undone has happened
            _note_irreversible(past, known_event(logged, store.url, row.key)[0])
    except OrchestraError as error:
        _LOG.warning("the log of run %s cannot be used by its fork: %s", row.key, error)
    return past


def _note_irreversible(past: _Past, event: ev.Event) -> None:
    match event:
        case ev.NodeStarted(id=identity) | ev.QuestionAsked(id=identity, doubt=True):
            past.happened.add(identity)
        case ev.NodeFinished(id=identity, reused=str()):
            past.happened.add(identity)
        case ev.NodeFailed(id=identity) | ev.DoubtSettled(id=identity):
            past.happened.discard(identity)


def _note(past: _Past, run: RunState, event: ev.Event, codes: str, invoker: Invoker) -> None:
    """Note what is about to happen in an earlier run; what was done in another form of the graph is not taken."""
    _note_irreversible(past, event)
    if isinstance(event, ev.RunForked):
        past.forked = event
    elif isinstance(event, ev.NodeFinished) and event.id in run.live and run.plan is invoker.plan:
        activation, plan = run.live[event.id], run.plan
        code = code_at(plan, codes, activation.vertex)
        past.done[event.id] = _Done(run.seq, code, _reads(invoker, activation))
        if made := _made(plan, activation, event):
            past.defaults[event.id] = made


def _made(plan: Plan, activation: Activation, event: ev.NodeFinished) -> dict[str, Any]:
    transfers = plan.nodes[activation.vertex].transfers
    names = [t.field for t in transfers if t.kind == "default" and plan.schema.fields[t.field].has_factory]
    return {name: event.writes[name] for name in names if name in event.writes}


def _reads(invoker: Invoker, activation: Activation) -> str:
    if invoker.plan.nodes[activation.vertex].passage:
        return ""
    try:
        return hashlib.sha256(reads_of(invoker, activation)).hexdigest()
    except Exception:  # whatever a user's type raises: it cannot be said what was read, so the node is run
        return ""


def _order_counts(plan: Plan) -> bool:
    """Whether it makes a difference what finishes first."""
    early = any(rule.kind in ("first", "until") for rule in plan.topology.rule)
    return bool(early or plan.races or plan.caps or any(node.terminates for node in plan.nodes))
