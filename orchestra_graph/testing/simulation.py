"""`simulate`: whole fleets of workers in one process, on virtual time, from a seed.

    def test_the_refunds_survive_anything() -> None:
        for seed in range(100):
            simulate(Job(graph, Ticket(text="a refund, please"), answers={"approve": True}), seed=seed)

Some workers share one database in memory. While they work, they die (in the middle of a commit, too), stand still past
their leases, have clocks that are wrong by up to a minute, and their calls to the database fail now and then. People
answer, two at once; messages are sent; runs are cancelled. Then everything heals, and it is looked at how the runs have
ended.

Rule 1. All chance comes from the seed, and time is virtual: the same seed gives the same simulation, step by step.
Rule 2. Whether a run ended as it should is said by another run of the same graph that nobody disturbs, with the answers
that stood and the messages that were accepted.
Rule 3. What is checked: each run ends so; no row is there twice, none is missing, and no activation finishes twice; no
finished node is called again by the owner of the run; no message is lost; who was told that his answer was accepted is
right; no run is stuck, and nothing is owned in the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar

from orchestra_graph.core.run import Activation
from orchestra_graph.errors import AlreadyAnswered, RequestError, RunEnded, StaleAnswer, StoreError
from orchestra_graph.graph.builder import Graph
from orchestra_graph.runtime.engine import Engine
from orchestra_graph.runtime.fleet import Driven
from orchestra_graph.runtime.outcomes import OpenQuestion, Waiting
from orchestra_graph.state.schema import State
from orchestra_graph.store.base import Append, NewRun
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import Kept, MemoryDatabase
from orchestra_graph.testing.acting import Answers, Ended, Message, choices_in, ended, find_answer, is_doubt, is_timed
from orchestra_graph.testing.around import WRITES, Around
from orchestra_graph.testing.clock import VirtualClock, run_virtually
from orchestra_graph.testing.faults import FaultyStore
from orchestra_graph.testing.process import Process, processes

__all__ = ["Job", "Simulation", "SimulationFailure", "SimulationReport", "simulate"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a simulation.

    Attributes:
        graph: Its graph. What its nodes do must depend on what they get and on nothing else.
        input: What it starts with.
        answers: What people say; see `Answers`.
        rivals: What another person says to the same questions, at about the same time; None: there is nobody else.
        messages: What is sent to it.
        cancel: Somebody may want to cancel it.
        key: Its name; made from its place where left out.
    """

    graph: Graph[Any]
    input: State
    answers: Answers | None = None
    rivals: Answers | None = None
    messages: Sequence[Message] = ()
    cancel: bool = False
    key: str = ""


class SimulationFailure(AssertionError):
    """Something went wrong in a simulation.

    Attributes:
        seed: Of the simulation; the same seed fails again.
        problems: What is wrong, a line each.
        trace: What happened, in order.
    """

    def __init__(self, seed: int | str, problems: Sequence[str], trace: Sequence[str]):
        self.seed, self.problems, self.trace = seed, tuple(problems), tuple(trace)
        last = [f"  {line}" for line in trace[-40:]]
        lines = [f"seed {seed!r}:", *(f"  {problem}" for problem in problems), "What happened last:", *last]
        super().__init__("\n".join([*lines, f"The same again:   simulate(..., seed={seed!r})"]))

    def __reduce__(self) -> Any:
        return SimulationFailure, (self.seed, self.problems, self.trace)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationReport:
    """What happened in a simulation.

    Attributes:
        seed: Of chance.
        outcomes: How each run ended, by its key.
        events: How often what happened: ``killed``, ``stopped``, ``fault``, ``commit``, ``call`` ...
        seconds: How long it took, in virtual time.
        trace: What happened, in order.
        digest: A hash of the trace: equal for equal simulations.
    """

    seed: int | str
    outcomes: Mapping[str, str]
    events: Mapping[str, int]
    seconds: float
    trace: Sequence[str] = field(repr=False)
    digest: str

    def __str__(self) -> str:
        told = ", ".join(f"{count} {what}" for what, count in sorted(self.events.items()))
        return f"seed {self.seed!r}: {len(self.outcomes)} runs as they should be after {self.seconds:.0f} s; {told}"


