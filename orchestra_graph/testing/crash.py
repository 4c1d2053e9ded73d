"""`crash_everywhere`: kill a run at every point at which it can be killed, and see that it always ends the same.

    async def test_it_survives() -> None:
        report = await crash_everywhere(graph, Ticket(text="a refund, please"), answers={"approve": True})
        assert report.points > 20

One undisturbed run comes first: it says how many *points* there are, and how the run ends. A point is ``before 3``
(right before the third write to the store), ``after 3`` (the third write is stored, and nobody was told) or ``at 17``
(when a task of the engine, a node or the driver, begins to wait for the 17th time). Then, for each point, a run is
started, killed there, and taken to its end by a new engine.

Rule 1. Who is killed writes nothing any more and gives nothing up; the next engine takes over as it would from a dead
process.
Rule 2. The end must be that of the undisturbed run: the outcome, the state, which way each node went, the questions
that are open, and what `effects` says of the world outside.
Rule 3. A node whose end was stored before the kill is not called again. One that was cut off may be: with the same
idempotency key.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar
from uuid import uuid4

from orchestra_graph.clock import Clock
from orchestra_graph.core.run import Activation
from orchestra_graph.errors import AlreadyAnswered, RunEnded, StaleAnswer
from orchestra_graph.graph.builder import Graph
from orchestra_graph.runtime.engine import Engine, Run
from orchestra_graph.runtime.fleet import Driven
from orchestra_graph.runtime.outcomes import OpenQuestion, Outcome, Waiting
from orchestra_graph.state.schema import State
from orchestra_graph.store import open_store
from orchestra_graph.store.base import Append, LogRow, NewRun, Store
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.testing.acting import (
    Answers,
    Ended,
    Message,
    choices_in,
    ended,
    find_answer,
    is_doubt,
    is_timed,
    settled_in,
)
from orchestra_graph.testing.around import WRITES, Around
from orchestra_graph.testing.clock import VirtualClock, VirtualLoop
from orchestra_graph.testing.process import Process, processes

__all__ = ["CrashFailure", "CrashReport", "crash_everywhere"]

T = TypeVar("T")
S = TypeVar("S", bound=State)


class CrashFailure(AssertionError):
    """A run that was killed did not end as the undisturbed one.

    Attributes:
        point: Where it was killed; give it to ``only=`` to see just that.
        problems: What is otherwise, a line each.
    """

    def __init__(self, graph: str, point: str, where: str, problems: Sequence[str], call: str):
        self.point, self.problems = point, tuple(problems)
        lines = [f"'{graph}', killed {point} ({where}):", *(f"  {problem}" for problem in problems)]
        super().__init__("\n".join([*lines, f"Just that point again:   {call}"]))

    def __reduce__(self) -> Any:
        return _rebuild, (self.args, self.point, self.problems)


def _rebuild(args: tuple[Any, ...], point: str, problems: tuple[str, ...]) -> CrashFailure:
    failure = CrashFailure.__new__(CrashFailure)
    failure.args, failure.point, failure.problems = args, point, problems
    return failure


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What `crash_everywhere` did.

    Attributes:
        graph: The name of the graph.
        outcome: How all its runs ended.
        commits: Writes to the store in the undisturbed run.
        waits: How often a task began to wait in it.
        points: How many runs were killed.
        interrupted: How many activations were cut off in the middle and called again, in all of them.
        missed: Points that a run did not come to, for it went another way in time; it ended the same.
    """

    graph: str
    outcome: str
    commits: int
    waits: int
    points: int
    interrupted: int
    missed: int

    def __str__(self) -> str:
        return (
            f"{self.graph}: killed {self.points} times ({self.commits} commits, {self.waits} waits),"
            f" always {self.outcome}; cut off and called again: {self.interrupted}; finished and called again: 0"
        )


