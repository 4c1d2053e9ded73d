"""`Run.explain`: why a run does not go on. Read from the log and the form of the graph; no code is needed.

Rule 1. Every live item of the run is in exactly one reason: it runs, it waits for something, or it waits at a join.
Rule 2. What waits for a join is said with what holds it up, and the way on which that may still come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from orchestra_graph.clock import as_text
from orchestra_graph.core.marking import Item
from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.run import Activation, RunState, Wave, activation_id
from orchestra_graph.errors import StoreError
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.topology import Stamp
from orchestra_graph.runtime.forms import parts_of
from orchestra_graph.runtime.notes import note_of
from orchestra_graph.runtime.outcomes import OpenQuestion, command_line, example_answer
from orchestra_graph.runtime.wellformed import reading
from orchestra_graph.store.base import RunRow, Store

__all__ = [
    "Blocker",
    "Explanation",
    "Failure",
    "JoinWaits",
    "MessageWaits",
    "PersonWaits",
    "Reason",
    "RetryWaits",
    "RoomWaits",
    "Runs",
    "Stop",
    "explain",
]

_FEW = 5  # how many of many alike are named
_MANY = 1000  # runs without an owner that are looked through for one


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """Something live that may still come to a join.

    Attributes:
        id: The activation, or the join at which something waits.
        path: The nodes on the way from there to the join, both included.
        earlier: It is in an earlier turn of a loop around the join: that turn has to end first.
    """

    id: str
    path: tuple[str, ...]
    earlier: bool = False

    def __str__(self) -> str:
        way = " -> ".join(self.path)
        return f"{self.id}, which is in an earlier turn" if self.earlier else f"{self.id}, which may still come: {way}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinWaits:
    """A join waits for a branch that can still come.

    Attributes:
        id: The activation that it will start.
        came: The nodes from which something has come.
        blockers: The first few of what it waits for.
        count: How many there are.
    """

    id: str
    came: tuple[str, ...]
    blockers: tuple[Blocker, ...]
    count: int

    def __str__(self) -> str:
        lines = [f"{self.id} has what came from {_listed(self.came)}, and waits for"]
        lines += [f"  {blocker}" for blocker in self.blockers]
        lines += [f"  and {self.count - len(self.blockers):,} more"] if self.count > len(self.blockers) else []
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonWaits:
    """A question is open.

    Attributes:
        question: The question.
        due: Its time is over: whoever drives the run next will see that.
    """

    question: OpenQuestion
    due: bool = False

    def __str__(self) -> str:
        over = " (too late: its time is over)" if self.due else ""
        return f"{self.question}{over}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageWaits:
    """A node waits for a message from outside.

    Attributes:
        id: The activation.
        channel: Which messages.
        command: The line that sends one.
    """

    id: str
    channel: str
    command: str

    def __str__(self) -> str:
        return f"{self.id} waits for a message on '{self.channel}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryWaits:
    """An attempt failed, and the next one is not due yet.

    Attributes:
        id: The activation.
        attempt: The number of the next attempt.
        at: When it is due, seconds since the epoch.
        error: How the last one failed.
        steps: How many steps inside of it are done, and are not done again.
    """

    id: str
    attempt: int
    at: float
    error: str
    steps: int = 0

    def __str__(self) -> str:
        who = f"{self.id}{_steps_done(self.steps)}"
        return f"{who} is tried again (attempt {self.attempt}) at {as_text(self.at)}: {self.error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomWaits:
    """Elements of an `each` wait until others are through.

    Attributes:
        node: The node that is to be run for each.
        ids: The first few that wait, in order.
        count: How many wait.
        limit: How many may be at work at once.
        working: What is at work, the first few.
    """

    node: str
    ids: tuple[str, ...]
    count: int
    limit: int
    working: tuple[str, ...]

    def __str__(self) -> str:
        many = f"{self.count:,} of '{self.node}' wait" if self.count > 1 else f"{self.ids[0]} waits"
        return f"{many} for room: {self.limit} may be at work at once ({_listed(self.working)} ...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Something may run, or runs.

    Attributes:
        ids: The first few.
        count: How many.
        driven: Whether an engine drives the run at all.
        steps: For each of *ids*, how many steps inside of it are done; empty where there are none.
    """

    ids: tuple[str, ...]
    count: int
    driven: bool
    steps: tuple[int, ...] = ()

    def __str__(self) -> str:
        steps = self.steps or (0,) * len(self.ids)
        told = [identity + _steps_done(done) for identity, done in zip(self.ids, steps, strict=True)]
        listed = _listed(told) if self.count == len(told) else f"{self.count:,} nodes ({_listed(told)} ...)"
        return f"{listed} runs" if self.driven else f"{listed} may run, but nobody drives the run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An activation failed for good.

    Attributes:
        id: The activation.
        error: ``Type: message``.
    """

    id: str
    error: str

    def __str__(self) -> str:
        return f"{self.id} failed: {self.error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The run was brought to a stop by something else than a node.

    Attributes:
        why: What.
    """

    why: str

    def __str__(self) -> str:
        return self.why


