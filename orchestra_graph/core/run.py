"""The state of one run, as the fold of its events: what is live, what is ready, what was counted."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from orchestra_graph.core.events import ErrorInfo
from orchestra_graph.core.marking import Marking, Watcher
from orchestra_graph.core.record import RunStatus
from orchestra_graph.core.revisions import Revision, Revisions, View
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.topology import Discriminator, Stamp

__all__ = [
    "Activation",
    "Fan",
    "Halt",
    "Move",
    "RunState",
    "Status",
    "StepRecord",
    "Tally",
    "Token",
    "Wave",
    "activation_id",
    "scope_prefix",
]

Status: TypeAlias = Literal["queued", "ready", "running", "retrying", "asking", "receiving", "failed"]
"""Of a live activation. ``queued``: its `each` runs as many as it may. ``ready``: may start. ``running``: handed to the
driver. ``retrying``: waits for its next attempt. ``asking``: waits for a person. ``receiving``: waits for a message.
``failed``: for good, unless the run is retried."""


class Fan:
    """One pass over the items of an `each`.

    Attributes:
        edge: The edge into the body.
        view: What the items are read from.
        items: The items, where a function made them; else they are read from *view*.
        limit: How many instances may run at once, or None.
        seq: The log row that made it.
        made: Whether a function made the items.
    """

    __slots__ = ("_live", "_queue", "edge", "items", "limit", "made", "seq", "view")

    def __init__(self, edge: int, view: View, items: Sequence[Any] | None, limit: int | None, seq: int):
        self.edge = edge
        self.view = view
        self.items = items
        self.limit = limit
        self.seq = seq
        self.made = items is not None
        self._live: dict[int, int] = {}
        self._queue: deque[str] = deque()

    def full(self, index: int) -> bool:
        """Whether the instance *index* has to wait for another one to end."""
        return self.limit is not None and index not in self._live and len(self._live) >= self.limit

    def queue(self, identity: str) -> None:
        """Let an activation wait for a place."""
        self._queue.append(identity)

    def waiting(self) -> Iterator[str]:
        """Take out the activations that wait, the first first."""
        while self._queue:
            yield self._queue.popleft()

    def enter(self, index: int) -> None:
        """One live item more in an instance."""
        if self.limit is not None:
            self._live[index] = self._live.get(index, 0) + 1

    def leave(self, index: int) -> bool:
        """One live item less; whether the instance has ended."""
        if self.limit is None:
            return False
        self._live[index] -= 1
        if self._live[index]:
            return False
        del self._live[index]
        return True


Fans: TypeAlias = tuple[tuple[Fan, int], ...]
"""The `each` passes around an item, outermost first, with the index in each."""


class Move(NamedTuple):
    """The run went on with another form of its graph; how rows before are read from then on.

    Attributes:
        seq: The log row that says so.
        fingerprint: Of the form before.
        version: Of that graph.
        fields: What fields of that form are called now, where that is something else; None: their values are left.
        edges: The edges of that form that the new one has, by index.
    """

    seq: int
    fingerprint: str
    version: str
    fields: Mapping[str, str | None]
    edges: Mapping[int, int]


class StepRecord(NamedTuple):
    """A step inside of a node that is done.

    Attributes:
        key: What the node calls it.
        seq: The log row that says so.
        value: What came of it, as plain data.
    """

    key: str
    seq: int
    value: Any


@dataclass(slots=True, eq=False)
class Activation:
    """A node that runs, or is about to.

    Attributes:
        id: Its durable id, such as ``work@1#3``.
        vertex: The node.
        stamp: Its turn and instance.
        discriminator: Which of several paths, where they were not gathered.
        revision: What it sees.
        fans: The `each` passes around it.
        status: See `Status`.
        attempt: The attempt that runs, or comes next.
        since: When it became live.
        started: Of an irreversible node: its start is in the log and its outcome is not.
        error: The last error.
        asked: How many questions it has asked.
        question: The id of the one that is open.
        to: Of a question: whom it is for.
        expires_at: Of a question: after this, no answer is taken.
        retry_at: When the next attempt is due.
        doubt: A person was asked whether an irreversible node happened.
        cause: The error that led here, over an `on_error` edge.
        steps: What is done inside of it, by the place among its steps; kept until it ends, whatever attempt it is.
    """

    id: str
    vertex: int
    stamp: Stamp
    discriminator: Discriminator
    revision: Revision
    fans: Fans
    since: float
    status: Status = "ready"
    attempt: int = 1
    started: bool = False
    error: ErrorInfo | None = None
    asked: int = 0
    question: str | None = None
    to: str | None = None
    expires_at: float | None = None
    retry_at: float | None = None
    doubt: bool = False
    cause: ErrorInfo | None = None
    steps: dict[int, StepRecord] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Token:
    """Waits at a join.

    Attributes:
        edge: Over which it came.
        discriminator: Orders the tokens of one edge.
        revision: What it brings.
        fans: The `each` passes around the join.
        cause: The error that it brings, over an `on_error` edge.
    """

    edge: int
    discriminator: Discriminator
    revision: Revision
    fans: Fans
    cause: ErrorInfo | None = None

    @property
    def inside(self) -> Fans:
        """The `each` passes that count it: a token that waits at the entry of a body has opened no instance yet."""
        return self.fans[:-1] if self.fans and self.fans[-1][0].edge == self.edge else self.fans


class Wave(Watcher):
    """The tokens of one join with one stamp.

    Attributes:
        tokens: What has come.
        fired: It has fired, or lost its race: what comes now is absorbed.
        asked: Of `until`: how many tokens there were when it was asked last.
        excused: Activations that have failed and that it does without; as long as there are any, it is live itself.
        fans: While it is: the `each` passes around it.
    """

    __slots__ = ("asked", "excused", "fans", "fired", "tokens")

    def __init__(self, join: int, stamp: Stamp):
        super().__init__(join, stamp)
        self.tokens: list[Token] = []
        self.fired = False
        self.asked = 0
        self.excused: list[Activation] = []
        self.fans: Fans = ()

    @property
    def vertex(self) -> int:
        """Where it waits."""
        return self.join


@dataclass(slots=True, eq=False)
class Tally:
    """What one limit has counted in one instance of a loop, for as long as anything is in there.

    Attributes:
        began: The run's active seconds when something began in there; None while all of it waits for its place.
        inside: How many live items are in there.
        steps: How many nodes have finished in there.
        over: It has been reached.
    """

    began: float | None = None
    inside: int = 0
    steps: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True)
class Halt:
    """Why nothing new starts.

    Attributes:
        status: What the run becomes when all that runs has ended.
        reason: For people.
        limit: What was limited, for a stop.
        allowed: How much of it was allowed.
        errors: The activations that failed, and how.
        final: No retry mends it.
    """

    status: Literal["failed", "stopped"]
    reason: str
    limit: str = ""
    allowed: float = 0.0
    errors: tuple[tuple[str, ErrorInfo], ...] = ()
    final: bool = False


@dataclass(slots=True, eq=False)
class RunState:
    """Everything that is known of one run.

    Attributes:
        plan: The graph.
        marking: Where the live items are.
        revisions: Makes revisions.
        live: Activations by id.
        waves: Joins that wait, and races that have fired.
        ready: Activations to hand to the driver, in the order in which they became ready.
        lost: Revisions of losing branches.
        keeps: They gave something to reducers, which the end has to see.
        undecided: `until` joins to which something came since they were asked, by id.
        excusing: Joins that do without branches that have failed.
        refused: Activations that a limit on turns stopped.
        tallies: What limits of loops count, by the limit's index and the instance of what it limits.
        closed: Questions that were withdrawn by the last events; whoever folds takes them out.
        moves: When it went on with another form of its graph, the earliest first.
        led_on: Edges of limits that were followed by the last events; the same.
        status: Of the run.
        seq: The number of the next event.
        steps: How many nodes have finished.
        turns: How often a limited node has started, for each instance of an `each` around it.
        steps_before: Of these, how many before the last retry.
        running: How many activations the driver runs.
        retrying: How many wait for their next attempt.
        asking: How many wait for a person.
        receiving: How many wait for a message.
        awaited: The activations that do, by channel, in the order in which they came there.
        failed: How many have failed for good.
        active: Seconds in which the run had something to do other than wait for people, since the last retry.
        last_at: When the last event was.
        halt: Why nothing new starts, or None.
        result: The final revision.
        started_at: When the run began.
        steps_allowed: The limit on steps.
        seconds_allowed: The limit on time.
        turns_allowed: The limit on the turns of loops that have none of their own.
    """

    plan: Plan
    marking: Marking
    revisions: Revisions
    live: dict[str, Activation] = field(default_factory=dict)
    waves: dict[tuple[int, Stamp], Wave] = field(default_factory=dict)
    ready: OrderedDict[str, None] = field(default_factory=OrderedDict)
    lost: list[Revision] = field(default_factory=list)
    keeps: bool = False
    undecided: dict[str, Wave] = field(default_factory=dict)
    excusing: dict[tuple[int, Stamp], Wave] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    tallies: dict[tuple[int, Stamp], Tally] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    led_on: list[int] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    status: RunStatus = "running"
    seq: int = 0
    steps: int = 0
    turns: dict[tuple[int, Stamp], int] = field(default_factory=dict)
    steps_before: int = 0
    running: int = 0
    retrying: int = 0
    asking: int = 0
    receiving: int = 0
    awaited: dict[str, dict[str, None]] = field(default_factory=dict)
    failed: int = 0
    active: float = 0.0
    last_at: float = 0.0
    halt: Halt | None = None
    result: Revision | None = None
    started_at: float = 0.0
    steps_allowed: int | None = None
    seconds_allowed: float | None = None
    turns_allowed: int | None = None

    @staticmethod
    def of(plan: Plan) -> RunState:
        """The state before the first event."""
        reducers = {name: spec.reducer for name, spec in plan.schema.fields.items() if spec.reducer is not None}
        private = [name for call in plan.calls for name in call.private]
        return RunState(plan, Marking(plan.topology), Revisions(reducers, plan.topology.key, private))

    @property
    def heads(self) -> list[Revision]:
        """What the live items see: every activation, and every token that waits at a join."""
        waiting = [token.revision for wave in self.waves.values() for token in wave.tokens]
        return [activation.revision for activation in self.live.values()] + waiting

    @property
    def questions(self) -> list[Activation]:
        """The activations that wait for a person."""
        return [a for a in self.live.values() if a.status == "asking"]

    def name(self, vertex: int) -> str:
        """The name of a node."""
        return self.plan.nodes[vertex].name


def activation_id(name: str, stamp: Stamp, discriminator: Discriminator) -> str:
    """The durable name of an activation: ``node``, ``node@turn``, ``node#item``, ``node@turn#item``, ``node~path``.

    Turns of nested loops are joined by dots; an instance made by a discriminated activation has that in brackets. Two
    activations of one run never have the same id.
    """
    if not stamp and not discriminator:
        return name
    return name + _stamp_text(stamp) + _discriminator_text(discriminator)


def _stamp_text(stamp: Stamp) -> str:
    text, turns = "", False
    for coordinate in stamp:
        if isinstance(coordinate, int):
            text += f".{coordinate}" if turns else f"@{coordinate}"
            turns = True
        elif coordinate[1] < 0:  # a call: the loops around it and in it are told as one
            text += f"({_discriminator_text(coordinate[0])})" if coordinate[0] else ""
        else:
            maker, index = coordinate
            text += f"#{index}" if not maker else f"#{index}({_discriminator_text(maker)})"
            turns = False
    return text


def _discriminator_text(discriminator: Discriminator) -> str:
    text = ""
    for _, maker, number in discriminator:
        inner = f"({_discriminator_text(maker)})" if maker else ""
        text += f"~{number}{inner}"
    return text


def scope_prefix(plan: Plan, vertex: int, stamp: Stamp) -> Stamp:
    """The part of a stamp up to the innermost `each` around a vertex: what its turns are counted in."""
    topology = plan.topology
    depths = [i + 1 for i in range(len(stamp)) if not topology.is_loop(vertex, i)]
    return stamp[: depths[-1]] if depths else ()
