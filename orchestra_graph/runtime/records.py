"""What happened in a run, read from the log alone.

No code of the graph is needed, only its forms, which the store keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.record import ActivationRecord, ActivationStatus, RunRecord
from orchestra_graph.core.run import Activation, RunState, Status
from orchestra_graph.runtime.forms import parts_of
from orchestra_graph.runtime.outline import known_event, outline, outline_of, shape_of, written_in
from orchestra_graph.runtime.wellformed import check_place, reading_row
from orchestra_graph.store.base import RunRow, Store

__all__ = ["known_event", "outline", "outline_of", "record_of", "shape_of", "written_in"]


async def record_of(store: Store, row: RunRow) -> RunRecord:
    """Read a run's log and make its table."""
    first, *later = await parts_of(store, row, await store.log(row.number), None)
    reader = _Reader(first.run)
    for part in (first, *later):
        if part.moved is not None:
            reader.moved(part.run)
        for logged, event in part.rows:
            with reading_row(logged, store.url, row.key):
                check_place(reader.run, logged, event)
                reader.read(event)
    return reader.record(row)


_SHOWN: dict[Status, ActivationStatus] = {
    "queued": "ready",
    "ready": "ready",
    "running": "running",
    "retrying": "retrying",
    "asking": "waiting",
    "receiving": "waiting",
    "failed": "failed",
}


class _Reader:
    def __init__(self, run: RunState):
        self.run, self.plan = run, run.plan
        self.seen: dict[str, ActivationRecord] = {}
        self.taken: dict[int, int] = {}
        self.ended: float | None = None

    def read(self, event: ev.Event) -> None:
        # What was withdrawn may have an end in the log all the same: it came in the same moment, and changed nothing.
        counts = getattr(event, "id", None) in self.run.live
        for activation in evolve(self.run, event):
            self.seen[activation.id] = self._first(activation)
        self._took([ev.Taken(edge) for edge in self.run.led_on])
        self.run.led_on.clear()
        if isinstance(event, ev.RunStarted):
            starts = (group for group in self.plan.nodes[0].groups if group.kind == "edges")
            self.taken.update(dict.fromkeys((edge for group in starts for edge in group.edges), 1))
        elif isinstance(event, ev.NodeFinished) and counts:
            self._finished(event)
        elif isinstance(event, ev.NodeFailed) and counts:
            self._failed(event)
        elif isinstance(event, ev.QuestionAsked) and counts:
            self._change(event.id, waiting_for=event.to or "a person")
        self.ended = event.at if isinstance(event, ev.RunEnded) else None

    def moved(self, run: RunState) -> None:
        """From here on the run goes on with another form of its graph."""
        edges = run.moves[-1].edges
        self.run, self.plan = run, run.plan
        self.taken = {edges[edge]: times for edge, times in self.taken.items() if edge in edges}
        for activation in run.live.values():
            known = self.seen.get(activation.id)
            name = run.name(activation.vertex)
            self.seen[activation.id] = self._first(activation) if known is None else replace(known, node=name)

    def _first(self, activation: Activation) -> ActivationRecord:
        turns = [c for c in activation.stamp if isinstance(c, int)]
        return ActivationRecord(
            id=activation.id,
            node=self.run.name(activation.vertex),
            status="ready",
            started=activation.since,
            turn=turns[-1] if turns else None,
            passage=self.plan.nodes[activation.vertex].passage,
        )

    def _change(self, identity: str, **changed: Any) -> None:
        if identity in self.seen:
            self.seen[identity] = replace(self.seen[identity], **changed)

    def _finished(self, event: ev.NodeFinished) -> None:
        started = event.at - event.took
        how = {"attempts": event.attempt, "reused": event.reused}
        self._change(event.id, status="done", started=started, ended=event.at, error=None, **how)
        self._took(event.taken)

    def _failed(self, event: ev.NodeFailed) -> None:
        """An attempt failed; where the run goes on without it, over other edges or at a join, it was the last one."""
        self._change(event.id, attempts=event.attempt, error=str(event.error))
        if event.id not in self.run.live:
            self._change(event.id, status="failed", ended=event.at)
        self._took(event.taken)

    def _took(self, taken: Sequence[ev.Taken]) -> None:
        for edge, times in taken:
            self.taken[edge] = self.taken.get(edge, 0) + (1 if times is None else times)

    def record(self, row: RunRow) -> RunRecord:
        activations = tuple(self._last(a, driven=row.owner is not None) for a in self.seen.values())
        return RunRecord(
            key=row.key,
            graph=row.graph,
            version=row.version,
            status=row.status,
            started=self.run.started_at,
            ended=self.ended,
            activations=activations,
            taken=self.taken,
            steps=self.run.steps,
        )

    def _last(self, record: ActivationRecord, *, driven: bool) -> ActivationRecord:
        """How an activation stands at the end of the log."""
        if record.status == "done":
            return record
        live = self.run.live.get(record.id)
        if live is None:
            return record if record.status == "failed" else replace(record, status="withdrawn", ended=self.run.last_at)
        status = _SHOWN[live.status]
        if status == "ready" and driven:
            status = "running"  # it may start, and somebody drives the run: starts are not logged one by one
        waiting = record.waiting_for if status == "waiting" else None
        if live.status == "receiving":
            waiting = f"a message on '{self.plan.nodes[live.vertex].channel}'"
        return replace(record, status=status, attempts=live.attempt, ended=None, waiting_for=waiting)
