"""What happened in a run, as the public events of `orchestra_graph.events`: made from the log alone.

Rule 1. The log is folded with the outline of the graph, so that no code is needed, and nothing but the rows decides
what is told: every reader gets the same events with the same cursors.
Rule 2. A row is told first, then what follows from it: what was withdrawn, what failed, what may start, and whether
only people can move the run now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from orchestra_graph import events
from orchestra_graph.core import decide
from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.fork import asked_anew
from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.run import Activation, RunState, Tally
from orchestra_graph.core.status import set_status
from orchestra_graph.errors import WrongCursor
from orchestra_graph.graph.plan import Cap, Plan
from orchestra_graph.runtime.forms import begun_with, plan_of, state_after
from orchestra_graph.runtime.outline import known_event
from orchestra_graph.runtime.wellformed import Misfit, check_place, reading_row
from orchestra_graph.store.base import LogRow, RunRow, Store

__all__ = ["Cursor", "Teller", "teller_of"]

_MARKS = re.compile("[@#~!]")  # what follows the node's name in an id: turn, instance ...
_GOES_ON = (ev.RunResumed, ev.RunForked)
_CURSOR = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})", re.ASCII)


class Cursor(NamedTuple):
    """The place of an event.

    Attributes:
        run: The number of the run.
        seq: The log row that it was made from.
        place: Which of the events of that row it is.
    """

    run: int
    seq: int
    place: int

    def __str__(self) -> str:
        return f"{self.run}.{self.seq}.{self.place}"

    @staticmethod
    def of(text: str, row: RunRow) -> Cursor:
        """Read a cursor.

        Raises:
            WrongCursor: It is none, or one of another run.
        """
        found = _CURSOR.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise WrongCursor(row.key, text, "it does not look like one")
        cursor = Cursor(*map(int, found.groups()))
        if cursor.run != row.number:
            raise WrongCursor(row.key, text, "it belongs to another run")
        return cursor


async def teller_of(store: Store, row: RunRow, rows: Sequence[LogRow] | None = None) -> Teller:
    """What tells the log of a run, from row 0 on.

    Args:
        store: Where it is kept.
        row: The run.
        rows: Its whole log, where it was read already.
    """
    form = await begun_with(store, row, rows or (), whole=rows is not None)
    return Teller(await plan_of(store, row, form, None), row, store.url)


class Teller:
    """Makes public events of the rows of one run, from row 0 on.

    Args:
        plan: The outline of the graph.
        row: The run.
        url: For messages.

    Attributes:
        run: The state of the run, as of the last row that was read.
        last: The cursor of the last event.
    """

    def __init__(self, plan: Plan, row: RunRow, url: str):
        self.row, self.url = row, url
        self._goes_on_with(RunState.of(plan))
        self.last = Cursor(row.number, 0, 0)
        self._nodes: dict[str, str] = {}
        self._questions: dict[str, str] = {}
        self._rests = False
        self._limit_told = False
        self._told: list[events.DurableEvent] = []

    def _goes_on_with(self, run: RunState) -> None:
        self.run, self.plan = run, run.plan
        self._exact = {i for i, n in enumerate(run.plan.shape["nodes"]) if n.get("effect") == "irreversible"}

    async def read_from(
        self, store: Store, logged: LogRow, writes: Mapping[str, Any] | None = None
    ) -> Sequence[events.DurableEvent]:
        """`read`, of any row: behind a move the run has another form, of which the store knows more than the row."""
        if logged.kind != "RunMoved":
            return self.read(logged, writes)
        with reading_row(logged, self.url, self.row.key):
            if logged.seq != self.run.seq:
                raise Misfit(f"row {self.run.seq} is expected here")
        event, run = await state_after(store, self.row, logged, None)
        self._told, self._at, self._seq = [], logged.at, logged.seq
        self._goes_on_with(run)
        self._say(events.RunMoved, version=event.version, was=event.was_version, changes=event.changes)
        self._withdrawn(None)
        self._nodes = {identity: run.name(activation.vertex) for identity, activation in run.live.items()}
        self.run.closed.clear()
        return self._told

    def read(self, logged: LogRow, writes: Mapping[str, Any] | None = None) -> Sequence[events.DurableEvent]:
        """Fold the next row, and say what happened.

        Args:
            logged: The row.
            writes: What it writes, where not all of it stands in the row itself.

        Raises:
            StoreBroken: It is no row that can stand there.
        """
        event, body = known_event(logged, self.url, self.row.key)
        with reading_row(logged, self.url, self.row.key):
            check_place(self.run, logged, event)
            return self._read(logged, event, body["writes"] if writes is None else writes)

    def _read(self, logged: LogRow, event: ev.Event, writes: Mapping[str, Any]) -> Sequence[events.DurableEvent]:
        self._told = []
        self._at, self._seq = logged.at, logged.seq
        self._writes = writes
        activation = self.run.live.get(getattr(event, "id", ""))
        if activation is not None and activation.status == "ready":
            self._begin_after_all()
        _TOLD[type(event)](self, event, activation)
        before, counted = len(self.run.live), self._counted(activation)
        started = evolve(self.run, event)
        self.run.closed.clear()  # told from what is live no more
        self._passed(counted, started)
        ended = activation is not None and activation.id not in self.run.live
        if len(self.run.live) != before + len(started) - ended:
            self._withdrawn(None if activation is None else activation.id)
        if activation is not None and ended:
            self._forget(activation.id)
        if isinstance(event, ev.RunResumed | ev.RunForked | ev.RunEnded):
            self._give_back()
        self._failed_at_once(started)
        self._begin()
        self._rest(event)
        return self._told

    @property
    def status(self) -> RunStatus:
        """How the run stands after the last row."""
        return "waiting" if self._rests else self.run.status

    def node_of(self, identity: str) -> str:
        """The name of the node of an activation."""
        return self._nodes.get(identity) or _MARKS.split(identity, maxsplit=1)[0]

    # -- saying -------------------------------------------------------------------------------------

    def _say(self, kind: Callable[..., events.DurableEvent], **facts: Any) -> None:
        self.last = Cursor(self.row.number, self._seq, len(self._told))
        self._told.append(kind(run=self.row.key, cursor=str(self.last), at=self._at, **facts))

    def _say_of(self, kind: Callable[..., events.DurableEvent], identity: str, **facts: Any) -> None:
        self._say(kind, id=identity, node=self.node_of(identity), **facts)

    # -- what follows from a row --------------------------------------------------------------------

    def _counted(self, activation: Activation | None) -> Sequence[tuple[Cap, Tally]]:
        """The limits with a way on that count what an activation does, and have not been reached."""
        if activation is None:
            return ()
        caps = [(i, self.plan.caps[i]) for i in self.plan.tallied.get(activation.vertex, ())]
        found = [(cap, self.run.tallies.get((i, activation.stamp[: cap.depth]))) for i, cap in caps]
        return [(c, tally) for c, tally in found if c.kind == "steps" and tally is not None and not tally.over]

    def _passed(self, counted: Sequence[tuple[Cap, Tally]], started: Sequence[Activation]) -> None:
        """Tell of limits from which the run goes on by their own edge; those on time have a row that says so."""
        passed = [cap for cap, tally in counted if tally.over]
        refused = [self.plan.turned.get(a.vertex) for a in started if a.id not in self.run.live]
        for cap in (*passed, *(self.plan.caps[i] for i in refused if i is not None)):
            self._say(events.LimitReached, limit=self._limit(cap), allowed=cap.allowed)

    def _limit(self, cap: Cap) -> str:
        where = "the run" if cap.vertex == 0 else f"'{self.run.name(cap.vertex)}'"
        return f"{cap.kind} of {where}"

    def _withdrawn(self, but: str | None) -> None:
        """Tell what is live no more, though its own row did not say so."""
        for identity in [i for i in self._nodes if i not in self.run.live and i != but]:
            if identity in self._questions:
                self._say_of(events.QuestionWithdrawn, identity, question=self._questions[identity])
            self._say_of(events.NodeWithdrawn, identity)
            self._forget(identity)
        for identity, activation in self.run.live.items():  # of those that a join did without, and cannot any more
            self._nodes.setdefault(identity, self.run.name(activation.vertex))

    def _forget(self, identity: str) -> None:
        self._nodes.pop(identity, None)
        self._questions.pop(identity, None)

    def _failed_at_once(self, started: Sequence[Activation]) -> None:
        """Where branches met in conflict, what they start has failed before it could begin."""
        for activation in started:
            if activation.id not in self.run.live:  # it came and went: a limit was reached with it
                continue
            self._nodes[activation.id] = self.run.name(activation.vertex)
            if activation.status == "failed" and activation.error is not None:
                self._say_of(events.NodeFailed, activation.id, error=activation.error)

    def _begin(self) -> None:
        """What an engine would start now."""
        for activation in decide.begin(self.run, len(self.run.ready)):
            if activation.vertex not in self._exact:
                self._say_of(events.NodeStarted, activation.id, attempt=activation.attempt)

    def _begin_after_all(self) -> None:
        """A limit that the form has was lifted in the code since: what it held up here went on there."""
        if self.run.halt is not None and self.run.halt.status == "stopped":
            self.run.halt = None
            self._begin()

    def _give_back(self) -> None:
        """Nobody drove the run for a while: what had no result starts anew when somebody does."""
        for activation in self.run.live.values():
            if activation.status == "running":
                set_status(self.run, activation, "ready")
        if self.run.status != "running":
            self._rests = False

    def _rest(self, event: ev.Event) -> None:
        """Tell, once, that only people can move the run; what resumed it has not done anything yet."""
        run = self.run
        busy = run.running or run.ready or run.retrying or run.undecided or run.halt is not None
        if busy or not (run.asking or run.receiving) or run.status != "running" or isinstance(event, _GOES_ON):
            self._rests = False
        elif not self._rests and not isinstance(event, ev.Answered):
            self._rests = True
            channels = tuple(sorted(channel for channel, waiting in run.awaited.items() if waiting))
            self._say(events.Waiting, questions=tuple(self._questions.values()), channels=channels)

    # -- a row itself -------------------------------------------------------------------------------

    def _run_started(self, event: ev.RunStarted, _: Activation | None) -> None:
        facts = {"graph": self.row.graph, "version": self.plan.version, "input": self._writes}
        self._say(events.RunStarted, **facts)

    def _node_started(self, event: ev.NodeStarted, activation: Activation | None) -> None:
        if activation is not None:
            self._say_of(events.NodeStarted, event.id, attempt=event.attempt)

    def _node_finished(self, event: ev.NodeFinished, activation: Activation | None) -> None:
        if activation is not None:
            to = tuple(self._target(edge) for edge, _ in event.taken)
            self._say_of(
                events.NodeFinished,
                event.id,
                writes=self._writes,
                replaced=event.replaced,
                to=to,
                attempt=event.attempt,
                took=event.took,
                message=event.message,
                reused=event.reused,
            )

    def _node_failed(self, event: ev.NodeFailed, activation: Activation | None) -> None:
        if activation is not None:
            self._questions.pop(event.id, None)
            self._say_of(
                events.NodeFailed,
                event.id,
                error=event.error,
                attempt=event.attempt,
                retry_at=event.retry_at,
                to=tuple(self._target(taken.edge) for taken in event.taken),
                took=event.took,
            )

    def _step_done(self, event: ev.StepDone, activation: Activation | None) -> None:
        if activation is not None:
            self._say_of(events.StepDone, event.id, key=event.key, index=event.index)

    def _target(self, edge: int) -> str:
        return self.run.name(self.plan.edges[edge].target)

    def _question_asked(self, event: ev.QuestionAsked, activation: Activation | None) -> None:
        if activation is not None:
            self._questions[event.id] = event.question
            facts = {"to": event.to, "expires_at": event.expires_at, "doubt": event.doubt}
            self._say_of(events.QuestionAsked, event.id, question=event.question, **facts)

    def _answered(self, event: ev.Answered, activation: Activation | None) -> None:
        if activation is not None:
            self._say_of(events.Answered, event.id, question=self._questions.pop(event.id, activation.question or ""))

    def _late_result(self, event: ev.LateResult, _: Activation | None) -> None:
        self._say_of(events.LateResult, event.id, attempt=event.attempt, outcome=event.outcome)

    def _limit_passed(self, event: ev.LimitPassed, _: Activation | None) -> None:
        cap = None if event.cap is None else self.plan.caps[event.cap]
        if self._limit_told:
            return  # one has stopped the run already
        self._limit_told = cap is None or cap.edge is None
        self._say(events.LimitReached, limit=event.limit if cap is None else self._limit(cap), allowed=event.allowed)

    def _interrupted(self, event: ev.Interrupted, _: Activation | None) -> None:
        channel = self.plan.nodes[self.plan.caps[event.cap].vertex].channel
        self._say(events.Interrupted, channel=channel, message=event.message)

    def _message_refused(self, event: ev.MessageRefused, _: Activation | None) -> None:
        self._say(events.MessageRefused, channel=event.channel, message=event.message, error=event.error)

    def _run_resumed(self, event: ev.RunResumed, _: Activation | None) -> None:
        self._say(events.RunResumed, engine=event.engine)

    def _run_retried(self, event: ev.RunRetried, _: Activation | None) -> None:
        self._limit_told = False
        self._say(events.RunRetried)

    def _run_forked(self, event: ev.RunForked, _: Activation | None) -> None:
        self._limit_told = False
        self._say(events.RunForked, origin=event.origin, step=event.step, update=self._writes)
        for activation in asked_anew(self.run, event.values):
            question = self._questions.pop(activation.id, activation.question or "")
            self._say_of(events.QuestionWithdrawn, activation.id, question=question)

    def _run_cancelled(self, event: ev.RunCancelled, _: Activation | None) -> None:
        self._say(events.RunCancelled)

    def _run_ended(self, event: ev.RunEnded, _: Activation | None) -> None:
        halt = self.run.halt
        # A limit is told when it has really stopped the run: the code may have had a higher one than the form.
        if event.status == "stopped" and halt is not None and not self._limit_told:
            self._say(events.LimitReached, limit=halt.limit, allowed=halt.allowed)
        reason = halt.reason if halt is not None and event.status in ("failed", "stopped") else event.reason
        self._say(events.RunEnded, status=event.status, reason=reason)

    def _silent(self, event: ev.Event, activation: Activation | None) -> None:
        """A row that has no event of its own; what follows from it may have some."""
        if activation is not None:
            self._questions.pop(activation.id, None)


_TOLD: Mapping[type[ev.Event], Callable[[Teller, Any, Activation | None], None]] = {
    ev.RunStarted: Teller._run_started,
    ev.NodeStarted: Teller._node_started,
    ev.NodeFinished: Teller._node_finished,
    ev.NodeFailed: Teller._node_failed,
    ev.StepDone: Teller._step_done,
    ev.QuestionAsked: Teller._question_asked,
    ev.Answered: Teller._answered,
    ev.DoubtSettled: Teller._silent,
    ev.JoinAsked: Teller._silent,
    ev.LateResult: Teller._late_result,
    ev.LimitPassed: Teller._limit_passed,
    ev.Interrupted: Teller._interrupted,
    ev.MessageRefused: Teller._message_refused,
    ev.RunResumed: Teller._run_resumed,
    ev.RunRetried: Teller._run_retried,
    ev.RunForked: Teller._run_forked,
    ev.RunMoved: Teller._silent,  # `read_from` tells it
    ev.RunCancelled: Teller._run_cancelled,
    ev.RunEnded: Teller._run_ended,
}
