"""`Mail`: what is sent to one run while it is driven.

Rule 1. A message is taken in the transaction of the event that takes it. Until then it stays in the store.
Rule 2. What is heard twice is one message: it is known by its id.
Rule 3. On a channel the oldest message goes to the node that has waited longest; messages that interrupt go first.
Rule 4. A message that does not fit is refused, which is recorded: it must not keep the run from the next one.
"""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Protocol

from orchestra_graph.clock import Clock, as_text
from orchestra_graph.core import events as ev
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.errors import BadWrite
from orchestra_graph.graph.plan import PlanNode
from orchestra_graph.runtime.classify import described
from orchestra_graph.runtime.happening import Happening
from orchestra_graph.runtime.invoke import Invoker
from orchestra_graph.runtime.reports import Reports
from orchestra_graph.state.codec import JsonCodec
from orchestra_graph.store.base import MessageRow, RunRow, Store

__all__ = ["CANCEL", "Mail", "Message", "deliverable", "interrupts", "message_codec", "payload_in", "same_message"]

CANCEL = "$cancel"
"""The channel for the wish that a run be cancelled."""

_REMEMBERED = 1000
_NUMBER = attrgetter("number")


class Receiving(Protocol):
    """Whose mail this is: a `Drive`."""

    store: Store
    row: RunRow
    run: RunState
    invoker: Invoker
    clock: Clock
    reports: Reports

    def wake(self) -> None:
        """Look at what has happened."""
        ...


class Mail:
    """The messages of one run that nobody has taken yet."""

    def __init__(self, drive: Receiving):
        self._drive = drive
        self._interrupting: list[MessageRow] = []  # the oldest first, as in each of the next
        self._waiting: dict[str, list[MessageRow]] = {}  # by channel
        self._known: dict[str, None] = {}  # the last ones that were heard of
        self._interrupted: set[str] = set()

    async def look(self) -> None:
        """Take in what was sent while nobody listened."""
        self.hear(await self._drive.store.inbox(self._drive.row.number))

    def hear(self, rows: Iterable[MessageRow]) -> None:
        """Take in what was sent just now."""
        for row in rows:
            if row.id not in self._known:
                self._known[row.id] = None
                insort(self._queue(row), row, key=_NUMBER)
                self._drive.wake()
        unread = len(self._interrupting) + sum(map(len, self._waiting.values()))
        while len(self._known) > _REMEMBERED + unread:
            del self._known[next(iter(self._known))]

    def forget(self) -> None:
        """What was heard is not known any more: the run was loaded anew."""
        self._interrupting.clear()
        self._waiting.clear()
        self._known.clear()
        self._interrupted.clear()

    def next(self) -> Happening | None:
        """What follows from the messages that are there, as the run stands now: one thing at a time."""
        if not self._interrupting and not self._waiting:
            return None
        # Of those that wait on one channel only the oldest is asked: nothing follows from the others, either.
        for row in (*self._interrupting, *sorted((queue[0] for queue in self._waiting.values()), key=_NUMBER)):
            happening = self._follows(row)
            if happening is not None:
                if happening.message is not None:
                    self._remove(row)
                return happening
        return None

    def _queue(self, row: MessageRow) -> list[MessageRow]:
        return self._interrupting if interrupts(row) else self._waiting.setdefault(row.channel, [])

    def _remove(self, row: MessageRow) -> None:
        self._queue(row).remove(row)
        self._waiting = {channel: queue for channel, queue in self._waiting.items() if queue}

    def _follows(self, row: MessageRow) -> Happening | None:
        run, now = self._drive.run, self._drive.clock.now()
        if row.channel == CANCEL and run.status != "cancelled":
            return Happening(ev.RunCancelled(at=now), message=row.id)
        if run.halt is not None or run.status != "running":
            return None
        waiting = next(iter(run.awaited.get(row.channel, ())), None)
        if waiting is not None:
            return self._give(row, run.live[waiting])
        if interrupts(row) and row.id not in self._interrupted:
            return self._interrupt(row, now)
        return None

    def _give(self, row: MessageRow, activation: Activation) -> Happening:
        """A node takes a message, unless that is none."""
        drive = self._drive
        node = drive.invoker.plan.nodes[activation.vertex]
        try:
            value = message_codec(node).load(payload_in(row))
        except Exception as error:  # a validator of the type may raise anything
            return self._refuse(row, error)
        try:
            result = drive.invoker.result(activation, value if node.writes.fields else None)
        except BadWrite as error:
            return self._refuse(row, error)
        except Exception as error:  # where the run goes from there: the message is not to blame, and stays
            return drive.reports.failed(activation, error)
        return drive.reports.received(activation, result, row.id)

    def _refuse(self, row: MessageRow, error: Exception) -> Happening:
        now, found = self._drive.clock.now(), described(error)
        event = ev.MessageRefused(at=now, message=row.id, channel=row.channel, error=found)
        return Happening(event, message=row.id)

    def _interrupt(self, row: MessageRow, now: float) -> Happening | None:
        """The loop that the message is for begins anew, where there is work in it."""
        run = self._drive.run
        for index in run.plan.interrupted.get(row.channel, ()):
            members = run.plan.caps[index].members
            if any(a.vertex in members for a in run.live.values()) or any(v in members for v, _ in run.waves):
                self._interrupted.add(row.id)
                return Happening(ev.Interrupted(at=now, cap=index, message=row.id))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that was sent to a run and that no node has taken yet.

    Attributes:
        id: Its own.
        channel: Where it was sent to.
        payload: What was sent, as JSON has it.
        sent_at: Seconds since the epoch.
        interrupts: It was sent with ``busy="interrupt"``.
    """

    id: str
    channel: str
    payload: Any
    sent_at: float
    interrupts: bool = False

    @staticmethod
    def of(row: MessageRow) -> Message:
        """From what the store keeps."""
        return Message(
            id=row.id, channel=row.channel, payload=payload_in(row), sent_at=row.sent_at, interrupts=interrupts(row)
        )

    def __str__(self) -> str:
        return f"{self.id} on '{self.channel}' since {as_text(self.sent_at)}: {json.dumps(self.payload)}"


@lru_cache(maxsize=512)
def message_codec(node: PlanNode) -> JsonCodec:
    """What a message to *node* must be."""
    return JsonCodec(node.name, node.answer)


def interrupts(row: MessageRow) -> bool:
    """Whether a message was sent with ``busy="interrupt"``."""
    return '"interrupt"' in row.body and _parsed(row).get("busy") == "interrupt"


def payload_in(row: MessageRow) -> Any:
    """What was sent, as a JSON parser makes it.

    Raises:
        ValueError: The row is no message.
    """
    body = _parsed(row)
    if "payload" not in body:
        raise ValueError("the row of the message has no payload")
    return body["payload"]


def same_message(one: MessageRow, other: MessageRow) -> bool:
    """Whether two messages say the same; whether they interrupt or wait is how they were sent."""
    return (one.channel, _parsed(one).get("payload")) == (other.channel, _parsed(other).get("payload"))


def _parsed(row: MessageRow) -> Mapping[str, Any]:
    try:
        body = json.loads(row.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def deliverable(run: RunState, rows: Iterable[MessageRow]) -> bool:
    """Whether one of these messages moves a run that rests."""
    channels = {channel for channel, waiting in run.awaited.items() if waiting}
    return any(
        row.channel == CANCEL
        or row.channel in channels
        or (interrupts(row) and bool(run.plan.interrupted.get(row.channel)))
        for row in rows
    )
