"""`Engine` and `Run`: what users hold. An engine drives runs over one store; a run is a handle to one of them.

Who drives: an engine drives a run that it started, or on which this process calls `wait`, `result`, `resume` or
`retry`, if nobody else owns it. Everything else only reads, or appends an answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast, overload
from weakref import WeakValueDictionary

from pydantic import ValidationError

from orchestra_graph.clock import Clock, SystemClock
from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.record import RunRecord, RunStatus
from orchestra_graph.core.run import RunState
from orchestra_graph.errors import (
    AlreadyAnswered,
    BadInput,
    LimitReached,
    NotStorable,
    RunCancelled,
    RunEnded,
    RunFailed,
    RunKeyTaken,
    RunOutcomeError,
    RunOwned,
    RunStopped,
    RunWaiting,
    StaleAnswer,
    StoreError,
    UnknownGraph,
    UnknownQuestion,
    UnknownRun,
)
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import Limits
from orchestra_graph.ids import new_run_key
from orchestra_graph.runtime import answers
from orchestra_graph.runtime.driver import Drive
from orchestra_graph.runtime.invoke import Invoker, state_of
from orchestra_graph.runtime.journal import body_of
from orchestra_graph.runtime.load import Behind, Loaded, check_unchanged, load_run
from orchestra_graph.runtime.outcomes import Cancelled, Done, Failed, OpenQuestion, Outcome, Stopped, Waiting
from orchestra_graph.runtime.records import record_of
from orchestra_graph.runtime.resources import Resources
from orchestra_graph.runtime.threads import Threads
from orchestra_graph.state.codec import first_line
from orchestra_graph.state.schema import State
from orchestra_graph.store import open_store
from orchestra_graph.store.base import Append, NewRun, QuestionRow, RunRow, Store
from orchestra_graph.store.patience import to_the_end

__all__ = ["Engine", "Run"]

S = TypeVar("S", bound=State)
Durability = Literal["normal", "full"]
_Want: TypeAlias = Callable[[RunState], ev.Event]

_ENDED = ("done", "failed", "cancelled", "stopped")


class Engine:
    """Runs graphs, and keeps their runs in a database. Used as ``async with Engine(url, graphs=[...]) as engine:``.

    Leaving the block lets go of every run: what is being written is finished, what was interrupted starts again
    wherever the run is resumed.

    Args:
        url: ``sqlite:///path.db``; None keeps runs in memory, for as long as the engine lives.
        graphs: The graphs whose runs it may drive. They are compiled on entering.
        resources: What nodes with a `Resource` parameter get: objects found by type, or a mapping of names. Whether
            all are there is checked before a run is driven: to read or to answer, none is needed.
        limits: How far each run may go where its start does not say otherwise.
        durability: ``"normal"`` survives the death of the process, ``"full"`` a power loss, too. Answers and
            irreversible nodes are always written as with ``"full"``.
        concurrency: How many nodes of one run may run at once.
        threads: How many sync nodes may run at once, in all runs.
        clock: Tells the time.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        graphs: Iterable[Graph[Any]] = (),
        resources: Iterable[Any] | Mapping[str, Any] = (),
        limits: Limits | None = None,
        durability: Durability = "normal",
        concurrency: int = 256,
        threads: int = 40,
        clock: Clock | None = None,
    ):
        self.clock: Clock = clock or SystemClock()
        self.store: Store = open_store(url, durability=durability, clock=self.clock)
        self.limits = limits
        self._graphs = {graph.name: graph for graph in graphs}
        self._resources = Resources(resources)
        self._threads = Threads(threads)
        self._concurrency = concurrency
        self._driving: dict[int, _Driven] = {}
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._ours: set[int] = set()

    async def __aenter__(self) -> Engine:
        for graph in self._graphs.values():
            graph.compile()
        await self.store.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for driven in self._driving.values():
            driven.drive.stop()
        await asyncio.gather(*(d.task for d in self._driving.values()), return_exceptions=True)
        self._threads.close()
        await self.store.__aexit__(*exc)

    # -- runs ---------------------------------------------------------------------------------------

    async def start(
        self, graph: Graph[S], state: S, /, *, key: str | None = None, limits: Limits | None = None
    ) -> Run[S]:
        """Start a run, and drive it.

        Args:
            graph: The graph.
            state: What it starts with.
            key: A name for the run. The same key gives the same run again, however often this is called.
            limits: How far it may go.

        Raises:
            GraphError: The graph is declared wrong.
            BadInput: *state* does not fit.
            RunKeyTaken: The key belongs to a run of another graph, or with another input.
        """
        plan = self._plan(graph)
        self._resources.check(plan)
        began, fragments = _input(plan, state, self.clock.now(), limits or self.limits or plan.limits)
        new = NewRun(
            key=key or new_run_key(graph.name),
            graph=plan.name,
            version=plan.version,
            fingerprint=plan.fingerprint,
            shape=json.dumps(plan.shape),
            body=body_of(began, fragments),
            at=began.at,
        )
        row, created = await to_the_end(self._create(plan, new, began))
        if not created:
            await self._same_start(row, plan, state, fragments)
        return Run(self, row, graph)

    async def _create(self, plan: Plan, new: NewRun, began: ev.RunStarted) -> tuple[RunRow, bool]:
        row, created = await self.store.create(new)
        if created:
            run = RunState.of(plan)
            evolve(run, began)
            self._drive(plan, row, row.epoch, Loaded(run, Behind()), status="running")
        return row, created

    async def _same_start(self, row: RunRow, plan: Plan, state: State, fragments: Mapping[str, str]) -> None:
        if row.graph != plan.name:
            raise RunKeyTaken(row.key, f"it is a run of graph '{row.graph}', not '{plan.name}'")
        (first,) = await self.store.log(row.number, upto=0)
        stored = json.loads(first.body).get("writes", {})
        for name, spec in plan.schema.fields.items():
            if spec.has_factory and name not in state.model_fields_set:
                continue  # a default that is made anew each time says nothing about what was meant
            known = [name in stored, name in fragments]
            same = all(known) and plan.codec.fields[name].same(stored[name], json.loads(fragments[name]))
            if any(known) and not same:
                raise RunKeyTaken(row.key, f"that run was started with another value of '{name}'")

    @overload
    async def get(self, key: str, /) -> Run[State]: ...
    @overload
    async def get(self, key: str, graph: Graph[S], /) -> Run[S]: ...
    async def get(self, key: str, graph: Graph[Any] | None = None, /) -> Run[Any]:
        """The run with this key. Reads only.

        Raises:
            UnknownRun: There is none.
            UnknownGraph: It is a run of another graph than *graph*.
        """
        row = await self.store.find(key)
        if row is None:
            raise UnknownRun(key, self.store.url, [r.key for r in await self.store.runs(limit=200)])
        if graph is not None:
            self._plan(graph)
            if row.graph != graph.name:
                raise UnknownGraph(row.graph, [graph.name])
        return Run(self, row, graph or self._graphs.get(row.graph))

    async def find(
        self, *, status: Sequence[RunStatus] = (), graph: str | None = None, limit: int = 100
    ) -> list[Run[State]]:
        """Runs, the newest first.

        Args:
            status: Only these.
            graph: Only of this graph.
            limit: At most so many.
        """
        rows = await self.store.runs(status=status, graph=graph, limit=limit)
        return [Run(self, row, self._graphs.get(row.graph)) for row in rows]

    # -- driving ------------------------------------------------------------------------------------

    def _plan(self, graph: Graph[Any]) -> Plan:
        known = self._graphs.setdefault(graph.name, graph)
        plan = graph.compile()
        if known is not graph:
            self._graphs[graph.name] = graph
        return plan

    def _drive(
        self,
        plan: Plan,
        row: RunRow,
        epoch: int,
        loaded: Loaded,
        first: ev.Event | None = None,
        status: RunStatus | None = None,
    ) -> _Driven:
        invoker = Invoker(plan, row.key, self._resources, self._threads)
        drive = Drive(self.store, row, epoch, loaded, invoker, clock=self.clock, most=self._concurrency, status=status)
        if first is not None:
            drive.put(first)
        driven = self._driving[row.number] = _Driven(drive, asyncio.create_task(drive.go(), name=f"run {row.key}"))
        driven.task.add_done_callback(lambda task: self._rests(row.number, driven))
        self._ours.add(row.number)
        return driven

    def _rests(self, number: int, driven: _Driven) -> None:
        if self._driving.get(number) is driven:
            del self._driving[number]
        if not driven.task.cancelled():
            driven.task.exception()  # it is raised to whoever waits; nobody has to

    async def _take(self, row: RunRow, plan: Plan, want: _Want | None = None) -> _Driven | None:
        """Drive a run, from wherever it stands; None where there is nothing to drive.

        Args:
            row: The run.
            plan: Its graph.
            want: What is to happen to it, seen its state; may refuse. It just goes on where this is left out.
        """
        # Whoever is cancelled here would leave a run behind that is owned and that nobody drives.
        return await to_the_end(self._taken(row, plan, want))

    async def _taken(self, row: RunRow, plan: Plan, want: _Want | None) -> _Driven | None:
        number, lock = row.number, self._locks.setdefault(row.number, asyncio.Lock())
        async with lock:
            while (driven := self._driving.get(number)) is not None:
                if not driven.drive.over:
                    if want is not None:
                        driven.drive.put(want(driven.drive.run))
                    return driven
                await asyncio.wait([driven.task])
            self._resources.check(plan)
            await check_unchanged(self.store, plan, row)
            epoch = await self.store.claim(number)
            try:
                loaded = await load_run(self.store, plan, row)
                first = self._go_on(loaded.run) if want is None else want(loaded.run)
            except BaseException:
                with suppress(StoreError):
                    await self._release(number, epoch)
                raise
            if first is None:
                await self._release(number, epoch)
                return None
            return self._drive(plan, row, epoch, loaded, first)

    async def _release(self, number: int, epoch: int) -> None:
        await self.store.append(Append(run=number, epoch=epoch, release=True))

    def _go_on(self, run: RunState) -> ev.Event | None:
        return ev.RunResumed(at=self.clock.now()) if run.status == "running" else None


