"""`Drive`: one run, driven by this process. A loop around the pure core.

What happens to a run arrives in one inbox: results of nodes, failures, due retries, answers, a wish to cancel. The loop
takes whatever is there, folds it into the state, writes it to the log in one append, waits until it is durable, and
starts what may start now. What follows from the fold (questions that are withdrawn) goes into the same append.

Rule 1. Nothing that depends on an event is begun before the event is durable.
Rule 2. The loop is the only one that appends to the log of its run and that folds events: the live state is the fold of
the log.
Rule 3. A resting run holds nothing: no task, no thread, no ownership.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from orchestra_graph.clock import Clock
from orchestra_graph.core import decide
from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.run import Activation, Halt
from orchestra_graph.errors import NodeTimeout, RunOwned
from orchestra_graph.runtime.blobs import Logged
from orchestra_graph.runtime.cache import NodeCache
from orchestra_graph.runtime.classify import described
from orchestra_graph.runtime.desk import Desk
from orchestra_graph.runtime.earlier import Earlier
from orchestra_graph.runtime.happening import Happening
from orchestra_graph.runtime.invoke import Invoker, Result, state_of
from orchestra_graph.runtime.journal import text
from orchestra_graph.runtime.load import Loaded, load_run
from orchestra_graph.runtime.mail import Mail
from orchestra_graph.runtime.people import People
from orchestra_graph.runtime.reports import Reports
from orchestra_graph.runtime.scribe import Scribe, row_of, undo
from orchestra_graph.runtime.steps import ATTEMPT, Attempt
from orchestra_graph.runtime.timers import Timers
from orchestra_graph.runtime.watching import Watcher
from orchestra_graph.store.base import Fenced, MessageRow, QuestionRow, QuestionStatus, RunRow, Store

__all__ = ["Drive"]

_LOG = logging.getLogger("orchestra_graph.run")


class Drive:
    """Drives one run until it rests.

    Args:
        store: Where it is kept.
        row: The run, owned by this process.
        epoch: Of that ownership.
        loaded: Its state, as of the log.
        invoker: Runs its nodes.
        watcher: Looks for the answers of people.
        clock: Tells the time.
        most: How many nodes may run at once.
        status: What the store says of the run, where that is known.

    Attributes:
        over: It takes nothing any more: it has come to rest, or is just about to.
        scribe: Writes to its log.
        reports: Says what came of attempts.
        attempts: What runs, by activation.
        desk: Where its nodes wait for their transactions.
        cache: Results of nodes that are used again.
        earlier: Of a fork, what the run that it was forked from has done.
    """

    def __init__(
        self,
        store: Store,
        row: RunRow,
        epoch: int,
        loaded: Loaded,
        invoker: Invoker,
        watcher: Watcher,
        *,
        clock: Clock,
        most: int,
        status: RunStatus | None = None,
    ):
        self.store, self.row, self.run = store, row, loaded.run
        self.invoker, self.clock, self.most = invoker, clock, most
        self.over = False
        self.scribe, self.reports = Scribe(store, row, epoch, loaded.behind, status), Reports(self)
        self.cache, self.earlier = NodeCache(store, invoker, clock), Earlier(self)
        self.attempts: dict[str, Attempt] = {}
        self._people, self._watcher, self._timers = People(self), watcher, Timers(self)
        self._mail = Mail(self)
        self._inbox: deque[Happening] = deque()
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.desk = Desk(self._wake.set)
        self._stopping = False

    # -- from outside -------------------------------------------------------------------------------

    def put(self, event: ev.Event) -> None:
        """Let something happen to the run. Not when it is `over`."""
        self.add(Happening(event))

    def hear(self, row: QuestionRow) -> None:
        """Take what has just become of a question, which is stored. Not when it is `over`."""
        self._people.hear([row])

    def hear_messages(self, rows: Iterable[MessageRow]) -> None:
        """Take what was sent to the run, which is stored. Not when it is `over`."""
        self._mail.hear(rows)

    def stop(self) -> None:
        """Let go of the run as soon as what is being written is durable; what was interrupted starts again later."""
        self._stopping = True
        self._wake.set()

    def lose(self) -> None:
        """Somebody else may own the run now: what runs is interrupted at once, and nothing is written any more."""
        self.over = self.scribe.lost = True
        for task in self._tasks.values():
            task.cancel()
        self._wake.set()

    async def go(self) -> RunStatus:
        """Drive until the run rests.

        Returns:
            How it rests; ``running`` when it was stopped, or another process owns it now.

        Raises:
            StoreError: Something could not be written. Nothing more was started.
        """
        try:
            await self._begin()
            while not self.scribe.lost:
                self._wake.clear()  # before all looks: what comes while something is written is looked at, too
                if self._people.trouble is not None:
                    raise self._people.trouble
                if self._may_turn():
                    await self._turn()
                if not self._stopping and await self.earlier.take():
                    continue
                self._start()
                if self._stopping:
                    return await self._let_go()
                self.desk.admit()
                status = decide.verdict(self.run)
                if status != "running" and not self._inbox and await self._rest(status):
                    return status
                if not self._may_turn():
                    await self._wake.wait()
            return "running"
        except Fenced:
            self.scribe.lost = True
            return "running"
        finally:
            self.over = True
            self._watcher.leave(self.row.number)
            self._timers.stop()
            await self._cancel(list(self._tasks.values()))
            await undo([h.within for h in self._inbox if h.within is not None])

    async def _begin(self) -> None:
        taken_over = self.scribe.status != "running"
        self._watcher.listen(self.row.number, self._people)
        self._timers.set_attempts()
        if not self._inbox:  # else time counts from the event on with which the run goes on
            self._timers.set_limit()
        if self.run.undecided:
            await self._turn()
        while await self.earlier.take():
            await self._turn()
        await self._people.look()
        if taken_over or self.run.receiving:
            await self._mail.look()

    # -- one turn of the loop -----------------------------------------------------------------------

    def add(self, happening: Happening) -> None:
        """Let something happen to the run, and have something stored with it."""
        self._inbox.append(happening)
        self._wake.set()

    def wake(self) -> None:
        """Go on: there is something new to look at."""
        self._wake.set()

    async def _turn(self) -> None:
        """Take what has happened, fold it, make it durable, and act on it."""
        todo, batch = self._next_batch(), list[Happening]()
        logged, started = list[Logged](), list[Activation]()
        while todo or (todo := deque(self._at_once(started) or self._mailed())):
            happening = todo.popleft()
            logged.append(row_of(self.run.seq, happening))
            started += evolve(self.run, happening.event)
            batch.append(happening)
        await self.scribe.write(batch, logged, self._withdrawn(batch))
        if any(happening.within is not None for happening in batch):
            self.desk.leave()
        for happening in batch:
            if happening.stored is not None and not happening.stored.done():
                happening.stored.set_result(None)
            self._follow(happening.event)
        if self.invoker.plan.tallied:
            self._timers.set_limit()
        if len(self._tasks) > self.run.running:
            await self._cancel([t for i, t in self._tasks.items() if not t.done() and not self.runs(i)])
        self.scribe.take_snapshot(self.run)

    def _may_turn(self) -> bool:
        """Whether there is something to take. While a node has a transaction, that is only what it ends with."""
        if self.desk.taken:
            return any(happening.within is not None for happening in self._inbox)
        return bool(self._inbox) or self._has_mail()

    def _next_batch(self) -> deque[Happening]:
        """Take out what goes into one append."""
        taken = self._inbox
        self._inbox = deque()
        if self.desk.taken:
            self._inbox = deque(h for h in taken if h.within is None)
            taken = deque(h for h in taken if h.within is not None)
        return taken

    def _withdrawn(self, batch: Sequence[Happening]) -> list[tuple[str, QuestionStatus]]:
        """The questions that the fold of *batch* has withdrawn, those that were only asked in it, too."""
        closed, asked = list(self.run.closed), [h.asked.id for h in batch if h.asked is not None]
        self.run.closed.clear()
        self.run.led_on.clear()
        if asked:
            still = {activation.question for activation in self.run.questions}
            closed += [question for question in asked if question not in still]
        return [(question, "withdrawn") for question in closed]

    def runs(self, identity: str) -> bool:
        """Whether an activation runs, as of what has been folded."""
        activation = self.run.live.get(identity)
        return activation is not None and activation.status == "running"

    def _at_once(self, started: list[Activation]) -> list[Happening]:
        """What follows without anybody's work, and so goes into the same append.

        Graphs are entered and left, and `until` joins are asked whether what has come is enough.
        """
        return list(self._following(started))

    def _following(self, started: list[Activation]) -> Iterator[Happening]:
        passing = [a for a in started if a.status == "ready" and self.invoker.plan.nodes[a.vertex].passage]
        started.clear()
        if self.run.halt is None and self.run.status == "running":
            yield from [self.reports.passed(activation) for activation in passing if activation.id in self.run.live]
            yield from [self.reports.asked(identity, wave) for identity, wave in self.run.undecided.items()]

    def _mailed(self) -> list[Happening]:
        """What follows from a message; the next one is looked at when this is folded."""
        happening = self._mail.next()
        return [] if happening is None else [happening]

    def _has_mail(self) -> bool:
        """Whether a message moves the run; what it does is in the inbox then."""
        self._inbox.extend(self._mailed())
        return bool(self._inbox)

    def _follow(self, event: ev.Event) -> None:
        """What the driver itself has to do about an event that is durable now."""
        if isinstance(event, ev.NodeStarted):
            activation = self.run.live.get(event.id)
            if activation is not None:
                self._launch(activation)
        elif isinstance(event, ev.NodeFailed) and event.retry_at is not None:
            self._timers.set_attempt(event.id, event.retry_at)
        elif isinstance(event, ev.RunResumed | ev.RunRetried):
            self._timers.set_limit()
        elif isinstance(event, ev.LimitPassed) and self.run.halt is not None:
            for identity, task in self._tasks.items():
                decide.give_back(self.run, identity)
                task.cancel()

    # -- starting -----------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._stopping:
            return
        for activation in decide.begin(self.run, self.most - self.run.running):
            node = self.invoker.plan.nodes[activation.vertex]
            if node.passage:
                self.add(self.reports.passed(activation))
            elif node.options.effect != "irreversible":
                self._launch(activation)
            elif (earlier := self.earlier.why_not(activation)) is not None:
                self._people.doubt(activation, earlier)
            elif activation.started:
                self._people.doubt(activation, "was interrupted before its outcome was stored")
            else:
                event = ev.NodeStarted(at=self.clock.now(), id=activation.id, attempt=activation.attempt)
                self.add(Happening(event, sync=True))

    def _launch(self, activation: Activation) -> None:
        if self.scribe.lost:
            return
        task = asyncio.create_task(self._perform(activation), name=f"{self.row.key}/{activation.id}")
        self._tasks[activation.id] = task
        task.add_done_callback(lambda done: self._finished(activation.id, done))

    def _finished(self, identity: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(identity) is task:
            del self._tasks[identity]
        error = None if task.cancelled() else task.exception()
        activation = self.run.live.get(identity)
        if error is not None and activation is not None:
            self.fail(activation, error)

    async def _perform(self, activation: Activation) -> None:
        """Run one attempt of one activation, and put what came of it into the inbox."""
        asks = self.invoker.plan.nodes[activation.vertex].kind == "ask"
        attempt = self.attempts[activation.id] = Attempt(self, activation, asks=asks)
        ATTEMPT.set(attempt)
        try:
            await self._try(activation, attempt)
        finally:
            if self.attempts.get(activation.id) is attempt:
                del self.attempts[activation.id]
            await attempt.end()

    async def perform(self, activation: Activation, what: str, fn: Callable[[], Any]) -> Any:
        """Call a function as that of a node is called."""
        return await self.invoker.perform(fn, {}, lambda outcome: self._late(activation, f"{what} {outcome}"))

    async def _try(self, activation: Activation, attempt: Attempt) -> None:
        began = self.clock.now()
        try:
            if await self._people.take_earlier(activation):
                return
            if (earlier := await self.cache.find(activation)) is not None:
                self.add(self.reports.done(activation, earlier, began))
                return
            value = await self.invoker.call(activation, lambda outcome: self._late(activation, outcome))
            attempt.check_end()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self.fail(activation, error, began)
        except NodeTimeout as error:
            if activation.started:
                self._people.doubt(activation, f"has not ended: {error.message}")
            else:
                self.fail(activation, error, began)
        except (Exception, SystemExit) as error:
            self.fail(activation, error, began)
        else:
            self._accept(activation, value, began)

    def _accept(self, activation: Activation, value: Any, began: float) -> None:
        """Put what an attempt returned into the inbox."""
        if self.invoker.plan.nodes[activation.vertex].kind != "ask":
            self.finish(activation, value, began)
            return
        try:
            if value is None:
                self.add(self.reports.done(activation, self.invoker.nothing(activation), began))
            else:
                self._people.ask(activation, value)
        except Exception as error:
            self.refuse(activation, error, began)

    def finish(self, activation: Activation, value: Any, began: float) -> None:
        """Put what a node returned, or a person answered, into the inbox."""
        try:
            result = self.invoker.result(activation, value)
        except Exception as error:
            self.refuse(activation, error, began)
        else:
            self.add(self.reports.done(activation, result, began))

    def refuse(self, activation: Activation, error: Exception, began: float) -> None:
        """What a node did, or a person answered, cannot be stored, or nobody can say where the run goes from there.

        An irreversible node has happened all the same, and a failure would have it run again.
        """
        if activation.started:
            self._people.doubt(activation, f"has happened, and what came of it cannot be stored: {described(error)}")
        else:
            self.fail(activation, error, began)

    def taken_over(self, activation: Activation, result: Result) -> None:
        """An activation has finished with a result of the run that this one was forked from."""
        happening = self.reports.done(activation, result, self.clock.now())
        if activation.status == "asking" and activation.question is not None:
            self._people.settle(activation.question)
            self.put(ev.Answered(at=happening.event.at, id=activation.id))
            happening = replace(happening, closed=(activation.question, "withdrawn"))  # an answered one stays so
        self.add(happening)

    def fail(
        self,
        activation: Activation,
        error: BaseException,
        began: float | None = None,
        closed: tuple[str, QuestionStatus] | None = None,
    ) -> None:
        """Put into the inbox that an attempt has failed."""
        self.add(self.reports.failed(activation, error, began, closed))

    def _late(self, activation: Activation, outcome: str) -> None:
        event = ev.LateResult(at=self.clock.now(), id=activation.id, attempt=activation.attempt, outcome=outcome)
        self.put(event)

    # -- resting ------------------------------------------------------------------------------------

    async def _rest(self, status: RunStatus) -> bool:
        """Write down how the run rests, and give it up; whether it really does (something may have come meanwhile)."""
        if status == "waiting":
            return await self._wait()
        self.over = True
        assert status != "running"
        halt = self.run.halt
        if status == "done":
            halt = self._misfit()
            status = status if halt is None else halt.status
        final = status in ("done", "cancelled")
        if final:
            self.scribe.freeze(self.run)
        ended = Happening(ev.RunEnded(at=self.clock.now(), status=status))
        logged, note = [row_of(self.run.seq, ended)], text(_note(halt))
        await self.scribe.write([ended], logged, status=status, note=note, withdraw=final, release=True)
        evolve(self.run, ended.event)
        return True

    async def _wait(self) -> bool:
        """Only a person or a message can move the run."""
        if await self._has_news():
            return False
        await self.scribe.write(status="waiting", release=True, due_at=self._people.due_at)
        # Who answers wakes the owner, and starts nothing where there is none: so what came just now is ours to see.
        if not await self._has_news():
            self.over = True
            return True
        try:
            row = await self.store.claim(self.row.number)
        except RunOwned:  # whoever has it sees what came
            self.over = True
            return True
        moved = self.scribe.owns_again(row)
        if row.fingerprint != self.invoker.plan.fingerprint:  # whoever had it has other code, with which it goes on
            self.over = True
            await self.scribe.release()
            return True
        if moved:
            loaded = await load_run(self.store, self.invoker.plan, self.row)
            self.scribe.read_again(loaded)
            self.run = loaded.run
            self._inbox = deque(h for h in self._inbox if isinstance(h.event, ev.RunCancelled) and not h.message)
            self._people.forget()
            self._mail.forget()
        if self.run.status == "running":
            if moved:
                await self._begin()
            return False
        self.over = True
        await self.scribe.release()
        return True

    async def _has_news(self) -> bool:
        await self._people.look()
        if self.run.receiving:
            await self._mail.look()
        return self._has_mail()

    def _misfit(self) -> Halt | None:
        """Whether the state's own validators refuse the final state."""
        assert self.run.result is not None
        try:
            state_of(self.run.plan, self.run.result.seen(), whole=True)
        except Exception as error:
            found = described(error)
            return Halt("failed", f"the final state does not fit: {found}", errors=(("END", found),))
        return None

    async def _let_go(self) -> RunStatus:
        """Stop driving: what has a result is stored, what has none starts again wherever the run is resumed."""
        await self._cancel(list(self._tasks.values()))
        # An irreversible node whose start is not in the log yet has not begun, and must not seem to have.
        self._inbox = deque(h for h in self._inbox if not isinstance(h.event, ev.NodeStarted))
        while self._inbox:
            await self._turn()
        status = decide.verdict(self.run)
        if status != "running" and await self._rest(status):
            return status
        self.over = True
        await self.scribe.write(release=True)
        return "running"

    @staticmethod
    async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _note(halt: Halt | None) -> dict[str, Any]:
    """What an outcome says beyond its status."""
    if halt is None:
        return {}
    return {
        "reason": halt.reason,
        "limit": halt.limit,
        "allowed": halt.allowed,
        "errors": [[identity, error.type, error.message] for identity, error in halt.errors],
        "final": halt.final,
    }