async def crash_everywhere(
    graph: Graph[S],
    input: S | Callable[[], S],
    /,
    *,
    answers: Answers | None = None,
    messages: Sequence[Message] = (),
    url: str | None = None,
    resources: Iterable[Any] | Mapping[str, Any] | Callable[[], Any] = (),
    setup: Callable[[], object] | None = None,
    effects: Callable[[], Any] | None = None,
    ignore: Collection[str] = (),
    only: str | None = None,
    most: int | None = None,
    seed: int = 0,
    threads: int = 0,
    timeout: float | None = None,  # noqa: ASYNC109
) -> CrashReport:
    """Kill a run of *graph* at every commit and every wait, each time another run, and compare how they end.

    Nodes are called many times: give them a world of their own (*resources*, *setup*). What they do must depend on what
    they get and on nothing else; a graph whose end is decided by who is faster has no one end to compare with.

    Args:
        graph: The graph.
        input: What its runs start with, or a function that makes it.
        answers: What people say.
        messages: What is sent to each run, in order, right behind its start.
        url: Where the runs are kept: ``sqlite:///...`` or the URL of a PostgreSQL database; None: in memory, which is
            fastest, and on a virtual clock (see `run_virtually`) needs no time at all.
        resources: What the engine gets; or a function that makes it for each engine.
        setup: Called, or awaited, before each run.
        effects: Gives what a run has left in the world outside; must be equal for all.
        ignore: Fields that may differ: times, say.
        only: Just one point, such as ``"after 7"``.
        most: At most so many points, drawn by chance; None: all of them.
        seed: Of that chance.
        threads: How many sync nodes may run at once, in threads; 0: they run in the event loop.
        timeout: Seconds after which a run that has not come to rest counts as stuck; None: a minute, or a day of
            virtual time.

    Returns:
        What was done.

    Raises:
        CrashFailure: A killed run ended otherwise than the undisturbed one, ran a finished node again, or is stuck.
    """
    trial = _Trials(graph, input, answers, tuple(messages), url, resources, setup, effects, ignore, threads, timeout)
    with processes():
        usual = await trial.run(None)
        if usual.problem is not None:
            raise CrashFailure(graph.name, "never", "the undisturbed run", [usual.problem], "await run.wait()")
        timed = is_timed(graph.compile())
        points = [only] if only is not None else _points(usual, most, seed)
        interrupted = missed = 0
        for point in points:
            found = await trial.run(point)
            problems = found.unlike(usual, timed=timed)
            if problems:
                await _check_steady(trial, usual)
                call = f'await crash_everywhere({graph.name}, ..., only="{point}")'
                raise CrashFailure(graph.name, point, found.where or "it was not reached", problems, call)
            interrupted += found.interrupted
            missed += found.where is None
    return CrashReport(
        graph=graph.name,
        outcome=usual.end.outcome if usual.end else "nothing",
        commits=len(usual.commits),
        waits=usual.waits,
        points=len(points) - missed,
        interrupted=interrupted,
        missed=missed,
    )


async def _check_steady(trial: _Trials, usual: _Trial) -> None:
    """Before a kill is blamed: does it end the same when nobody kills it?"""
    problems = (await trial.run(None)).unlike(usual, timed=False)
    if problems:
        problems.append("what it does depends on something else than on what its nodes get: chance, the time, a global")
        raise CrashFailure(trial.graph.name, "never", "two undisturbed runs", problems, "await run.wait()")


def _points(usual: _Trial, most: int | None, seed: int) -> list[str]:
    commits = [f"{side} {n}" for n in range(1, len(usual.commits) + 1) for side in ("before", "after")]
    points = commits + [f"at {n}" for n in range(1, usual.waits + 1)]
    if most is None or most >= len(points):
        return points
    return [points[at] for at in sorted(Random(f"{seed}/{len(points)}").sample(range(len(points)), most))]


@dataclass
class _Trial:
    """One run, killed or not, and what came of it."""

    key: str
    end: Ended | None = None
    problem: str | None = None
    where: str | None = None  # it was killed
    commits: list[str] = field(default_factory=list)
    waits: int = 0
    choices: dict[str, str] = field(default_factory=dict)
    effects: Any = None
    again: list[str] = field(default_factory=list)  # called though their end was stored
    interrupted: int = 0

    def unlike(self, usual: _Trial, *, timed: bool) -> list[str]:
        """What came out otherwise than in the undisturbed run; *timed*: what ended, and was not needed, may differ."""
        if self.problem is not None or self.end is None or usual.end is None:
            return [self.problem or "it has no end"]
        lines = usual.end.unlike(self.end)
        lines += [f"{name} had finished, and was called again" for name in self.again]
        for name in sorted({*self.choices, *usual.choices}):
            one, two = usual.choices.get(name), self.choices.get(name)
            if one != two and not (timed and None in (one, two)):
                lines.append(f"{name} {two or 'never ended'}, not: {one or 'never ended'}")
        if self.effects != usual.effects:
            lines.append(f"the effects are {self.effects!r}, not {usual.effects!r}")
        return lines