def simulate(
    jobs: Job | Iterable[Job],
    *,
    seed: int | str,
    workers: int = 3,
    rate: float = 0.01,
    crashes: float = 0.05,
    pauses: float = 0.05,
    skew: float = 60.0,
    lease: float = 10.0,
    trouble: float = 120.0,
    patience: float = 600.0,
    resources: Any = (),
) -> SimulationReport:
    """Simulate a fleet that does some jobs, on a virtual event loop of its own.

    Args:
        jobs: The runs.
        seed: Of chance.
        workers: How many there are.
        rate: How many calls of the database fail, from 0 to 1.
        crashes: How likely a worker dies in a second, while there is trouble.
        pauses: How likely a worker is stopped in a second, for up to three leases.
        skew: By how many seconds a worker's clock is wrong at most, in either direction.
        lease: Of the workers, in seconds.
        trouble: For how many seconds there is trouble; then everything heals.
        patience: How many seconds later a run that has not ended is stuck.
        resources: What the engines get, or a function that makes it for each.

    Returns:
        What happened.

    Raises:
        SimulationFailure: Something went wrong.
    """
    listed = [jobs] if isinstance(jobs, Job) else list(jobs)
    simulation = Simulation(
        listed,
        seed=seed,
        workers=workers,
        rate=rate,
        crashes=crashes,
        pauses=pauses,
        skew=skew,
        lease=lease,
        trouble=trouble,
        patience=patience,
        resources=resources,
    )
    return run_virtually(simulation.run())


