"""Group commit: everything that was queued while one transaction was on its way goes into the next one.

Rule 1. One transaction is in flight at a time, in the thread of the one writing connection; results come back in the
order of the queue.
Rule 2. There is no task here that could be cancelled. A caller awaits a future of its own, and whether it still does
changes nothing.
Rule 3. A job that fails does not sink the others: the transaction is rolled back, and each of its jobs tried in one
of its own. Jobs that refuse to do anything (see `Ledger`, rule 2) do not even cost that.
Rule 4. What was queued for a run behind a change that failed fails with it: it was made in the belief that the first
one was stored. The log never has a gap.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestra_graph.errors import OrchestraError
from orchestra_graph.store.base import Fenced
from orchestra_graph.store.door import Reply

__all__ = ["Failed", "GroupCommit", "Job", "outcome_of"]


class Job(NamedTuple):
    """One write.

    Attributes:
        do: What is done inside of the transaction.
        what: Its argument.
        sync: Must survive a power loss.
        chain: The run whose log it continues, or None: see rule 4.
        run: The run that it writes to, or None.
        then: Called in the event loop when it is stored, whether somebody waits for it or not; or None.
        future: Who waits for it.
    """

    do: Callable[[Any, Any], Any]
    what: Any
    sync: bool
    chain: int | None
    run: int | None
    then: Callable[[], None] | None
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of a job that was not stored."""

    error: BaseException