class _Trials:
    """Runs of one graph, each of which is killed somewhere else."""

    def __init__(
        self,
        graph: Graph[Any],
        input: Any,
        answers: Answers | None,
        messages: Sequence[Message],
        url: str | None,
        resources: Any,
        setup: Callable[[], object] | None,
        effects: Callable[[], Any] | None,
        ignore: Collection[str],
        threads: int,
        timeout: float | None,
    ):
        self.graph, self.input, self.answers, self.messages = graph, input, answers, messages
        self.url, self.resources, self.setup, self.effects = url, resources, setup, effects
        self.ignore, self.threads = ignore, threads
        virtual = isinstance(asyncio.get_running_loop(), VirtualLoop)
        self.clock: Clock | None = VirtualClock() if virtual else None
        self.timeout = timeout if timeout is not None else 86_400.0 if virtual else 60.0
        self._series = uuid4().hex[:8]
        self._count = 0

    async def run(self, point: str | None) -> _Trial:
        """One run, killed at *point*, and taken to its end."""
        self._count += 1
        trial = _Trial(f"crash-{self._series}-{self._count:04}")
        await _awaited(self.setup() if self.setup else None)
        calls, store = _Calls(trial.key), self._store(None)
        database = store.database if isinstance(store, MemoryStore) else None
        first = _Life(self, trial, calls, store, point)
        try:
            if not await first.live():
                calls.settled = await self._settled(trial, database)
                calls.before = calls.begun.copy()
                await _Life(self, trial, calls, self._store(database), None).live()
        except TimeoutError:
            trial.problem = f"it has not come to rest after {self.timeout:g} seconds"
            return trial
        trial.again = calls.again
        trial.interrupted = calls.interrupted
        if self.effects:
            trial.effects = await _awaited(self.effects())
        return trial

    def make_input(self) -> Any:
        """What the run starts with."""
        return self.input.model_copy(deep=True) if isinstance(self.input, State) else self.input()

    def make_resources(self) -> Any:
        """What an engine gets."""
        return self.resources() if callable(self.resources) else self.resources

    def _store(self, database: MemoryDatabase | None) -> Store:
        if database is not None:
            return MemoryStore(database, clock=self.clock)
        return open_store(self.url, clock=self.clock)

    async def _settled(self, trial: _Trial, database: MemoryDatabase | None) -> frozenset[str]:
        """What had ended when the run was killed."""
        async with self._store(database) as store:
            row = await store.find(trial.key)
            return settled_in(await store.log(row.number)) if row is not None else frozenset()


class _Calls:
    """Which activations were called, how often, and which of them returned."""

    def __init__(self, key: str):
        self.key = key
        self.begun: Counter[str] = Counter()
        self.returned: dict[str, Any] = {}
        self.settled: frozenset[str] = frozenset()
        self.before: Counter[str] = Counter()
        self.again: list[str] = []
        self.interrupted = 0

    def watch(self, driven: Driven) -> None:
        """See the calls of a drive."""
        invoker = driven.drive.invoker
        call = invoker.call

        async def seen(activation: Activation, *more: Any, **named: Any) -> Any:
            identity = activation.id
            self.begun[identity] += 1
            if identity in self.settled:
                self.again.append(identity)
            elif self.before[identity] and self.begun[identity] == self.before[identity] + 1:
                self.interrupted += 1
            value = await call(activation, *more, **named)
            self.returned[identity] = value
            return value

        invoker.call = seen  # type: ignore[method-assign]


class _CrashEngine(Engine):
    """An engine of which the calls of nodes are seen."""

    calls: _Calls

    def _drive(self, *args: Any, **more: Any) -> Driven:
        driven = super()._drive(*args, **more)
        self.calls.watch(driven)
        return driven


class _Deadly(Around):
    """The store of a process that dies at one of its writes."""

    def __init__(self, inner: Store, life: _Life):
        super().__init__(inner)
        self._life = life

    async def __aexit__(self, *exc: Any) -> None:
        if not self._life.process.dead:  # else nobody is left who could close it
            await super().__aexit__(*exc)

    async def through(self, method: str, call: Callable[[], Awaitable[T]], what: Any = None) -> T:
        if method not in WRITES:
            return await call()
        life = self._life
        life.commits.append(_told(method, what))
        await life.pass_by(f"before {len(life.commits)}", life.commits[-1])
        number, told = len(life.commits), life.commits[-1]
        done = await call()
        await life.pass_by(f"after {number}", told)
        return done