class Simulation:
    """One simulation; see `simulate`, which makes one and runs it.

    Attributes:
        database: What the workers share.
        trace: What has happened so far.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        seed: int | str,
        workers: int,
        rate: float,
        crashes: float,
        pauses: float,
        skew: float,
        lease: float,
        trouble: float,
        patience: float,
        resources: Any,
    ):
        self.jobs = [replace(job, key=job.key or f"run-{number}") for number, job in enumerate(jobs)]
        self.seed, self.workers, self.rate = seed, workers, rate
        self.crashes, self.pauses, self.skew, self.lease = crashes, pauses, skew, lease
        self.trouble, self.patience, self.resources = trouble, patience, resources
        self.graphs = {job.graph.name: job.graph for job in self.jobs}
        self.chance = Random(f"simulation {seed}")
        self.clock = VirtualClock()
        self.database = MemoryDatabase(clock=self.clock)
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.healed = False
        self.done = False
        self.returned: dict[tuple[str, str], Any] = {}  # by run and activation, what nodes gave
        self.cancelled: set[str] = set()
        self.sent: dict[tuple[str, str], str] = {}  # accepted messages
        self._alive: list[_Worker] = []
        self._made = 0

    # -- what happens -------------------------------------------------------------------------------

    async def run(self) -> SimulationReport:
        """Run it; on a virtual event loop.

        Raises:
            SimulationFailure: Something went wrong.
        """
        with processes():
            world = Process("world")
            for work in self._everybody():
                world.spawn(work).add_done_callback(self._look_at)
            try:
                await self._to_the_end()
            finally:
                self.done = True
                world.kill()
                await world.end()
                for worker in self._alive:
                    worker.process.wake()
            await self._close()
            await self._check()
        if self.problems:
            raise SimulationFailure(self.seed, self.problems, self.trace)
        return SimulationReport(
            seed=self.seed,
            outcomes={job.key: self._kept(job).row.status for job in self.jobs},
            events=dict(self.counts),
            seconds=asyncio.get_running_loop().time(),
            trace=tuple(self.trace),
            digest=hashlib.sha256("\n".join(self.trace).encode()).hexdigest(),
        )

    def _look_at(self, task: asyncio.Task[None]) -> None:
        """Somebody of the world outside has done what there was to do; nothing of it may have failed."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.problems.append(f"somebody outside met {type(error).__name__}: {error}")

    def note(self, kind: str, told: str) -> None:
        """Something has happened."""
        self.counts[kind] += 1
        self.trace.append(f"{asyncio.get_running_loop().time():9.3f} {kind} {told}")

    def chance_of(self, *names: Any) -> Random:
        """Chance for one purpose, which others do not disturb."""
        return Random("/".join(str(name) for name in (self.seed, *names)))

    def _everybody(self) -> Iterable[Coroutine[Any, Any, None]]:
        yield self._trouble()
        for number in range(self.workers):
            yield self._keep_alive(number)
        for job in self.jobs:
            yield self._start(job, 0)
            if self.chance.random() < 0.5:
                yield self._start(job, 1)
            for number, answers in enumerate((job.answers, job.rivals)):
                if answers is not None:
                    yield _Person(self, job, number, answers).look_after()
            for number, message in enumerate(job.messages):
                yield self._send(job, number, message)
            if job.cancel and self.chance.random() < 0.5:
                yield self._cancel(job)

    async def _to_the_end(self) -> None:
        """Wait until all runs have ended, and a while has passed without trouble."""
        loop = asyncio.get_running_loop()
        while loop.time() < self.trouble + self.patience:
            await asyncio.sleep(2)
            if self._all_ended():
                await asyncio.sleep(2 * self.lease)
                if self._all_ended():
                    return
            if loop.time() >= self.trouble and not self.healed:
                self._heal()
        for job in self.jobs:
            if not self._ended(job):
                row = self._kept(job).row if job.key in self.database.by_key else None
                self.problems.append(f"{job.key} is stuck: {row or 'it was never started'}")

    def _all_ended(self) -> bool:
        return all(self._ended(job) for job in self.jobs)

    def _ended(self, job: Job) -> bool:
        kept = self.database.by_key.get(job.key)
        if kept is None or self._is_owned(kept):
            return False
        if kept.row.status == "waiting":  # for what nobody will say
            return self._is_left_alone(job, kept)
        return kept.row.status in ("done", "cancelled", "failed", "stopped")

    def _is_owned(self, kept: Kept) -> bool:
        """Whether a living engine has it; a dead one that has one which has ended is nobody's concern."""
        return kept.row.owner is not None and self.database.is_alive(kept.row.owner)

    def _is_left_alone(self, job: Job, kept: Kept) -> bool:
        if kept.news or any(message.taken is None and message.channel[0] == "$" for message in kept.inbox.values()):
            return False
        if len([m for m in kept.inbox.values() if m.channel[0] != "$"]) < len(job.messages):
            return False
        asked = [OpenQuestion.of(q) for q in kept.questions.values() if q.status == "open"]
        return not any(is_doubt(q) or find_answer(job.answers, q)[0] or find_answer(job.rivals, q)[0] for q in asked)

    def _heal(self) -> None:
        self.healed = True
        self.note("healed", "everything")
        for worker in self._alive:
            worker.heal()

    def _kept(self, job: Job) -> Kept:
        return self.database.by_key[job.key]

    # -- workers ------------------------------------------------------------------------------------

    async def _keep_alive(self, number: int) -> None:
        """One place for a worker: when one has died, another comes after a while."""
        chance = self.chance_of("place", number)
        await asyncio.sleep(chance.random() * 2)
        while True:
            self._made += 1
            worker = _Worker(self, f"worker-{self._made}", chance.uniform(-self.skew, self.skew))
            self._alive.append(worker)
            worker.begin()
            await worker.process.death
            self._alive.remove(worker)
            await worker.process.end()
            worker.store.crash()
            await asyncio.sleep(chance.random() * 2 * self.lease)

    async def _trouble(self) -> None:
        """Let workers die and stand still, as long as there is trouble."""
        chance = self.chance_of("trouble")
        while not self.healed:
            await asyncio.sleep(1)
            for worker in list(self._alive):
                fate = chance.random()
                if fate < self.crashes:
                    worker.die(chance.choice(("now", "now", "before", "after")))
                elif fate < self.crashes + self.pauses and not worker.process.is_stopped:
                    seconds = chance.uniform(0.3, 3.0) * self.lease
                    worker.stop()
                    asyncio.get_running_loop().call_later(seconds, worker.wake)

    async def _start(self, job: Job, number: int) -> None:
        """Start a run on one of the workers, until it is there."""
        chance = self.chance_of("start", job.key, number)
        await asyncio.sleep(chance.random() * self.trouble / 6)
        while job.key not in self.database.by_key or number:
            worker = chance.choice(self._alive) if self._alive else None
            if worker is not None and worker.engine is not None:
                number = 0
                task = worker.process.spawn(self._begin(worker.engine, job))
                await asyncio.wait((task, worker.process.death), return_when=asyncio.FIRST_COMPLETED, timeout=5)
            await asyncio.sleep(1)

    async def _begin(self, engine: Engine, job: Job) -> None:
        with suppress(StoreError):
            await engine.start(job.graph, job.input.model_copy(deep=True), key=job.key)

    async def _close(self) -> None:
        """Let the workers that are left end as they should."""
        for worker in self._alive:
            worker.heal()
            await worker.close()

    # -- people -------------------------------------------------------------------------------------

    async def outside(self, name: str, act: Callable[[Engine], Awaitable[T]]) -> T | None:
        """Let somebody do something with an engine of his own, in spite of faults; None where it was refused."""
        for attempt in range(1000):
            rate = 0.0 if self.healed else self.rate
            store = FaultyStore(
                MemoryStore(self.database, clock=self.clock), seed=f"{self.seed}/{name}/{attempt}", rate=rate
            )
            engine = Engine(
                store, graphs=self.graphs.values(), clock=self.clock, threads=0, resources=self._resources()
            )
            try:
                async with engine:
                    return await act(engine)
            except (StoreError, RunEnded):
                if all(job.key in self.database.by_key and self._ended(job) for job in self.jobs):
                    return None
                await asyncio.sleep(1)
        raise AssertionError(f"{name} did not succeed in spite of 1,000 attempts")

    def _resources(self) -> Any:
        return self.resources() if callable(self.resources) else self.resources

    async def _there(self, job: Job) -> None:
        while job.key not in self.database.by_key:  # noqa: ASYNC110
            await asyncio.sleep(1)

    async def _send(self, job: Job, number: int, message: Message) -> None:
        """Send a message, once or twice."""
        chance = self.chance_of("send", job.key, number)
        await self._there(job)
        await asyncio.sleep(chance.random() * self.trouble / 3)
        name = f"message-{number}"
        for _ in range(chance.choice((1, 1, 2))):

            async def say(engine: Engine) -> None:
                run = await engine.get(job.key)
                with suppress(RunEnded):
                    await run.send(message[0], message[1], id=name)
                    self.sent[job.key, name] = message[0]
                    self.note("sent", f"{name} to {job.key}")

            await self.outside(f"{name} to {job.key}", say)

    async def _cancel(self, job: Job) -> None:
        chance = self.chance_of("cancel", job.key)
        await self._there(job)
        await asyncio.sleep(chance.random() * self.trouble / 3)
        self.cancelled.add(job.key)
        self.note("cancel", job.key)

        async def wish(engine: Engine) -> None:
            with suppress(RequestError, TimeoutError):
                async with asyncio.timeout(self.lease):
                    await (await engine.get(job.key)).cancel()

        await self.outside(f"cancel {job.key}", wish)

    def happened(self, job: Job, question: OpenQuestion) -> dict[str, Any]:
        """What somebody says who looks whether an irreversible node has happened."""
        identity = question.id.partition("!")[0]
        if (job.key, identity) not in self.returned:
            return {"happened": False}
        wrote = [name for name in question.schema["properties"] if name != "happened"]
        value = self.returned[job.key, identity]
        return {"happened": True} | ({wrote[0]: value} if len(wrote) == 1 else dict(value or {}))

    # -- in the end ---------------------------------------------------------------------------------

    async def _check(self) -> None:
        for job in self.jobs:
            if job.key in self.database.by_key:
                try:
                    wrong = await self._wrong_with(job, self._kept(job))
                except (Exception, asyncio.CancelledError) as error:
                    wrong = [f"looking at it raised {type(error).__name__}: {error}"]
                self.problems += [f"{job.key}: {problem}" for problem in wrong]
        for (key, name), _ in self.sent.items():
            if name not in self.database.by_key[key].inbox:
                self.problems.append(f"{key}: {name} was accepted, and is lost")

    async def _wrong_with(self, job: Job, kept: Kept) -> list[str]:
        wrong = [f"its log has row {row.seq} at place {n}" for n, row in enumerate(kept.log) if row.seq != n]
        finished = Counter(json.loads(row.body)["id"] for row in kept.log if row.kind == "NodeFinished")
        wrong += [f"{name} finished {count} times" for name, count in finished.items() if count > 1]
        taken = Counter(m.taken for m in kept.inbox.values() if m.taken is not None and m.channel[0] != "$")
        wrong += [f"row {seq} took {count} messages" for seq, count in taken.items() if count > 1]
        if self._is_owned(kept):
            wrong.append(f"it is owned by {kept.row.owner}")
        if kept.row.status == "cancelled" and job.key in self.cancelled:
            return wrong
        usual, choices = await self._undisturbed(job, kept)
        store = MemoryStore(self.database, clock=self.clock)
        async with Engine(store, graphs=[job.graph], clock=self.clock, threads=0) as engine:
            run = await engine.get(job.key, job.graph)
            mine = ended(await run.wait(timeout=self.patience))
        wrong += _plain(usual).unlike(_plain(mine))
        here, timed = choices_in(kept.log), is_timed(job.graph.compile())
        for name in sorted({*here, *choices}):
            one, two = choices.get(name), here.get(name)
            if one != two and not (timed and None in (one, two)):
                wrong.append(f"{name} {two or 'never ended'}, not: {one or 'never ended'}")
        return wrong

    async def _undisturbed(self, job: Job, kept: Kept) -> tuple[Ended, dict[str, str]]:
        """How the run ends that nobody disturbs, with the answers that stood, and the messages that were accepted."""
        stood = {
            q.id: json.loads(q.answer) for q in kept.questions.values() if q.answer and '"happened"' not in q.answer
        }
        messages = sorted((m for m in kept.inbox.values() if m.channel[0] != "$"), key=lambda m: m.number)
        async with Engine(graphs=[job.graph], clock=self.clock, threads=0, resources=self._resources()) as engine:
            run = await engine.start(job.graph, job.input.model_copy(deep=True), key=job.key)
            for message in messages:
                with suppress(RunEnded):
                    await run.send_json(message.channel, json.loads(message.body)["payload"], id=message.id)
            while True:
                outcome = await run.wait()
                asked = outcome.questions if isinstance(outcome, Waiting) else ()
                known = [q for q in asked if q.id in stood]
                if not known:
                    return ended(outcome), choices_in(await engine.store.log(run._row.number))
                for question in known:
                    await run.answer_json(question.id, stood[question.id])


