"""`Run`: a handle to one run, to drive it, to answer, and to read it.

Who drives: see `engine`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar, cast

from orchestra_graph.core import events as ev
from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.run import RunState
from orchestra_graph.errors import (
    AlreadyAnswered,
    GraphChanged,
    LimitReached,
    RunCancelled,
    RunDead,
    RunEnded,
    RunFailed,
    RunOutcomeError,
    RunOwned,
    RunStopped,
    RunWaiting,
    StaleAnswer,
    UnknownQuestion,
)
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import Limits
from orchestra_graph.ids import new_message_id, new_run_key
from orchestra_graph.runtime import answers
from orchestra_graph.runtime.blobs import read_body
from orchestra_graph.runtime.code_version import codes_of
from orchestra_graph.runtime.fork import Fork, check_same_fork, fork_of
from orchestra_graph.runtime.gone import told_when_gone
from orchestra_graph.runtime.history import state_so_far
from orchestra_graph.runtime.mail import deliverable
from orchestra_graph.runtime.notes import note_of
from orchestra_graph.runtime.outcomes import Cancelled, Dead, Done, Failed, Outcome, Stopped, Waiting
from orchestra_graph.runtime.reading import Reading
from orchestra_graph.runtime.records import shape_of
from orchestra_graph.runtime.sending import Busy, checked_body, send
from orchestra_graph.runtime.starting import check_name
from orchestra_graph.state.schema import State
from orchestra_graph.store.base import MessageRow, QuestionRow, RunRow
from orchestra_graph.store.patience import to_the_end

__all__ = ["Run"]

S = TypeVar("S", bound=State)

_ENDED: tuple[RunStatus, ...] = ("done", "failed", "cancelled", "stopped", "dead")


class Run(Reading[S]):
    """A handle to one run; made by an `Engine`.

    Attributes:
        key: Its name.
        graph: The name of its graph.
    """

    # -- driving ------------------------------------------------------------------------------------

    async def wait(self, *, timeout: float | None = None) -> Outcome[S]:  # noqa: ASYNC109
        """Drive the run until it rests, and say how.

        Where another process drives it, wait for that one, and take over if it dies.

        Args:
            timeout: Give up after so many seconds; the run goes on.

        Raises:
            TimeoutError: It did not rest in time.
            GraphChanged: The run cannot go on with the code's graph.
        """
        async with asyncio.timeout(timeout):
            while True:
                outcome = await self._attend()
                if outcome is not None:
                    return outcome

    async def _attend(self) -> Outcome[S] | None:
        """Drive the run, or watch whoever does, until something is to be said about it; None: look again."""
        engine = self._engine
        driven = engine._driving.get(self._row.number)
        if driven is None:
            row, known = await self._now(), None
            if row.status != "running":
                known = await self._stored(row)
                if row.status in _ENDED or not (self._moves(row) or await self._has_news(known.run)):
                    outcome = await self._outcome(known.run, row)
                    # Somebody may have driven it while it was read.
                    return outcome if await self._now() == row else None
            try:
                driven = await engine._take(row, self._plan(), known=known)
            except RunOwned:
                await self._follow(row)
                return None
            if driven is None:
                return None
        await asyncio.shield(driven.task)
        row = await self._now()
        return (
            None if row.status == "running" else await self._outcome(driven.drive.run, row, driven.drive.reports.cause)
        )

    def _moves(self, row: RunRow) -> bool:
        """Whether the run has another form than the code: with that it may have more to do than to wait."""
        return row.fingerprint != self._plan().fingerprint

    async def _has_news(self, run: RunState) -> bool:
        """Whether a question that the run waits for was answered, or its time is over, or a message has come for it."""
        engine = self._engine
        if run.receiving and deliverable(run, await engine.store.inbox(self._row.number)):
            return True
        asking = [activation.question for activation in run.questions if activation.question is not None]
        return bool(await engine.store.news({self._row.number: asking}, now=engine.clock.now()))

    async def _follow(self, row: RunRow) -> None:
        """Wait until the run stands otherwise than in *row*; at most for a second, for its owner may be dead."""
        store, loop = self._engine.store, asyncio.get_running_loop()
        end = loop.time() + 1.0
        while await store.changes(max(0.0, end - loop.time())) and await self._now() == row and loop.time() < end:
            pass

    async def result(self) -> S:
        """Drive the run until it rests, and give its final state.

        Raises:
            RunFailed: It failed.
            RunWaiting: Only a person can move it.
            RunCancelled: It was cancelled.
            RunStopped: A limit was reached; the `LimitReached` behind it has the state so far.
            RunDead: Each process that drove it died.
        """
        outcome = await self.wait()
        if isinstance(outcome, Done):
            return outcome.state
        raise _ERRORS[type(outcome)](outcome) from _cause(outcome)

    async def resume(self) -> None:
        """Begin to drive the run, from wherever it stands. Does nothing to one that has ended.

        Raises:
            RunOwned: Another process drives it.
            GraphChanged: The run cannot go on with the code's graph.
        """
        row = await self._now()
        if row.status not in _ENDED:
            await self._engine._take(row, self._plan())

    async def retry(self, *, limits: Limits | None = None) -> None:
        """Let a failed, stopped or dead run go on: from the failed node, keeping all that was done.

        Args:
            limits: The new allowance; the same as before, counted anew, where left out.

        Raises:
            RunEnded: The run is neither failed nor stopped nor dead, or no retry can mend it.
            RunOwned: Another process drives it.
        """
        engine = self._engine

        def again(run: RunState) -> ev.Event:
            if run.status not in ("failed", "stopped", "dead"):
                raise RunEnded(self.key, run.status, "be retried")
            if run.halt is not None and run.halt.final:
                raise RunEnded(self.key, run.status, "be retried: what failed would fail again")
            if limits is None:
                steps, seconds, turns = run.steps_allowed, run.seconds_allowed, run.turns_allowed
            else:
                steps, seconds, turns = limits.steps, limits.seconds, limits.turns
            code = codes_of(run.plan)
            return ev.RunRetried(at=engine.clock.now(), steps=steps, seconds=seconds, turns=turns, code=code)

        await engine._take(await self._now(), self._plan(), again)

    async def fork(
        self,
        *,
        at: int | None = None,
        update: Mapping[str, Any] | None = None,
        key: str | None = None,
        limits: Limits | None = None,
        drive: bool = True,
    ) -> Run[S]:
        """Make another run out of this one as it stood after a step, and drive it. This run is not touched.

            other = await run.fork(at=4, update={"threshold": 0.9})
            print(await other.result(), await other.reused())

        What was live after that step goes on, and sees the update. Nodes that read the same as in this run, with the
        same code, are not run: their results are taken from its log, and so are answers to the same questions. Which
        these were is said by `reused`. Edges are chosen anew. An irreversible node that happened in this run, on other
        values, is not repeated: a person is asked.

        Args:
            at: The number of the step, as in `history`; None: the last one (of a cancelled run: before that).
            update: Field to whole value: as in the state that a run starts with. Of a field with a reducer, it takes
                the place of all that was folded before.
            key: A name for the fork. The same key gives the same fork again; None: one is made up.
            limits: How far it may go from there; None: as far as this run could. A limit that was reached there
                begins anew.
            drive: False: it is only made; whoever calls `resume`, `wait` or `result` drives it.

        Raises:
            UnknownStep: There is none with this number.
            BadInput: The update names a field that the state has not, or a value does not fit.
            RunEnded: After that step nothing can go on: the run was cancelled, or has failed so that nothing mends it.
            RunKeyTaken: The key belongs to another run.
            GraphChanged: The code's graph is not that of the run at this step, and the fork cannot go on with it: it is
                there, and waits for code that can.
        """
        engine, plan = self._engine, self._plan()
        engine._resources.check(plan)
        name = check_name("the key", key) if key else new_run_key(self.graph)
        fork = await self._fork(name, at, update or {}, limits)
        row, created = await to_the_end(engine._fork(plan, fork, drive=drive))
        if not created:
            await check_same_fork(engine.store, row, fork)
        return Run(engine, row, self._graph)

    @told_when_gone
    async def _fork(self, key: str, at: int | None, update: Mapping[str, Any], limits: Limits | None) -> Fork:
        store, plan, now = self._engine.store, self._plan(), self._engine.clock.now()
        return await fork_of(store, await self._now(), plan, key=key, at=at, update=update, limits=limits, now=now)

    async def cancel(self) -> None:
        """End the run: nothing starts any more, what runs is interrupted, questions are withdrawn; needs no code.

        Another process that drives it is asked to end it, and waited for.

        Raises:
            RunEnded: It has ended before.
        """
        driven = await self._engine._cancel(self._row)
        if driven is not None:
            await asyncio.shield(driven.task)

    # -- people -------------------------------------------------------------------------------------

    async def answer(self, question: str, value: object, /) -> None:
        """Answer a question. The same answer again changes nothing.

        Args:
            question: Its id.
            value: A value of the type asked for, or plain data that makes one.

        Raises:
            WrongAnswer: It does not fit; the question stays open.
            AlreadyAnswered: Somebody gave another answer before.
            StaleAnswer: The question has expired or was withdrawn.
            UnknownQuestion: There is no such question.
        """
        await self._answer(question, value, parsed_json=False)

    async def answer_json(self, question: str, value: object, /) -> None:
        """`answer` with a value that a JSON parser made."""
        await self._answer(question, value, parsed_json=True)

    async def _answer(self, question: str, value: object, *, parsed_json: bool) -> None:
        store, number = self._engine.store, self._row.number
        asked = await store.question(number, question)
        if asked is None:
            raise UnknownQuestion(self.key, question, [row.id for row in await store.questions(number)])
        plan = await self._plan_at_hand(question)
        if plan is None:
            given = answers.check_by_schema(asked, value, store.url)
        else:
            given = answers.accept_answer(plan, question, value, parsed_json=parsed_json)
        row = await store.answer(number, question, given, self._engine.clock.now())
        _check_stands(row, given, plan)
        driven = self._engine._driving.get(number)
        if driven is not None and not driven.drive.over:
            driven.drive.hear(row)
        elif number in self._engine._ours:
            with suppress(RunOwned, GraphChanged):  # somebody else has it, or will, and sees the answer
                await self.resume()

    async def _plan_at_hand(self, question: str | None = None, row: RunRow | None = None) -> Plan | None:
        """The graph in the code, where it is the run's, and asks this question."""
        if self._graph is None and self.graph not in self._engine._graphs:
            return None
        plan = self._plan()
        if (row or await self._now()).fingerprint != plan.fingerprint:
            return None
        return plan if question is None or answers.asked_by(plan, question) else None

    # -- messages -----------------------------------------------------------------------------------

    async def send(self, channel: str, payload: object, /, *, id: str | None = None, busy: Busy = "queue") -> str:
        """Send a message to the nodes that take those of a channel (`receive`). It is kept until one takes it.

        Args:
            channel: Which nodes.
            payload: A value of the type that they take, or plain data that makes one.
            id: The message's own name in this run: sent twice, it is one message. Made up where left out.
            busy: What is to happen where no node waits for it now. ``"queue"``: it waits for one. ``"reject"``: it is
                not sent. ``"interrupt"``: the work of the loop that takes it is withdrawn (``receive(...,
                interrupts=True)``), and it is taken next; where there is no such work, it waits.

        Returns:
            Its id.

        Raises:
            BadInput: The graph has no such channel, the payload does not fit, or another message has this id.
            RunBusy: With ``busy="reject"``: no node waits for it now.
            RunEnded: The run is done, or cancelled.
            StoreSealed: The run is encrypted, and its key is not at hand.
        """
        return await self._send(channel, payload, id, busy, parsed_json=False)

    async def send_json(self, channel: str, payload: object, /, *, id: str | None = None, busy: Busy = "queue") -> str:
        """`send` of a value that a JSON parser made."""
        return await self._send(channel, payload, id, busy, parsed_json=True)

    async def _send(self, channel: str, payload: object, name: str | None, busy: Busy, *, parsed_json: bool) -> str:
        engine, row = self._engine, await self._now()
        if row.number not in engine._driving:  # who cannot read the run does not write to it
            for first in await engine.store.log(row.number, upto=0):
                await read_body(engine.store, first, row.key)
        plan = await self._plan_at_hand(row=row)
        shape = await shape_of(engine.store, row) if plan is None else plan.shape
        body = checked_body(plan, shape, channel, payload, busy, parsed_json=parsed_json)
        given = check_name("the id", name) if name else new_message_id()
        message = MessageRow(run=row.number, id=given, channel=channel, body=body, sent_at=engine.clock.now())
        stored, _ = await send(self, message, busy)
        driven = engine._driving.get(row.number)
        if driven is not None and not driven.drive.over:
            if stored.taken is None:
                driven.drive.hear_messages([stored])
        elif row.number in engine._ours:
            with suppress(RunOwned):  # somebody else took it over meanwhile, and finds the message
                await self.resume()
        return given

    # -- outcomes -----------------------------------------------------------------------------------

    async def _outcome(self, run: RunState, row: RunRow, cause: BaseException | None = None) -> Outcome[S]:
        state = cast("S", state_so_far(run))
        note, stored = note_of(row, self._engine.store.url), not self._engine.store.url.startswith("memory:")
        match row.status:
            case "done":
                return Done(run=self.key, state=state)
            case "waiting":
                asked, channels = (
                    tuple(await self.questions()),
                    tuple(sorted(c for c, ids in run.awaited.items() if ids)),
                )
                return Waiting(run=self.key, state=state, questions=asked, channels=channels, stored=stored)
            case "cancelled":
                return Cancelled(run=self.key, state=state)
            case "stopped":
                return Stopped(run=self.key, state=state, limit=note["limit"], allowed=note["allowed"], stored=stored)
            case "dead":
                return Dead(run=self.key, state=state, reason=note["reason"], deaths=note["deaths"], stored=stored)
            case _:
                errors = tuple((identity, ev.ErrorInfo(kind, what)) for identity, kind, what in note["errors"])
                return Failed(
                    run=self.key,
                    state=state,
                    reason=note["reason"],
                    errors=errors,
                    final=note["final"],
                    cause=cause,
                    stored=stored,
                )


def _cause(outcome: Outcome[Any]) -> BaseException | None:
    """What stands behind the error of a run without a result."""
    if isinstance(outcome, Stopped):
        return LimitReached(outcome.limit, outcome.allowed, outcome.state)
    return outcome.cause if isinstance(outcome, Failed) else None


def _check_stands(row: QuestionRow, given: str, plan: Plan | None) -> None:
    """Whether the answer that was given is the one that stands."""
    if row.status == "answered":
        if row.answer is not None and not answers.same_answer(plan, row.id, row.answer, given):
            raise AlreadyAnswered(row.id, row.answer)
        return
    why = f"it expired at {answers.expired_text(row)}" if row.status == "expired" else "its run went on without it"
    raise StaleAnswer(row.id, why)


_ERRORS: Mapping[type, type[RunOutcomeError]] = {
    Failed: RunFailed,
    Waiting: RunWaiting,
    Cancelled: RunCancelled,
    Stopped: RunStopped,
    Dead: RunDead,
}