class _Life:
    """What one engine does for a run, until the run rests or the engine is dead."""

    def __init__(self, trials: _Trials, trial: _Trial, calls: _Calls, store: Store, point: str | None):
        self.trials, self.trial, self.calls, self.store, self.point = trials, trial, calls, store, point
        self.commits: list[str] = []
        self.waits = 0
        self.begun = False
        self.process = Process(trial.key, self._stepped)

    async def live(self) -> bool:
        """Drive the run to its end; False when the engine died on the way."""
        process, task = self.process, self.process.spawn(self._drive())
        done, _ = await asyncio.wait(
            (task, process.death), timeout=self.trials.timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if process.dead or not done:
            process.kill()
            await process.end()
            await _awaited(self.store.crash())  # type: ignore[attr-defined]
            if not done:
                raise TimeoutError
            return False
        outcome, rows = task.result()
        trial = self.trial
        trial.end, trial.choices = ended(outcome, self.trials.ignore), choices_in(rows)
        if trial.where is None:
            trial.commits, trial.waits = self.commits, self.waits
        return True

    async def _drive(self) -> tuple[Outcome[Any], list[LogRow]]:
        trials = self.trials
        store = _Deadly(self.store, self)
        graph, clock = trials.graph, trials.clock
        engine = _CrashEngine(
            store, graphs=[graph], resources=trials.make_resources(), clock=clock, threads=trials.threads
        )
        engine.calls = self.calls
        async with engine:  # who dies before or behind this has nothing of the run in hand
            self.begun = True
            run = await engine.start(graph, trials.make_input(), key=self.trial.key)
            await self._send(run)
            outcome = await self._to_the_end(run)
            self.begun = False
            return outcome, await store.log(run._row.number)

    async def _send(self, run: Run[Any]) -> None:
        for number, (channel, payload) in enumerate(self.trials.messages):
            with suppress(RunEnded):
                await run.send(channel, payload, id=f"crash-{number}")

    async def _to_the_end(self, run: Run[Any]) -> Outcome[Any]:
        while True:
            outcome = await run.wait()
            if not isinstance(outcome, Waiting) or not await self._answer(run, outcome.questions):
                return outcome

    async def _answer(self, run: Run[Any], questions: Sequence[OpenQuestion]) -> bool:
        """Let people say what they have to say; whether they said anything."""
        said = False
        for question in questions:
            given, value = find_answer(self.trials.answers, question)
            if is_doubt(question) and not given:
                given, value = True, self._happened(question)
            if given:
                said = True
                with suppress(AlreadyAnswered, StaleAnswer):
                    await run.answer(question.id, value)
        return said

    def _happened(self, question: OpenQuestion) -> dict[str, Any]:
        """What somebody says who looks whether an irreversible node has happened."""
        identity = question.id.partition("!")[0]
        if identity not in self.calls.returned:
            return {"happened": False}
        wrote, value = [n for n in question.schema["properties"] if n != "happened"], self.calls.returned[identity]
        return {"happened": True} | ({wrote[0]: value} if len(wrote) == 1 else dict(value or {}))

    # -- dying --------------------------------------------------------------------------------------

    def _stepped(self, task: str) -> None:
        if not self.begun:
            return
        self.waits += 1
        if self.point == f"at {self.waits}" and not self.process.dead:
            self._die(f"in {task}, after commit {len(self.commits)}")

    async def pass_by(self, point: str, what: str) -> None:
        """Die where this is the point to die at."""
        if point == self.point:
            self._die(what)
        if self.process.dead:
            await asyncio.get_running_loop().create_future()  # goes no step further

    def _die(self, where: str) -> None:
        self.trial.where = where
        self.process.kill()


def _told(method: str, what: Any) -> str:
    """A write, for people."""
    if isinstance(what, NewRun):
        return "RunStarted"
    if not isinstance(what, Append):
        return method
    rows = [f"{row.kind} {json.loads(row.body).get('id', '')}".strip() for row in what.rows]
    more = [f"status {what.status}"] if what.status else []
    return ", ".join([*rows, *more, *(["release"] if what.release else [])]) or method


async def _awaited(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found