def _plain(found: Ended) -> Ended:
    """Questions are compared by the state: one that was asked again has another id."""
    return replace(found, asked=tuple(sorted({name.partition("!")[0] for name in found.asked})))


class _Person:
    """Somebody who answers the questions of one run."""

    def __init__(self, simulation: Simulation, job: Job, number: int, answers: Answers):
        self.simulation, self.job, self.number, self.answers = simulation, job, number, answers
        self.chance = simulation.chance_of("person", job.key, number)
        self._seen: set[str] = set()

    async def look_after(self) -> None:
        """Look now and then, and answer."""
        simulation = self.simulation
        await simulation._there(self.job)
        while not simulation.done:
            kept = simulation._kept(self.job)
            for row in list(kept.questions.values()):
                if row.status == "open" and row.id not in self._seen:
                    self._seen.add(row.id)
                    await asyncio.sleep(self.chance.random() * 3)  # somebody else may answer meanwhile
                    await self._answer(OpenQuestion.of(row))
            if kept.row.status == "dead":
                await simulation.outside(f"revive {self.job.key}", self._revive)
            await asyncio.sleep(1 + 3 * self.chance.random())

    async def _revive(self, engine: Engine) -> None:
        run = await engine.get(self.job.key, self.job.graph)
        with suppress(RequestError):
            await run.retry()

    async def _answer(self, question: OpenQuestion) -> None:
        given, value = find_answer(self.answers, question)
        if is_doubt(question) and not given:
            given, value = True, self.simulation.happened(self.job, question)
        if not given:
            return

        async def say(engine: Engine) -> None:
            run = await engine.get(self.job.key, self.job.graph)
            try:
                await run.answer(question.id, value)
            except (AlreadyAnswered, StaleAnswer) as refused:
                self.simulation.note("refused", f"{question.id} of {self.job.key}: {type(refused).__name__}")
            else:
                self.simulation.note("answer", f"{question.id} of {self.job.key} by person {self.number}")
                self._check_stands(question)

        await self.simulation.outside(f"person-{self.number}/{self.job.key}/{question.id}", say)

    def _check_stands(self, question: OpenQuestion) -> None:
        row = self.simulation._kept(self.job).questions[question.id]
        if row.status != "answered":
            problem = f"{self.job.key}: person {self.number} was told that the answer to {question.id} was accepted"
            self.simulation.problems.append(f"{problem}, but it is {row.status}")


