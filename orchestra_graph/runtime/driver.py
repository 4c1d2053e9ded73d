"""`Drive`: one run, driven by this process. A loop around the pure core.

What happens to a run arrives in one inbox: results of nodes, failures, due retries, answers, a wish to cancel. The loop
takes whatever is there, writes it to the log in one append, waits until it is durable, folds it into the state, and
starts what may start now.

Rule 1. Nothing that depends on an event is begun before the event is durable.
Rule 2. The loop is the only one that appends to the log of its run and that folds events: the live state is the fold of
the log.
Rule 3. A resting run holds nothing: no task, no thread, no ownership.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestra_graph.clock import Clock
from orchestra_graph.core import decide
from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.core.snapshot import freeze
from orchestra_graph.errors import NodeFailed, QuestionExpired
from orchestra_graph.graph.question import Question
from orchestra_graph.runtime import answers
from orchestra_graph.runtime.classify import next_attempt
from orchestra_graph.runtime.invoke import Invoker, Result
from orchestra_graph.runtime.journal import body_of, text
from orchestra_graph.store.base import Append, Fenced, LogRow, QuestionRow, QuestionStatus, RunRow, Snapshot, Store

__all__ = ["Drive"]

_SNAPSHOT_ROWS = 500
_SNAPSHOT_GROWTH = 2  # a snapshot is worth writing when the log since the last one is this many times as large


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, and what else goes into its transaction."""

    event: ev.Event
    result: Result | None = None
    asked: QuestionRow | None = None
    closed: tuple[str, QuestionStatus] | None = None
    sync: bool = False


@dataclass(slots=True)
class _SinceSnapshot:
    """How much would have to be replayed, and the next snapshot to write."""

    rows: int = 0
    bytes: int = 0
    size: int = 0
    ready: Snapshot | None = field(default=None)