class _Driven:
    """A run that this engine drives."""

    __slots__ = ("drive", "task")

    def __init__(self, drive: Drive, task: asyncio.Task[RunStatus]):
        self.drive, self.task = drive, task


def _input(plan: Plan, state: State, at: float, limits: Limits) -> tuple[ev.RunStarted, dict[str, str]]:
    """Check what a run starts with, field by field."""
    if not isinstance(state, plan.schema.state):
        kind = plan.schema.state.__name__
        raise BadInput(
            f"graph '{plan.name}' starts with a {kind}, not {state!r:.80}:   engine.start(graph, {kind}(...))"
        )
    values, fragments = {}, {}
    for name, value in plan.schema.given(state).items():
        try:
            values[name], fragments[name] = plan.codec.fields[name].accept_given(value)
        except ValidationError as error:
            raise BadInput(f"field '{name}' does not fit: {first_line(error)}") from None
        except NotStorable as error:
            raise BadInput(str(error)) from None
    return ev.RunStarted(
        at=at, values=values, steps=limits.steps, seconds=limits.seconds, turns=limits.turns
    ), fragments


class Run(Generic[S]):
    """A handle to one run; made by an `Engine`.

    Attributes:
        key: Its name.
        graph: The name of its graph.
    """

    def __init__(self, engine: Engine, row: RunRow, graph: Graph[S] | None):
        self._engine, self._row, self._graph = engine, row, graph
        self.key, self.graph = row.key, row.graph

    def __repr__(self) -> str:
        return f"<run {self.key} of {self.graph}>"

    # -- reading ------------------------------------------------------------------------------------

    async def status(self) -> RunStatus:
        """How the run stands, by the database."""
        return (await self._now()).status

    async def _now(self) -> RunRow:
        row = await self._engine.store.find(self.key)
        if row is None:
            raise UnknownRun(self.key, self._engine.store.url)
        return row

    def _plan(self) -> Plan:
        graph = self._graph or self._engine._graphs.get(self.graph)
        if graph is None:
            raise UnknownGraph(self.graph, list(self._engine._graphs))
        return self._engine._plan(graph)

    async def _load(self) -> RunState:
        driven = self._engine._driving.get(self._row.number)
        if driven is not None:
            return driven.drive.run
        plan = self._plan()
        row = await self._now()
        await check_unchanged(self._engine.store, plan, row)
        return (await load_run(self._engine.store, plan, row)).run

    async def state(self) -> S:
        """The state so far: everything that has been written, merged. Fields that nothing was written to are unset."""
        return cast("S", _state_so_far(await self._load()))

    async def record(self) -> RunRecord:
        """What happened so far, as a table; needs no code."""
        return await record_of(self._engine.store, await self._now())

    async def questions(self) -> list[OpenQuestion]:
        """The questions that wait for an answer, the oldest first."""
        rows = await self._engine.store.questions(self._row.number)
        now = self._engine.clock.now()
        return [OpenQuestion.of(row) for row in rows if row.expires_at is None or row.expires_at > now]

    # -- driving ------------------------------------------------------------------------------------

    async def wait(self, *, timeout: float | None = None) -> Outcome[S]:  # noqa: ASYNC109
        """Drive the run until it rests, and say how.

        Where another process drives it, wait for that one, and take over if it dies.

        Args:
            timeout: Give up after so many seconds; the run goes on.

        Raises:
            TimeoutError: It did not rest in time.
            GraphChanged: The code's graph is not the run's.
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
            row = await self._now()
            if row.status in _ENDED or (row.status == "waiting" and not await self._has_news()):
                outcome = await self._outcome(await self._load(), row)
                # Somebody may have driven it while it was read.
                return outcome if await self._now() == row else None
            try:
                driven = await engine._take(row, self._plan())
            except RunOwned:
                await engine.store.changes(1.0)
                return None
            if driven is None:
                return None
        await asyncio.shield(driven.task)
        row = await self._now()
        return None if row.status == "running" else await self._outcome(driven.drive.run, row, driven.drive.cause)

    async def _has_news(self) -> bool:
        """Whether a question that the run waits for was answered, or its time is over."""
        asking = {activation.question for activation in (await self._load()).questions}
        open_now = {question.id for question in await self.questions()}
        return not asking <= open_now

    async def result(self) -> S:
        """Drive the run until it rests, and give its final state.

        Raises:
            RunFailed: It failed.
            RunWaiting: Only a person can move it.
            RunCancelled: It was cancelled.
            RunStopped: A limit was reached; the `LimitReached` behind it has the state so far.
        """
        outcome = await self.wait()
        if isinstance(outcome, Done):
            return outcome.state
        raise _ERRORS[type(outcome)](outcome) from _cause(outcome)

    async def resume(self) -> None:
        """Begin to drive the run, from wherever it stands. Does nothing to one that has ended.

        Raises:
            RunOwned: Another process drives it.
            GraphChanged: The code's graph is not the run's.
        """
        row = await self._now()
        if row.status not in _ENDED:
            await self._engine._take(row, self._plan())

    async def retry(self, *, limits: Limits | None = None) -> None:
        """Let a failed or stopped run go on: from the failed node, keeping all that was done.

        Args:
            limits: The new allowance; the same as before, counted anew, where left out.

        Raises:
            RunEnded: The run is neither failed nor stopped, or no retry can mend it.
            RunOwned: Another process drives it.
        """
        engine = self._engine

        def again(run: RunState) -> ev.Event:
            if run.status not in ("failed", "stopped"):
                raise RunEnded(self.key, run.status, "be retried")
            if run.halt is not None and run.halt.final:
                raise RunEnded(self.key, run.status, "be retried: what failed would fail again")
            if limits is None:
                steps, seconds, turns = run.steps_allowed, run.seconds_allowed, run.turns_allowed
            else:
                steps, seconds, turns = limits.steps, limits.seconds, limits.turns
            return ev.RunRetried(at=engine.clock.now(), steps=steps, seconds=seconds, turns=turns)

        await engine._take(await self._now(), self._plan(), again)

    async def cancel(self) -> None:
        """End the run: nothing starts any more, what runs is interrupted, questions are withdrawn.

        Raises:
            RunEnded: It has ended before.
            RunOwned: Another process drives it.
        """
        engine = self._engine

        def end(run: RunState) -> ev.Event:
            if run.status in ("done", "cancelled"):
                raise RunEnded(self.key, run.status, "be cancelled")
            return ev.RunCancelled(at=engine.clock.now())

        driven = await engine._take(await self._now(), self._plan(), end)
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
        rows = {row.id: row for row in await store.questions(number, status=())}
        if question not in rows:
            raise UnknownQuestion(self.key, question, [r.id for r in rows.values() if r.status == "open"])
        plan = await self._plan_at_hand()
        if plan is None:
            given = answers.check_by_schema(rows[question], value)
        else:
            given = answers.accept_answer(plan, question, value, parsed_json=parsed_json)
        row = await store.answer(number, question, given, self._engine.clock.now())
        _check_stands(row, given, plan)
        driven = self._engine._driving.get(number)
        if driven is not None and not driven.drive.over:
            driven.drive.look()
        elif number in self._engine._ours:
            with suppress(RunOwned):  # somebody else took it over meanwhile, and sees the answer
                await self.resume()

    async def _plan_at_hand(self) -> Plan | None:
        if self._graph is None and self.graph not in self._engine._graphs:
            return None
        plan = self._plan()
        await check_unchanged(self._engine.store, plan, self._row)
        return plan

    # -- outcomes -----------------------------------------------------------------------------------

    async def _outcome(self, run: RunState, row: RunRow, cause: BaseException | None = None) -> Outcome[S]:
        state = cast("S", _state_so_far(run))
        note, stored = _note(row), not self._engine.store.url.startswith("memory:")
        match row.status:
            case "done":
                return Done(run=self.key, state=state)
            case "waiting":
                return Waiting(run=self.key, state=state, questions=tuple(await self.questions()), stored=stored)
            case "cancelled":
                return Cancelled(run=self.key, state=state)
            case "stopped":
                return Stopped(run=self.key, state=state, limit=note["limit"], allowed=note["allowed"], stored=stored)
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


def _note(row: RunRow) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(row.note)) if row.note else {}


def _check_stands(row: QuestionRow, given: str, plan: Plan | None) -> None:
    """Whether the answer that was given is the one that stands."""
    if row.status == "answered":
        if row.answer is not None and not answers.same_answer(plan, row.id, row.answer, given):
            raise AlreadyAnswered(row.id, row.answer)
        return
    why = f"it expired at {answers.expired_text(row)}" if row.status == "expired" else "its run went on without it"
    raise StaleAnswer(row.id, why)


def _state_so_far(run: RunState) -> State:
    """The final state; before the end, the merge of everything that is live."""
    if run.result is not None:
        return state_of(run.plan, run.result.seen())
    if not (heads := run.heads):
        return state_of(run.plan, {})
    return state_of(run.plan, run.revisions.look(heads, run.lost))


_ERRORS: Mapping[type, type[RunOutcomeError]] = {
    Failed: RunFailed,
    Waiting: RunWaiting,
    Cancelled: RunCancelled,
    Stopped: RunStopped,
}