class GroupCommit:
    """What waits to be written, and who waits for it. A subclass knows the connection."""

    def __init__(self, committed: Callable[[], None]):
        """Begin with an empty queue.

        Args:
            committed: Called in the event loop after each commit that changed something.
        """
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._queue: list[Job] = []
        self._in_flight = False
        self._flying: Sequence[Job] = ()
        self._held_runs: dict[int, deque[Job | asyncio.Future[Any]]] = {}
        self._held = False
        self._holders = deque[asyncio.Future[None]]()
        self._landed: asyncio.Future[None] | None = None  # made by `finish`
        self._wrote = False  # whether the transaction changed anything; set in the connection's thread

    def submit(
        self,
        do: Callable[[Any, Any], Any],
        what: Any,
        *,
        sync: bool = False,
        chain: int | None = None,
        run: int | None = None,
        then: Callable[[], None] | None = None,
    ) -> asyncio.Future[Any]:
        """Queue a write; the order of the calls is the order of the writes.

        Args:
            do: Called with the connection, inside of a transaction, in the connection's thread; maybe twice (see rule
                3).
            what: Its second argument.
            sync: It must survive a power loss.
            chain: The run whose log it continues.
            run: The run that it writes to, where it continues no log.
            then: Called in the event loop when it is stored.

        Returns:
            Done when it is stored. Cancelling it does not take the write back.
        """
        future = self._loop.create_future()
        job = Job(do, what, sync, chain, chain if run is None else run, then, future)
        if chain is not None and chain in self._held_runs:
            self._held_runs[chain].append(job)
        else:
            self._queue.append(job)
            self._next()
        return future

    def hold_run(self, run: int) -> asyncio.Future[Any]:
        """Keep back what comes from now on for the log of a run, in favour of one who writes to it in another way.

        Others may be stored meanwhile.

        Returns:
            Done when all is done that was queued before; then it is the caller's turn, until `let_go_run`.
        """
        turn = self._loop.create_future()
        if run in self._held_runs:
            self._held_runs[run].append(turn)
        else:
            self._held_runs[run] = deque()
            self._turn_behind(turn, [job.future for job in (*self._flying, *self._queue) if job.chain == run])
        return turn

    def let_go_run(self, run: int, error: BaseException | None = None) -> None:
        """Go on with a run that was held. With *error* what was kept back fails with it: see rule 4."""
        kept, before = self._held_runs.pop(run), list[asyncio.Future[Any]]()
        while kept:
            behind = kept.popleft()
            if error is not None:
                self._tell(behind if isinstance(behind, asyncio.Future) else behind.future, Failed(error))
            elif isinstance(behind, asyncio.Future):
                self._held_runs[run] = kept
                self._turn_behind(behind, before)
                break
            else:
                self._queue.append(behind)
                before.append(behind.future)
        self._next()

    def _turn_behind(self, turn: asyncio.Future[Any], before: Sequence[asyncio.Future[Any]]) -> None:
        left = sum(not future.done() for future in before)

        def done(_: object) -> None:
            nonlocal left
            left -= 1
            if left <= 0 and not turn.done():
                turn.set_result(None)

        for future in before:
            if not future.done():
                future.add_done_callback(done)
        if not left:
            turn.set_result(None)

    async def hold(self) -> None:
        """Have nothing sent off until `let_go`: somebody else writes. Whoever asks first holds first.

        What is queued and those who hold take turns.
        """
        turn = self._loop.create_future()
        self._holders.append(turn)
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had come in that very moment
                self.let_go()
            raise

    def let_go(self) -> None:
        """Go on: first what was queued meanwhile, then the next one who holds."""
        self._held = False
        if self._queue:
            self._fly()
        else:
            self._next()

    def _next(self) -> None:
        while not (self._in_flight or self._held) and self._holders:
            turn = self._holders.popleft()
            if not turn.done():
                self._held = True
                turn.set_result(None)
        if self._queue and not (self._in_flight or self._held):
            self._fly()

    def forget(self) -> None:
        """Lose what is queued; whoever waits for it is cancelled."""
        jobs, self._queue = self._queue, []
        for job in jobs:
            job.future.cancel()

    async def finish(self) -> None:
        """Wait until nothing is queued and nothing in flight. One caller at a time."""
        while self._in_flight:
            self._landed = self._loop.create_future()
            await self._landed

    def _fly(self) -> None:
        jobs, self._queue = self._queue, []
        self._flying = jobs
        self._in_flight = True
        flight = _Flight(self, jobs)
        self._hand_over(flight.carry_out, flight)

    def _land(self, jobs: Sequence[Job], outcomes: Sequence[Any]) -> None:
        """Tell everybody. The next transaction is sent off first, so that the disk never waits for the callers."""
        self._in_flight = False
        self._flying = ()
        wrote, self._wrote = self._wrote, False
        behind = self._take_behind(jobs, outcomes)
        self._next()
        if wrote:
            self._committed()
        for job, outcome in (*zip(jobs, outcomes, strict=True), *behind):
            if job.then is not None and type(outcome) is not Failed:
                job.then()
            self._tell(job.future, outcome)
        if self._landed is not None and not self._landed.done():
            self._landed.set_result(None)

    def _take_behind(self, jobs: Sequence[Job], outcomes: Sequence[Any]) -> list[tuple[Job, Failed]]:
        failed = {
            job.chain: outcome
            for job, outcome in zip(jobs, outcomes, strict=True)
            if job.chain is not None and type(outcome) is Failed
        }
        if not failed:
            return []
        behind = [(job, failed[job.chain]) for job in self._queue if job.chain in failed]
        self._queue = [job for job in self._queue if job.chain not in failed]
        return behind

    def _tell(self, future: asyncio.Future[Any], outcome: Any) -> None:
        if future.done():  # whoever waited was cancelled
            return
        if type(outcome) is not Failed:
            future.set_result(outcome)
            return
        future.set_exception(self._as_ours(outcome.error))
        future.exception()  # a waiter that is cancelled right now shall not leave an error that nobody saw

    # -- for a subclass ------------------------------------------------------------------------------

    def _hand_over(self, work: Callable[[], Any], reply: Reply) -> None:
        """Have *work* done in the connection's thread after all that was handed over before."""
        raise NotImplementedError

    def _transaction(self, jobs: Sequence[Job], failed: dict[int | None, Failed]) -> list[Any]:
        """Do all jobs in one transaction; raises if any of them fails on the database, and nothing is stored then."""
        raise NotImplementedError

    def _is_hopeless(self, error: BaseException) -> bool:
        """Whether the next job would meet the same error, maybe after a long time."""
        raise NotImplementedError

    def _as_ours(self, error: BaseException) -> BaseException:
        """An error of its own for each caller: a shared one would gather all their tracebacks."""
        if isinstance(error, OrchestraError):
            return copy.copy(error)
        return Fenced(*error.args) if isinstance(error, Fenced) else error

    # -- in the connection's thread ------------------------------------------------------------------

    def _carry_out(self, jobs: Sequence[Job]) -> list[Any]:
        try:
            return self._transaction(jobs, {})
        except Exception as error:
            # Waiting for the lock again for each job would take their number times the patience.
            if len(jobs) == 1 or self._is_hopeless(error):
                return [Failed(error)] * len(jobs)
        return self._one_by_one(jobs)

    def _one_by_one(self, jobs: Sequence[Job]) -> list[Any]:
        outcomes: list[Any] = []
        failed: dict[int | None, Failed] = {}
        for at, job in enumerate(jobs):
            try:
                outcomes += self._transaction((job,), failed)
            except Exception as error:
                outcome = Failed(error)
                if self._is_hopeless(error):
                    return outcomes + [outcome] * (len(jobs) - at)
                outcomes.append(outcome)
                if job.chain is not None:
                    failed[job.chain] = outcome
        return outcomes


def outcome_of(database: Any, job: Job, failed: dict[int | None, Failed]) -> Any:
    """Do a job inside of a transaction. What it refuses is its outcome, and that of those behind it."""
    if job.chain in failed:
        return failed[job.chain]
    try:
        return job.do(database, job.what)
    except (OrchestraError, Fenced) as refusal:
        outcome = Failed(refusal)
        if job.chain is not None:
            failed[job.chain] = outcome
        return outcome


class _Flight:
    """One transaction on its way. What the connection's thread takes for the future of its work; see `Reply`."""

    __slots__ = ("_jobs", "_writer")

    def __init__(self, writer: GroupCommit, jobs: Sequence[Job]):
        self._writer = writer
        self._jobs = jobs

    def carry_out(self) -> list[Any]:
        return self._writer._carry_out(self._jobs)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._writer._loop

    def done(self) -> bool:
        return False

    def set_result(self, outcomes: list[Any], /) -> None:
        self._writer._land(self._jobs, outcomes)

    def set_exception(self, error: BaseException, /) -> None:
        self._writer._land(self._jobs, [Failed(error)] * len(self._jobs))