class _Faulty(FaultyStore):
    """The store of a worker, whose faults are in the trace."""

    def __init__(self, inner: Around, worker: _Worker, *, seed: str, rate: float):
        super().__init__(inner, seed=seed, rate=rate)
        self._worker = worker

    async def through(self, method: str, call: Callable[[], Awaitable[T]], what: Any = None) -> T:
        before = len(self.faults)
        try:
            return await super().through(method, call, what)
        finally:
            for fault in self.faults[before:]:
                self._worker.simulation.note("fault", f"{self._worker.name} {fault}")


class _Slow(Around):
    """A store whose calls take time, and in which its process may die."""

    def __init__(self, inner: MemoryStore, worker: _Worker):
        super().__init__(inner)
        self._worker, self._line = worker, asyncio.Lock()

    async def __aexit__(self, *exc: Any) -> None:
        if not self._worker.process.dead:  # else nobody is left who could close it
            await super().__aexit__(*exc)

    async def through(self, method: str, call: Callable[[], Awaitable[T]], what: Any = None) -> T:
        if method in ("changes", "answers"):
            return await call()
        if method not in WRITES:
            await asyncio.sleep(self._worker.delay())
            return await call()
        # A write that was queued is done, whoever is cancelled that waits for it; in the order of the calls.
        return await asyncio.shield(asyncio.ensure_future(self._write(method, call, what)))

    async def _write(self, method: str, call: Callable[[], Awaitable[T]], what: Any) -> T:
        async with self._line:
            await asyncio.sleep(self._worker.delay())
            await self._worker.pass_by("before")
            done = await call()
            self._worker.note(method, what)
            await self._worker.pass_by("after")
            await asyncio.sleep(self._worker.delay())
            return done