Reason: TypeAlias = JoinWaits | PersonWaits | MessageWaits | RetryWaits | RoomWaits | Runs | Failure | Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a run does not go on. Printed, it says what to type next.

    Attributes:
        run: The key of the run.
        graph: The name of its graph.
        status: How it stands.
        driven: Whether an engine has it that is alive, as far as the store can tell.
        reasons: What it waits for, or why it ended; empty for one that is done or was cancelled.
        commands: The lines to type next.
    """

    run: str
    graph: str
    status: RunStatus
    driven: bool
    reasons: tuple[Reason, ...] = ()
    commands: tuple[str, ...] = ()

    def __str__(self) -> str:
        stands = _STANDS[self.status]
        if self.status == "waiting" and any(isinstance(reason, MessageWaits) for reason in self.reasons):
            people = any(isinstance(reason, PersonWaits) for reason in self.reasons)
            stands = "waits for people and messages" if people else "waits for messages"
        lines = [f"{self.run} ({self.graph}) {stands}" + ("" if self.reasons else ".")]
        if self.reasons:
            lines[0] += ":"
        lines += [f"  {line}" for reason in self.reasons for line in str(reason).splitlines()]
        return "\n".join([*lines, *(f"    {command}" for command in self.commands)])


_STANDS: dict[RunStatus, str] = {
    "running": "is on its way",
    "waiting": "waits for people",
    "done": "is done: it waits for nothing",
    "failed": "has failed",
    "cancelled": "was cancelled: it waits for nothing",
    "stopped": "was stopped by a limit",
    "dead": "is dead: each process that drove it died",
}


async def explain(store: Store, row: RunRow, now: float) -> Explanation:
    """Read the log of a run, and say what it waits for."""
    parts = await parts_of(store, row, await store.log(row.number), None)
    run = [part.fold(store.url, row.key) for part in parts][-1]
    plan = run.plan
    asked = [OpenQuestion.of(q, store.url) for q in await store.questions(row.number)]
    driven = row.owner is not None and not await _has_lost_its_owner(store, row, now)
    reasons: tuple[Reason, ...] = ()
    if row.status == "dead":
        reasons = (Stop(why=note_of(row, store.url)["reason"]),)
    elif row.status not in ("done", "cancelled"):
        with reading(store.url, "what its log comes to", row.key):
            reasons = tuple(_Reasons(row.key, plan, run, driven, asked, now))
    commands = () if store.url.startswith("memory:") else _commands(row, run, reasons, driven)
    return Explanation(
        run=row.key, graph=row.graph, status=row.status, driven=driven, reasons=reasons, commands=tuple(commands)
    )


async def _has_lost_its_owner(store: Store, row: RunRow, now: float) -> bool:
    """Whether the engine that drove it is dead: then it is among the runs that anybody may take."""
    if row.status != "running":
        return False
    with suppress(StoreError):  # the file may be read-only
        free = await store.due({row.graph: row.version}, now=now, limit=_MANY)
        return any(other.number == row.number for other in free)
    return False


def _commands(row: RunRow, run: RunState, reasons: Sequence[Reason], driven: bool) -> list[str]:
    if row.status in ("failed", "stopped", "dead"):
        return [] if run.halt is not None and run.halt.final else [command_line("retry", row.key)]
    asked = [r.question.command for r in reasons if isinstance(r, PersonWaits) and not r.due]
    asked += [r.command for r in reasons if isinstance(r, MessageWaits)]
    idle = any(isinstance(r, Runs | RetryWaits) or (isinstance(r, PersonWaits) and r.due) for r in reasons)
    return asked + ([command_line("resume", row.key)] if idle and not driven else [])


class _Reasons:
    """Goes through everything that is live."""

    def __init__(self, key: str, plan: Plan, run: RunState, driven: bool, asked: Sequence[OpenQuestion], now: float):
        self._key = key
        self._plan, self._run, self._driven, self._now = plan, run, driven, now
        self._asked = {question.id: question for question in asked}

    def __iter__(self) -> Iterator[Reason]:
        by_status: dict[str, list[Activation]] = {}
        for activation in self._run.live.values():
            by_status.setdefault(activation.status, []).append(activation)
        yield from self._halted()
        yield from self._people(by_status.get("asking", []))
        yield from self._messages(by_status.get("receiving", []))
        yield from self._retries(by_status.get("retrying", []))
        yield from self._running(by_status.get("ready", []))
        yield from self._room(by_status.get("queued", []), by_status)
        yield from self._joins()

    def _halted(self) -> Iterator[Reason]:
        halt = self._run.halt
        if halt is None:
            return
        for identity, error in halt.errors:
            yield Failure(id=identity, error=str(error))
        if not halt.errors:
            yield Stop(why=halt.reason)

    def _people(self, asking: Sequence[Activation]) -> Iterator[Reason]:
        for activation in asking:
            question = self._asked.get(activation.question or "")
            if question is None:  # answered just now: whoever drives the run will take it
                continue
            due = question.expires_at is not None and question.expires_at <= self._now
            yield PersonWaits(question=question, due=due)

    def _messages(self, receiving: Sequence[Activation]) -> Iterator[Reason]:
        for activation in receiving:
            channel = self._plan.nodes[activation.vertex].channel
            example = example_answer(self._plan.shape.get("channels", {}).get(channel, {}).get("schema") or {})
            command = command_line("send", self._key, channel, example)
            yield MessageWaits(id=activation.id, channel=channel, command=command)

    def _retries(self, retrying: Sequence[Activation]) -> Iterator[Reason]:
        for a in retrying:
            yield RetryWaits(id=a.id, attempt=a.attempt, at=a.retry_at or 0.0, error=str(a.error), steps=len(a.steps))

    def _running(self, ready: Sequence[Activation]) -> Iterator[Reason]:
        answered = [a for a in self._run.questions if a.question not in self._asked]
        found = [*ready, *answered]
        if found and self._run.halt is None:
            few = found[:_FEW]
            steps = tuple(len(a.steps) for a in few) if any(a.steps for a in few) else ()
            yield Runs(ids=tuple(a.id for a in few), count=len(found), driven=self._driven, steps=steps)

    def _room(self, queued: Sequence[Activation], live: dict[str, list[Activation]]) -> Iterator[Reason]:
        passes: dict[int, list[Activation]] = {}
        for activation in queued:
            passes.setdefault(id(activation.fans[-1][0]), []).append(activation)
        for waiting in passes.values():
            fan = waiting[0].fans[-1][0]
            others = [a for status, those in live.items() if status != "queued" for a in those]
            working = [a.id for a in others if any(f is fan for f, _ in a.fans)]
            yield RoomWaits(
                node=self._run.name(waiting[0].vertex),
                ids=tuple(a.id for a in waiting[:_FEW]),
                count=len(waiting),
                limit=fan.limit or 0,
                working=tuple(working[:_FEW]),
            )

    # -- joins --------------------------------------------------------------------------------------

    def _joins(self) -> Iterator[Reason]:
        end = self._plan.topology.end
        for wave in self._run.waves.values():
            if wave.tokens and wave.join != end:  # END waits for everything: that says nothing
                yield self._join(wave)

    def _join(self, wave: Wave) -> JoinWaits:
        topology = self._plan.topology
        ahead = dict.fromkeys(self._run.marking.ahead(wave.join, wave.stamp, this_turn=False))
        blocking = [item for item in ahead if item is not wave]
        came = dict.fromkeys(self._run.name(topology.edges[token.edge][0]) for token in wave.tokens)
        return JoinWaits(
            id=self._id(wave.join, wave.stamp),
            came=tuple(came),
            blockers=tuple(self._blocker(item, wave) for item in blocking[:_FEW]),
            count=len(blocking),
        )

    def _id(self, vertex: int, stamp: Stamp) -> str:
        return activation_id(self._run.name(vertex), stamp, ())

    def _blocker(self, item: Item, wave: Wave) -> Blocker:
        shared = self._plan.topology.innermost(item.vertex, wave.join)
        earlier = item.stamp[:shared] != wave.stamp[:shared]
        path = self._path(item.vertex, wave.join, shared, whole=earlier)
        name = item.id if isinstance(item, Activation) else self._id(item.vertex, item.stamp)
        return Blocker(id=name, path=tuple(self._run.name(v) for v in path), earlier=earlier)

    def _path(self, source: int, target: int, shared: int, *, whole: bool) -> Sequence[int]:
        """The shortest way; within one turn of the loops around both, unless a turn has to end first."""
        topology = self._plan.topology
        heads: Collection[int] = ()
        if not whole:
            heads = {h for r in topology.chain[target][:shared] if (h := topology.regions[r].head) is not None}
        before: dict[int, int | None] = {source: None}
        todo = deque([source])
        while todo:
            here = todo.popleft()
            for there in topology.targets(here):
                if there not in before and (there not in heads or there == target):
                    before[there] = here
                    todo.append(there)
        if target not in before:
            return (source, target)
        path, place = [target], before[target]
        while place is not None:
            path.append(place)
            place = before[place]
        return path[::-1]


def _steps_done(count: int) -> str:
    return f" ({count} {'step' if count == 1 else 'steps'} done)" if count else ""


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