class Drive:
    """Drives one run until it rests.

    Args:
        store: Where it is kept.
        row: The run, owned by this process.
        epoch: Of that ownership.
        run: Its state, as of the log.
        invoker: Runs its nodes.
        clock: Tells the time.
        most: How many nodes may run at once.
    """

    def __init__(
        self, store: Store, row: RunRow, epoch: int, run: RunState, invoker: Invoker, *, clock: Clock, most: int
    ):
        self.store, self.row, self.epoch, self.run = store, row, epoch, run
        self.invoker, self.clock, self.most = invoker, clock, most
        self._inbox: deque[Happening] = deque()
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: list[asyncio.TimerHandle] = []
        self._watch: asyncio.Task[None] | None = None
        self._answered: set[str] = set()
        self._stopping = False
        self._since = _SinceSnapshot()

    # -- from outside -------------------------------------------------------------------------------

    def put(self, event: ev.Event) -> None:
        """Let something happen to the run."""
        self._put(Happening(event))

    def stop(self) -> None:
        """Let go of the run as soon as what is being written is durable; what was interrupted starts again later."""
        self._stopping = True
        self._wake.set()

    async def go(self) -> RunStatus:
        """Drive until the run rests.

        Returns:
            How it rests; ``running`` when it was stopped, or another process owns it now.

        Raises:
            StoreError: Something could not be written. Nothing more was started.
        """
        try:
            self._set_timers()
            await self._collect_answers(resuming=True)
            while True:
                if self._watch is not None and self._watch.done():
                    self._watch.result()  # the store failed while answers were looked for
                if self._inbox:
                    await self._turn()
                self._start()
                if self._stopping:
                    return await self._let_go()
                status = decide.verdict(self.run)
                if status != "running" and not self._inbox and await self._rest(status):
                    return status
                if not self._inbox:
                    self._wake.clear()
                    await self._wake.wait()
        except Fenced:
            return "running"
        finally:
            for timer in self._timers:
                timer.cancel()
            await self._cancel([*self._tasks.values(), *([self._watch] if self._watch else [])])

    # -- one turn of the loop -----------------------------------------------------------------------

    def _put(self, happening: Happening) -> None:
        self._inbox.append(happening)
        self._wake.set()

    async def _turn(self) -> None:
        """Take what has happened, make it durable, fold it."""
        batch = list(self._inbox)
        self._inbox.clear()
        await self._write(batch)
        for happening in batch:
            evolve(self.run, happening.event)
            self._follow(happening.event)
        if len(self._tasks) > self.run.running:
            await self._cancel([t for i, t in self._tasks.items() if not t.done() and not self._runs(i)])
        self._take_snapshot()

    def _runs(self, identity: str) -> bool:
        activation = self.run.live.get(identity)
        return activation is not None and activation.status == "running"

    async def _write(
        self, batch: Sequence[Happening], closed: Sequence[tuple[str, QuestionStatus]] = (), **more: Any
    ) -> None:
        rows = [self._row(self.run.seq + i, h) for i, h in enumerate(batch)]
        snapshot, self._since.ready = self._since.ready, None
        await self.store.append(
            Append(
                run=self.row.number,
                epoch=self.epoch,
                rows=rows,
                snapshot=snapshot,
                asked=[h.asked for h in batch if h.asked is not None],
                closed=[*closed, *(h.closed for h in batch if h.closed is not None)],
                sync=any(h.sync for h in batch),
                **more,
            )
        )
        self._since.rows += len(rows)
        self._since.bytes += sum(len(row.body) for row in rows)

    @staticmethod
    def _row(seq: int, happening: Happening) -> LogRow:
        event, result = happening.event, happening.result
        body = body_of(event) if result is None else body_of(event, result.fragments, result.item_fragments)
        return LogRow(seq, type(event).__name__, event.at, body)

    def _take_snapshot(self) -> None:
        """Now and then: so that a replay is bounded, and so that all snapshots together cost no more than the log."""
        since = self._since
        if since.rows >= _SNAPSHOT_ROWS and since.bytes >= _SNAPSHOT_GROWTH * since.size:
            body = freeze(self.run)
            self._since = _SinceSnapshot(size=len(body), ready=Snapshot(self.run.seq - 1, body))

    def _follow(self, event: ev.Event) -> None:
        """What the driver itself has to do about an event that is durable now."""
        if isinstance(event, ev.NodeStarted):
            activation = self.run.live.get(event.id)
            if activation is not None:
                self._launch(activation)
        elif isinstance(event, ev.NodeFailed) and event.retry_at is not None:
            self._at(event.retry_at, self._due, event.id)
        elif isinstance(event, ev.QuestionAsked):
            self._begin_watch()
        elif isinstance(event, ev.LimitPassed):
            for identity, task in self._tasks.items():
                decide.give_back(self.run, identity)
                task.cancel()

    # -- starting -----------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._stopping:
            return
        for activation in decide.begin(self.run, self.most - self.run.running):
            if self.invoker.plan.nodes[activation.vertex].options.effect != "irreversible":
                self._launch(activation)
            elif activation.started:
                self._doubt(activation)
            else:
                event = ev.NodeStarted(at=self.clock.now(), id=activation.id, attempt=activation.attempt)
                self._put(Happening(event, sync=True))

    def _launch(self, activation: Activation) -> None:
        task = asyncio.create_task(self._perform(activation), name=f"{self.row.key}/{activation.id}")
        self._tasks[activation.id] = task
        task.add_done_callback(lambda done: self._finished(activation.id, done))

    def _finished(self, identity: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(identity) is task:
            del self._tasks[identity]
        error = None if task.cancelled() else task.exception()
        activation = self.run.live.get(identity)
        if error is not None and activation is not None:
            self._put(Happening(self._failure(activation, error, 0.0)))

    async def _perform(self, activation: Activation) -> None:
        """Run one attempt of one activation, and put what came of it into the inbox."""
        began = self.clock.now()
        node = self.invoker.plan.nodes[activation.vertex]
        try:
            value = await self.invoker.call(activation, lambda outcome: self._late(activation, outcome))
            if node.kind == "ask" and value is not None:
                self._ask(activation, value)
                return
            result = self.invoker.nothing(activation) if node.kind == "ask" else self.invoker.result(activation, value)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._put(Happening(self._failure(activation, error, began)))
        except Exception as error:
            self._put(Happening(self._failure(activation, error, began)))
        else:
            self._put(self._done(activation, result, began))

    def _done(self, activation: Activation, result: Result, began: float) -> Happening:
        now = self.clock.now()
        event = ev.NodeFinished(
            at=now,
            id=activation.id,
            writes=result.writes,
            taken=result.taken,
            items=result.made,
            attempt=activation.attempt,
            took=now - began,
        )
        return Happening(event, result, sync=activation.started)

    def _failure(self, activation: Activation, error: BaseException | None, began: float) -> ev.NodeFailed:
        now = self.clock.now()
        assert error is not None
        message = error.message if isinstance(error, NodeFailed) else str(error)
        retry = self.invoker.plan.nodes[activation.vertex].options.retry
        seed = f"{self.row.key}/{activation.id}/{activation.attempt}"
        return ev.NodeFailed(
            at=now,
            id=activation.id,
            error=ev.ErrorInfo(type(error).__name__, message),
            attempt=activation.attempt,
            retry_at=next_attempt(retry, activation.attempt, error, now, seed),
            took=now - began if began else 0.0,
        )

    def _late(self, activation: Activation, outcome: str) -> None:
        event = ev.LateResult(at=self.clock.now(), id=activation.id, attempt=activation.attempt, outcome=outcome)
        self.put(event)

    # -- people -------------------------------------------------------------------------------------

    def _ask(self, activation: Activation, asked: Any) -> None:
        if not isinstance(asked, Question):
            raise TypeError(f"an @ask function returns a Question, not {asked!r:.80}")
        now = self.clock.now()
        row = answers.question_row(self.invoker.plan, self.row.number, self.row.key, activation, asked, now)
        self._put_question(activation, row, doubt=False)

    def _doubt(self, activation: Activation) -> None:
        """An irreversible node was started and nobody knows how it ended: a person decides, nothing is repeated."""
        now = self.clock.now()
        row = answers.doubt_row(self.invoker.plan, self.row.number, self.row.key, activation, now)
        self._put_question(activation, row, doubt=True)

    def _put_question(self, activation: Activation, row: QuestionRow, *, doubt: bool) -> None:
        event = ev.QuestionAsked(
            at=row.asked_at, id=activation.id, question=row.id, to=row.to, expires_at=row.expires_at, doubt=doubt
        )
        self._put(Happening(event, asked=row))

    def _begin_watch(self) -> None:
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_answers(), name=f"answers of {self.row.key}")
            self._watch.add_done_callback(lambda _: self._wake.set())

    async def _watch_answers(self) -> None:
        """Look for answers, from whatever process, while anything is asked."""
        while True:
            await self.store.changes(1.0)
            if self.run.asking:
                await self._collect_answers()

    async def _collect_answers(self, *, resuming: bool = False) -> bool:
        """Take the answers that have come; on a resume also see which questions have expired."""
        asking = {a.question: a for a in self.run.questions if a.question not in self._answered}
        if not asking:
            return False
        found = False
        for row in await self.store.questions(self.row.number, status=()):
            activation = asking.get(row.id)
            if activation is None or activation.status != "asking" or row.id in self._answered:
                continue
            if row.status == "answered" and row.answer is not None:
                self._take_answer(activation, row, row.answer)
            elif row.status == "expired" or (resuming and self._over(row)):
                self._expire(activation, row)
            else:
                continue
            self._answered.add(row.id)
            found = True
        return found

    def _over(self, row: QuestionRow) -> bool:
        return row.status == "open" and row.expires_at is not None and row.expires_at <= self.clock.now()

    def _take_answer(self, activation: Activation, row: QuestionRow, answer: str) -> None:
        now = self.clock.now()
        self.put(ev.Answered(at=row.answered_at or now, id=activation.id))
        try:
            done, value = answers.settled(self.invoker.plan, activation, answer)
            if not done:
                self.put(ev.DoubtSettled(at=now, id=activation.id))
                return
            result = self.invoker.result(activation, value)
        except Exception as error:
            self._put(Happening(self._failure(activation, error, now)))
        else:
            self._put(self._done(activation, result, activation.since))

    def _expire(self, activation: Activation, row: QuestionRow) -> None:
        error = QuestionExpired(activation.id, answers.expired_text(row))
        self._put(Happening(self._failure(activation, error, 0.0), closed=(row.id, "expired")))

    # -- time ---------------------------------------------------------------------------------------

    def _set_timers(self) -> None:
        for activation in self.run.live.values():
            if activation.status == "retrying" and activation.retry_at is not None:
                self._at(activation.retry_at, self._due, activation.id)
        if self.run.asking:
            self._begin_watch()
        allowed = self.run.seconds_allowed
        if allowed is not None:
            self._at(self.clock.now() + allowed - self.run.active, self._time_is_over, allowed)

    def _at(self, moment: float, call: Any, *args: Any) -> None:
        delay = max(0.0, moment - self.clock.now())
        self._timers = [t for t in self._timers if not t.cancelled() and t.when() > asyncio.get_running_loop().time()]
        self._timers.append(asyncio.get_running_loop().call_later(delay, call, *args))

    def _due(self, identity: str) -> None:
        decide.due(self.run, identity)
        self._wake.set()

    def _time_is_over(self, allowed: float) -> None:
        """The limit on seconds; the time in which the run only waited for people does not count."""
        left = allowed - self.run.active
        if self.run.running == 0 and left > 0:
            self._at(self.clock.now() + left, self._time_is_over, allowed)
        else:
            self.put(ev.LimitPassed(at=self.clock.now(), limit="seconds", allowed=allowed))

    # -- resting ------------------------------------------------------------------------------------

    async def _rest(self, status: RunStatus) -> bool:
        """Write down how the run rests, and give it up; whether it really does (an answer may have come meanwhile)."""
        if status == "waiting":
            if await self._collect_answers():
                return False
            await self._write([], status="waiting", release=True)
            if not await self._collect_answers():
                return True
            self.epoch = await self.store.claim(self.row.number)
            await self._write([], status="running")
            return False
        now = self.clock.now()
        assert status != "running"
        if status in ("done", "cancelled"):
            self._since.ready = Snapshot(self.run.seq - 1, freeze(self.run))
        withdrawn = [a.question for a in self.run.questions if a.question] if status == "cancelled" else []
        closed: list[tuple[str, QuestionStatus]] = [(question, "withdrawn") for question in withdrawn]
        ended = Happening(ev.RunEnded(at=now, status=status))
        await self._write([ended], closed, status=status, note=text(self._note()), release=True)
        evolve(self.run, ended.event)
        return True

    def _note(self) -> dict[str, Any]:
        halt = self.run.halt
        if halt is None:
            return {}
        errors = [[identity, error.type, error.message] for identity, error in halt.errors]
        return {
            "reason": halt.reason,
            "limit": halt.limit,
            "allowed": halt.allowed,
            "errors": errors,
            "final": halt.final,
        }

    async def _let_go(self) -> RunStatus:
        """Stop driving: what has a result is stored, what has none starts again wherever the run is resumed."""
        await self._cancel(list(self._tasks.values()))
        # An irreversible node whose start is not in the log yet has not begun, and must not seem to have.
        self._inbox = deque(h for h in self._inbox if not isinstance(h.event, ev.NodeStarted))
        if self._inbox:
            await self._turn()
        await self._write([], release=True)
        return "running"

    @staticmethod
    async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