class _SeenEngine(Engine):
    """An engine of which the calls of nodes are seen."""

    worker: _Worker

    def _drive(self, *args: Any, **more: Any) -> Driven:
        driven = super()._drive(*args, **more)
        self.worker.watch(driven)
        return driven


class _Worker:
    """One engine of the fleet, in a process of its own."""

    def __init__(self, simulation: Simulation, name: str, skew: float):
        self.simulation, self.name = simulation, name
        self.chance = simulation.chance_of(name)
        self.process = Process(name)
        self.clock = VirtualClock(skew)
        self.store = MemoryStore(simulation.database, clock=self.clock, lease=simulation.lease)
        self.engine: _SeenEngine | None = None
        self.faulty = _Faulty(
            _Slow(self.store, self),
            self,
            seed=f"{simulation.seed}/{name}",
            rate=0.0 if simulation.healed else simulation.rate,
        )
        self._moment = ""
        self._main: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._faults = 0

    def begin(self) -> None:
        """Start the process."""
        self.simulation.note("began", f"{self.name}, clock {self.clock.skew:+.1f} s")
        self._main = self.process.spawn(self._live(), name=self.name)

    def heal(self) -> None:
        """Nothing fails any more, and nobody stands still."""
        self.faulty.heal()
        self._moment = ""
        self.wake()

    def die(self, moment: str) -> None:
        """Die now, or right before or after the next write."""
        if moment != "now":
            self._moment = moment
        else:
            self._kill("at once")

    def stop(self) -> None:
        """Stand still."""
        self.simulation.note("stopped", self.name)
        self.process.stop()
        self.store.pause()

    def wake(self) -> None:
        """Go on."""
        if self.process.is_stopped and not self.process.dead:
            self.simulation.note("woke", self.name)
            self.process.wake()
            # The heartbeat may come before or after the others.
            delay = self.chance.choice((0.0, 0.5))
            asyncio.get_running_loop().call_later(delay, self._beat)

    def _beat(self) -> None:
        if not self.process.dead and not self.process.is_stopped and self.store.engine is not None:
            self.store.resume()

    async def close(self) -> None:
        """End in good order."""
        if self.process.dead:
            await self.process.end()
            self.store.crash()
            return
        self._closing.set()
        assert self._main is not None
        done, _ = await asyncio.wait((self._main,), timeout=self.simulation.patience)
        if not done:
            self.simulation.problems.append(f"{self.name} does not end")
            self.process.kill()
            await self.process.end()
        elif self._main.exception() is not None:
            self.simulation.problems.append(f"{self.name} raised {self._main.exception()!r}")

    def delay(self) -> float:
        """How long a call of the database takes."""
        return self.chance.random() * 0.02

    async def pass_by(self, moment: str) -> None:
        """Die where this is the moment."""
        if moment == self._moment:
            self._kill(f"{moment} a write")
        if self.process.dead:
            await asyncio.get_running_loop().create_future()

    def _kill(self, how: str) -> None:
        self.simulation.note("killed", f"{self.name} {how}")
        self.process.kill()

    def note(self, method: str, what: Any) -> None:
        """A write is done."""
        told = ""
        if isinstance(what, NewRun):
            told = what.key
        elif isinstance(what, Append):
            rows = ", ".join(f"{row.seq} {row.kind} {json.loads(row.body).get('id', '')}".strip() for row in what.rows)
            told = f"run {what.run} epoch {what.epoch}: {rows or '-'}{' ' + what.status if what.status else ''}"
            told += " release" if what.release else ""
        else:
            told = str(what)
        self.simulation.note("commit", f"{self.name} {method} {told}")

    async def _live(self) -> None:
        while True:
            simulation = self.simulation
            engine = _SeenEngine(
                self.faulty,
                graphs=simulation.graphs.values(),
                clock=self.clock,
                threads=0,
                resources=simulation._resources(),
            )
            engine.worker = self
            with suppress(StoreError):
                async with engine:
                    self.engine = engine
                    await self._work(engine)
                return

    async def _work(self, engine: Engine) -> None:
        """Take over what nobody drives, until it is to end."""
        work = asyncio.ensure_future(engine.work(poll=1.0 + self.chance.random()))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((work, closing), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work  # it ends by an error only
        finally:
            work.cancel()
            closing.cancel()
            await asyncio.wait((work, closing))

    def watch(self, driven: Driven) -> None:
        """See the calls of a drive."""
        invoker, drive = driven.drive.invoker, driven.drive
        call, simulation = invoker.call, self.simulation

        async def seen(activation: Activation, *more: Any, **named: Any) -> Any:
            simulation.note("call", f"{self.name} {drive.row.key} {activation.id}")
            self._check_call(drive.row.number, drive.scribe.epoch, activation.id)
            value = await call(activation, *more, **named)
            simulation.returned[drive.row.key, activation.id] = value
            return value

        invoker.call = seen  # type: ignore[method-assign]

    def _check_call(self, run: int, epoch: int, identity: str) -> None:
        """The owner knows what is finished; whoever only believes to be the owner may not."""
        database = self.simulation.database
        if self.store.engine is None or not database.owns(self.store.engine, run, epoch):
            return
        log = database.runs[run].log
        if any(row.kind == "NodeFinished" and json.loads(row.body)["id"] == identity for row in log):
            self.simulation.problems.append(f"run {run}: {identity} had finished, and its owner called it again")
