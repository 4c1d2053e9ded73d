"""`Reports`: what came of an attempt, as something that happens to the run."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol, cast

from orchestra_graph.clock import Clock
from orchestra_graph.core import events as ev
from orchestra_graph.core.run import Activation, RunState, Wave
from orchestra_graph.core.withdraw import excuser
from orchestra_graph.runtime.cache import NodeCache
from orchestra_graph.runtime.classify import described, next_attempt
from orchestra_graph.runtime.earlier import Earlier
from orchestra_graph.runtime.happening import Happening
from orchestra_graph.runtime.invoke import Invoker, Result
from orchestra_graph.runtime.routes import handlers
from orchestra_graph.runtime.steps import Attempt
from orchestra_graph.store.base import QuestionStatus, RunRow

__all__ = ["Reports"]

_LOG = logging.getLogger("orchestra_graph.run")


class Reporting(Protocol):
    """Whose reports these are: a `Drive`."""

    row: RunRow
    run: RunState
    invoker: Invoker
    clock: Clock
    cache: NodeCache
    earlier: Earlier
    attempts: dict[str, Attempt]


class Reports:
    """Makes happenings of results and of errors.

    Attributes:
        cause: What was raised first of all that made a node fail for good.
    """

    def __init__(self, drive: Reporting):
        self.cause: BaseException | None = None
        self._drive = drive

    def done(self, activation: Activation, result: Result, began: float) -> Happening:
        """An activation has finished; what it did in a transaction goes with it."""
        drive, now = self._drive, self._drive.clock.now()
        event = ev.NodeFinished(
            at=now,
            id=activation.id,
            writes=result.writes,
            taken=result.taken,
            items=result.made,
            attempt=activation.attempt,
            took=now - began,
            replaced=result.replaced,
            cached=result.cached,
            reused=result.reused,
        )
        entry = drive.cache.entry(activation, result, now)
        attempt = drive.attempts.get(activation.id)
        within = None if attempt is None else attempt.hand_over()
        return Happening(event, result, cached=entry, sync=activation.started, within=within)

    def received(self, activation: Activation, result: Result, message: str) -> Happening:
        """An activation has finished with a message."""
        done = self.done(activation, result, activation.since)
        return replace(done, event=replace(cast("ev.NodeFinished", done.event), message=message), message=message)

    def passed(self, activation: Activation) -> Happening:
        """A graph that stands here is entered, or left: no function is called."""
        drive, now = self._drive, self._drive.clock.now()
        try:
            result = drive.invoker.passed(activation, drive.earlier.defaults(activation))
        except Exception as error:
            return self.failed(activation, error, now)
        return self.done(activation, result, now)

    def asked(self, identity: str, wave: Wave) -> Happening:
        """An `until` join was asked whether what has come to it is enough."""
        drive, found, error = self._drive, False, None
        try:
            found = drive.invoker.holds(drive.run, wave)
        except Exception as raised:
            error = described(raised)
            self.cause = self.cause or raised
        now, seen = drive.clock.now(), len(wave.tokens)
        return Happening(ev.JoinAsked(at=now, id=identity, seen=seen, fire=found, error=error))

    def failed(
        self,
        activation: Activation,
        error: BaseException,
        began: float | None = None,
        closed: tuple[str, QuestionStatus] | None = None,
    ) -> Happening:
        """An attempt has failed: another one follows, or the run goes on elsewhere, or it is for good."""
        drive, now = self._drive, self._drive.clock.now()
        found, retry_at = self._next_attempt(activation, error, now)
        alone = excuser(drive.run, activation) is not None
        event = ev.NodeFailed(
            at=now,
            id=activation.id,
            error=found,
            attempt=activation.attempt,
            retry_at=retry_at,
            took=0.0 if began is None else now - began,
            taken=() if retry_at is not None else handlers(drive.invoker.plan, activation.vertex, error, alone=alone),
        )
        if retry_at is None and not event.taken:
            self.cause = self.cause or error
        _LOG.warning("%s of run %s failed: %s", activation.id, drive.row.key, found, exc_info=error)
        return Happening(event, closed=closed, sync=activation.started)

    def _next_attempt(
        self, activation: Activation, error: BaseException, now: float
    ) -> tuple[ev.ErrorInfo, float | None]:
        """The error as data, and when it is tried again."""
        drive, found = self._drive, described(error)
        retry = drive.invoker.plan.nodes[activation.vertex].options.retry
        seed = f"{drive.row.key}/{activation.id}/{activation.attempt}"
        try:
            return found, next_attempt(retry, activation.attempt, error, now, seed)
        except Exception as worse:  # the user's `on`, or an error that is not what it looks like
            why = f"{found.message} (whether to try again is not known: {described(worse)})"
            return ev.ErrorInfo(found.type, why), None
