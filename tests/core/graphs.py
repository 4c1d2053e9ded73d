"""Graphs for the tests of the core: plans without user functions, drawn at random, and what their nodes do.

Rule 1. What a node does depends on nothing but the seed and the id of its activation: so every completion order meets
        the same nodes.
Rule 2. From some turn on every node takes one edge towards the end, so every run ends.
Rule 3. A node always takes at least one edge: the compiler gives every node that might take none an edge to END.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple

from orchestra_graph.core.events import Taken
from orchestra_graph.core.run import RunState, activation_id
from orchestra_graph.graph.edges import Edge, EdgeKind, Group
from orchestra_graph.graph.plan import Call, Cap, Plan, PlanNode, WriteSpec
from orchestra_graph.graph.policies import EACH_ONE, JoinRule, Limits
from orchestra_graph.graph.topology import Discriminator, Scope, Stamp, Topology
from orchestra_graph.runtime.routes import handlers
from orchestra_graph.state.codec import codec_of
from orchestra_graph.state.reducers import add, append, extend, last, reducer
from orchestra_graph.state.schema import Schema, State, later

Split = Literal["and", "xor", "or"]
"""Which of its groups of edges a node follows: all, exactly one, or some."""

END = -1
"""END while a graph is being drafted: its vertex is the last one."""


@reducer
def mixed(acc: int, x: int) -> int:
    """Neither commutes nor associates, so that any other order gives another value."""
    return (acc * 31 + x) % 1_000_003


class Sheet(State):
    """One field of each kind."""

    log: Annotated[list[str], append] = []
    notes: Annotated[list[str], extend] = []
    total: Annotated[int, add] = 0
    newest: Annotated[str, last] = ""
    mix: Annotated[int, mixed] = 1
    draft: str = later()
    title: str = "untitled"


SCHEMA = Schema.of(Sheet)
PLAIN = ("draft", "title")
PRIVATE = ("log", "total", "mix", "draft")
"""Fields of a graph that stands in another one which are its own there."""


def _with_private_fields(calls: Sequence[Inside]) -> Schema:
    names = {f"{call.name}/{name}": SCHEMA.fields[name] for call in calls for name in PRIVATE}
    private = {name: replace(spec, name=name, private=True) for name, spec in names.items()}
    return Schema(Sheet, {**SCHEMA.fields, **private})


class Trouble(Exception):
    """What nodes fail with."""


class Big(Trouble):
    """One kind of it."""


class Small(Trouble):
    """Another one."""


TROUBLES: Mapping[str, type[Trouble]] = {kind.__name__: kind for kind in (Big, Small)}
"""What nodes fail with, by name; an edge may also take both."""

DEFAULTS: Mapping[str, Any] = {"log": ["-"], "notes": [], "total": 0, "newest": "", "mix": 1, "title": "untitled"}


class Work(NamedTuple):
    """What one activation does; *replaced* are the written fields that are set anew.

    With *failed* it fails for good instead, with *error*: over the error edges *taken* (its own, or those of a graph
    that it is in), or in so many rounds as there are.
    """

    writes: Mapping[str, Any]
    taken: tuple[Taken, ...]
    replaced: tuple[str, ...] = ()
    failed: int = 0
    error: type[Trouble] = Trouble


@dataclass(slots=True)
class Arc:
    """An edge of a draft."""

    source: int
    target: int
    kind: EdgeKind = "always"
    group: int = 0
    errors: tuple[type[Trouble], ...] = ()


@dataclass(slots=True, eq=False)
class Inside:
    """A call of a draft: the graph that stands at *enter*, whose last vertex is *leave*."""

    name: str
    enter: int
    leave: int
    members: frozenset[int]


BoundKind = Literal["turns", "steps", "seconds"]


@dataclass(slots=True, eq=False)
class Bound:
    """A limit of a draft: of the loop around *vertex* or of that vertex; of a call or (0) of all, with *whole*."""

    kind: BoundKind
    allowed: float
    vertex: int
    way: Arc | None
    whole: bool = False


@dataclass(slots=True, eq=False)
class Fork:
    """An `each` of a draft."""

    into: Arc
    empty: Arc | None
    members: frozenset[int]
    collector: int
    limit: int | None = None


@dataclass(slots=True)
class Draft:
    """A graph while it is being drawn: `vertex`, `arc` and `each` add to it, `plan` freezes it."""

    count: int = 1
    arcs: list[Arc] = field(default_factory=list)
    forks: list[Fork] = field(default_factory=list)
    rules: dict[int, JoinRule] = field(default_factory=dict)
    splits: dict[int, Split] = field(default_factory=dict)
    writers: dict[int, WriteSpec] = field(default_factory=dict)
    readers: dict[int, tuple[str, ...]] = field(default_factory=dict)
    turns: dict[int, int] = field(default_factory=dict)
    unlimited_heads: set[int] = field(default_factory=set)
    names: dict[int, str] = field(default_factory=dict)
    calls: list[Inside] = field(default_factory=list)
    races: list[tuple[int, ...]] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    apart: set[int] = field(default_factory=set)
    ends: dict[int, Literal["done", "failed"]] = field(default_factory=dict)

    def vertex(self, split: Split = "and") -> int:
        """A new vertex."""
        self.splits[self.count] = split
        self.count += 1
        return self.count - 1

    def arc(self, source: int, target: int, kind: EdgeKind = "always", group: int = 0) -> Arc:
        """A new edge; into and out of `each` bodies, too."""
        made = Arc(source, target, kind, group)
        self.arcs.append(made)
        return made

    def each(
        self,
        source: int,
        body: Sequence[int],
        collector: int,
        *,
        empty: int | None = None,
        limit: int | None = None,
    ) -> Fork:
        """Run *body*, of which the first is the entry, for every item; the caller draws its edges to the collector."""
        into = self.arc(source, body[0], "each")
        gone = None if empty is None else self.arc(source, empty, "empty")
        made = Fork(into, gone, frozenset(body), collector, limit)
        self.forks.append(made)
        return made

    def close(self) -> None:
        """Give every node that might take no edge a way to END."""
        for vertex in range(1, self.count):
            leaving = [a for a in self.arcs if a.source == vertex]
            plain = [a for a in leaving if a.kind == "always"]
            sure = [f for f in self.forks if f.into.source == vertex and f.empty is not None]
            if not plain and not sure:
                self.arc(vertex, self.home(vertex), "drop")

    def home(self, vertex: int) -> int:
        """Where a branch ends: at END, or at the last vertex of the call around it."""
        around = [c for c in self.calls if vertex in c.members and vertex != c.leave]
        return min(around, key=lambda c: len(c.members)).leave if around else END

    def bodies(self, vertex: int) -> frozenset[int]:
        """The bodies of `each` and the insides of calls around a vertex, as numbers."""
        forks = {i for i, f in enumerate(self.forks) if vertex in f.members}
        return frozenset(forks | {-1 - i for i, c in enumerate(self.calls) if vertex in c.members})

    def join_in(self, vertex: int, beside: int) -> None:
        """Put a new vertex into all bodies around another one."""
        for fork in self.forks:
            fork.members |= {vertex} if beside in fork.members else set()
        for call in self.calls:
            call.members |= {vertex} if beside in call.members else set()

    def plan(self, name: str = "random") -> Plan:
        """The frozen plan."""
        end = self.count

        def at(vertex: int) -> int:
            return end if vertex == END else vertex

        pairs = [(a.source, at(a.target)) for a in self.arcs]
        index = {id(a): i for i, a in enumerate(self.arcs)}
        scopes = [Scope(index[id(f.into)], f.members, at(f.collector)) for f in self.forks]
        for call in self.calls:
            first = next(i for i, a in enumerate(self.arcs) if a.source == call.enter and a.target in call.members)
            scopes.append(Scope(first, call.members, call.leave, call=True))
        rules = {v: r for v, r in self.rules.items() if v != END}
        nodes = [self._node(v, index) for v in range(end)]
        nodes.append(PlanNode(index=end, name="END", kind="end"))
        raced = frozenset(v for race in self.races for v in race)
        topology = Topology(end + 1, pairs, rules, scopes, raced)
        schema = SCHEMA if not self.calls else _with_private_fields(self.calls)
        return Plan(
            name=name,
            version="1",
            schema=schema,
            codec=codec_of(schema),
            nodes=tuple(nodes),
            edges=tuple(Edge(source=a.source, target=at(a.target), kind=a.kind, errors=a.errors) for a in self.arcs),
            topology=topology,
            limits=Limits(),
            shape={},
            fingerprint="",
            calls=tuple(self._call(c) for c in self.calls),
            races=tuple(self.races),
            caps=tuple(self._cap(b, topology, index) for b in self.bounds),
        )

    def _call(self, call: Inside) -> Call:
        private = tuple(f"{call.name}/{name}" for name in PRIVATE)
        return Call(
            name=call.name,
            state=Sheet,
            names={name: f"{call.name}/{name}" if name in PRIVATE else name for name in SCHEMA.fields},
            private=private,
            enter=call.enter,
            leave=call.leave,
            members=call.members,
        )

    def _cap(self, bound: Bound, topology: Topology, index: Mapping[int, int]) -> Cap:
        vertex, chain = bound.vertex, topology.chain[bound.vertex]
        members, depth = frozenset({vertex}), len(chain)
        if bound.whole:
            call = next((c for c in self.calls if c.enter == vertex), None)
            members = frozenset(range(1, topology.size - 1)) if call is None else call.members - {call.leave}
            depth += call is not None
        elif chain and topology.is_loop(vertex, len(chain) - 1):
            members, depth = topology.regions[chain[-1]].members, len(chain) - 1
        members = members.union(*(c.members for c in self.calls if c.enter in members))
        edge = None if bound.way is None else index[id(bound.way)]
        return Cap(kind=bound.kind, allowed=bound.allowed, vertex=vertex, edge=edge, members=members, depth=depth)

    def _node(self, vertex: int, index: Mapping[int, int]) -> PlanNode:
        def indices(kind: EdgeKind) -> tuple[int, ...]:
            return tuple(index[id(a)] for a in self.arcs if a.source == vertex and a.kind == kind)

        groups = [Group(kind="edges", edges=indices("always"))] if indices("always") else []
        for fork in self.forks:
            if fork.into.source == vertex:
                both = [fork.into, *([fork.empty] if fork.empty else [])]
                groups.append(Group(kind="each", edges=tuple(index[id(a)] for a in both), limit=fork.limit))
        if indices("drop"):
            groups.append(Group(kind="drop", edges=indices("drop")))
        turns = [int(b.allowed) for b in self.bounds if (b.kind, b.vertex) == ("turns", vertex)]
        errors = [a for a in self.arcs if a.source == vertex and a.kind == "error"]
        for number in dict.fromkeys(a.group for a in errors):
            groups.append(Group(kind="error", edges=tuple(index[id(a)] for a in errors if a.group == number)))
        if indices("limit"):
            groups.append(Group(kind="limit", edges=indices("limit")))
        around = [(len(c.members), i) for i, c in enumerate(self.calls) if vertex in c.members]
        kinds: dict[int, Literal["enter", "leave"]] = {c.leave: "leave" for c in self.calls}
        kinds.update({c.enter: "enter" for c in self.calls})
        return PlanNode(
            index=vertex,
            name=self.names.get(vertex, f"n{vertex}") if vertex else "START",
            kind=kinds.get(vertex, "work") if vertex else "start",
            call=min(around)[1] if around else None,
            terminates=self.ends.get(vertex),
            groups=tuple(groups),
            writes=self.writers.get(vertex, WriteSpec(fields={}, sure=True, single=False)),
            reads=self.readers.get(vertex, ()),
            turns=next(iter(turns), self.turns.get(vertex)),
            counts_turns=vertex in self.unlimited_heads,
        )


@dataclass(slots=True, eq=False)
class Case:
    """A plan, and what its nodes do.

    Attributes:
        name: Says how to make it again.
        plan: The graph.
        splits: Which edges a node follows.
        values: What the run starts with.
        limits: Those of the run.
        bound: From this turn on (of all loops around a node together) a node takes one edge towards the end.
        script: What some activations do, instead of what chance says.
        unlucky: How many activations fail for good, whether an edge takes it or not, 0 to 1.
        replaces: How many writes to a grown field set it anew.
    """

    name: str
    plan: Plan
    splits: Mapping[int, Split]
    values: Mapping[str, Any] = field(default_factory=lambda: DEFAULTS)
    limits: Mapping[str, Any] = field(default_factory=dict)
    bound: int = 2
    script: Mapping[str, Work] = field(default_factory=dict)
    unlucky: float = 0.0
    replaces: float = 0.0
    _way_out: list[list[int]] = field(init=False)
    _done: dict[str, Work] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._way_out = _ways_out(self.plan)

    def work(self, vertex: int, stamp: Stamp, discriminator: Discriminator) -> Work:
        """What the activation does; always the same."""
        identity = activation_id(self.plan.nodes[vertex].name, stamp, discriminator)
        done = self._done.get(identity)
        if done is None:
            done = self._done[identity] = self.script.get(identity) or self._decide(identity, vertex, stamp)
        return done

    def spare(self, vertex: int, stamp: Stamp, discriminator: Discriminator) -> Work:
        """Let an activation go well that would have failed: what came of that would depend on time."""
        identity = activation_id(self.plan.nodes[vertex].name, stamp, discriminator)
        self._done[identity] = self._decide(identity, vertex, stamp, spared=True)
        return self._done[identity]

    def new_run(self) -> RunState:
        """The state before the first event."""
        return RunState.of(self.plan)

    def _decide(self, identity: str, vertex: int, stamp: Stamp, *, spared: bool = False) -> Work:
        chance = random.Random(f"{self.name}/{identity}")
        late = sum(c for c in stamp if isinstance(c, int)) >= self.bound
        node = self.plan.nodes[vertex]
        taken = self._leave(chance, vertex) if late else self._follow(chance, vertex)
        failure = None if spared or not (self.unlucky or self.replaces) else self._fail(identity, vertex, late)
        if failure is not None and failure.taken:
            return failure
        if node.kind == "enter":
            taken = [Taken(e) for e in node.groups[0].edges]
            call = next(c for c in self.plan.calls if c.enter == vertex)
            given = _inputs(chance, identity, call)
            return Work(given, tuple(taken), tuple(name for name in given if not name.endswith("draft")))
        writes = _writes(chance, identity, node.writes)
        for call in self.plan.calls if node.kind != "leave" else ():
            if vertex in call.members:
                writes.update(_private_writes(chance, identity, call))
        if not self.unlucky and not self.replaces:
            return Work(writes, tuple(taken))
        replaced = tuple(n for n in writes if n.endswith("log") and chance.random() < self.replaces)
        if failure is not None and node.kind == "work":
            return failure._replace(writes=writes, taken=tuple(taken))
        return Work(writes, tuple(taken), replaced)

    def _fail(self, identity: str, vertex: int, late: bool) -> Work | None:
        """A failure; from some turn on none that an edge takes, for it may lead back."""
        chance = random.Random(f"{self.name}/{identity}/fails")
        error = chance.choice(list(TROUBLES.values()))
        taken = handlers(self.plan, vertex, error())
        own = any(self.plan.edges[edge].source == vertex for edge, _ in taken)
        if taken and not late:
            return Work({}, taken, failed=1, error=error) if chance.random() < (0.4 if own else 0.15) else None
        if taken or chance.random() >= self.unlucky:
            return None
        return Work({}, (), failed=chance.choice((1, 1, 2)), error=error)

    def _leave(self, chance: random.Random, vertex: int) -> list[Taken]:
        edge = chance.choice(self._way_out[vertex])
        return [Taken(edge, 1 if self.plan.edges[edge].kind == "each" else None)]

    def _follow(self, chance: random.Random, vertex: int) -> list[Taken]:
        choices: list[Callable[[], list[Taken]]] = []
        for group in self.plan.nodes[vertex].groups:
            if group.kind == "edges":
                choices += [lambda e=edge: [Taken(e)] for edge in group.edges]  # type: ignore[misc]
            elif group.kind == "each":
                choices.append(lambda g=group: _items(chance, g))  # type: ignore[misc]
        split = self.splits[vertex]
        if split == "xor":
            chosen = [chance.choice(choices)] if choices else []
        elif split == "or":
            chosen = [c for c in choices if chance.random() < 0.6] or ([chance.choice(choices)] if choices else [])
        else:
            chosen = choices
        return [t for c in chosen for t in c()] or self._leave(chance, vertex)


def _items(chance: random.Random, group: Group) -> list[Taken]:
    times = chance.choice((0, 1, 2, 2, 3))
    if times:
        return [Taken(group.edges[0], times)]
    return [Taken(group.edges[1])] if len(group.edges) > 1 else []


def _writes(chance: random.Random, identity: str, spec: WriteSpec) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if chance.random() < 0.6:
        made["log"] = [identity]
    if chance.random() < 0.3:
        made["notes"] = [f"{identity}/{i}" for i in range(chance.randrange(3))]
    if chance.random() < 0.3:
        made["total"] = chance.randrange(1, 100)
    if chance.random() < 0.3:
        made["newest"] = identity
    if chance.random() < 0.4:
        made["mix"] = chance.randrange(1000)
    made.update({name: f"{name} by {identity}" for name in spec.fields if spec.sure or chance.random() < 0.7})
    return made


def _inputs(chance: random.Random, identity: str, call: Call) -> dict[str, Any]:
    """What the fields of a call begin with; one is left to a node inside, now and then."""
    given: dict[str, Any] = {"log": [f"into {identity}"], "total": 10, "mix": 7}
    if chance.random() < 0.7:
        given["draft"] = f"given by {identity}"
    return {call.names[name]: value for name, value in given.items()}


def _private_writes(chance: random.Random, identity: str, call: Call) -> dict[str, Any]:
    made: dict[str, Any] = {"log": [f"in {identity}"], "total": chance.randrange(1, 100), "mix": chance.randrange(1000)}
    return {call.names[name]: value for name, value in made.items() if chance.random() < 0.4}


def _ways_out(plan: Plan) -> list[list[int]]:
    """For each vertex the edges on a shortest way to END; over none that only a failure or a limit takes."""
    topology = plan.topology
    usual = [edge.kind not in ("error", "limit") for edge in plan.edges]
    far = {topology.end: 0}
    todo = deque([topology.end])
    while todo:
        here = todo.popleft()
        for edge in topology.into[here]:
            source = topology.edges[edge][0]
            if source not in far and usual[edge]:
                far[source] = far[here] + 1
                todo.append(source)
    return [
        [e for e in topology.out[v] if usual[e] and far[topology.edges[e][1]] < far[v]] if v in far else []
        for v in range(topology.size)
    ]


# -- drawn at random -----------------------------------------------------------------------------------


Kind = Literal["structured", "wild"]


def random_case(seed: int, *, races: bool = False, kind: Kind | None = None) -> Case:
    """The graph of a seed: two of five are wild, the others nested blocks.

    Args:
        seed: The same seed gives the same graph.
        races: Some joins fire early (`first`), so that the outcome depends on the order.
        kind: How it is drawn, if not by the seed.
    """
    chance = random.Random(f"{seed}/{races}")
    if kind is None:
        kind = "wild" if seed % 5 < 2 else "structured"
    draft = Draft()
    (_Wild if kind == "wild" else _Structured)(chance, draft, races).draw()
    draft.close()
    if kind == "wild":
        chance.shuffle(draft.arcs)
    _choose_writers(chance, draft)
    plan = draft.plan(f"{kind} {seed}")
    missing = chance.sample(sorted(DEFAULTS), chance.choice((0, 0, 1, 3)))
    values = {name: value for name, value in DEFAULTS.items() if name not in missing}
    return Case(f"{kind} {seed}", plan, draft.splits, values, bound=chance.choice((1, 2, 2, 3)))


def _choose_writers(chance: random.Random, draft: Draft) -> None:
    """Let a few nodes write fields without a reducer; a join that always writes one, unread, settles a conflict."""
    if chance.random() < 0.55 or draft.count < 3:
        return
    names = chance.choice((PLAIN, PLAIN[:1]))
    for vertex in chance.sample(range(1, draft.count), min(chance.choice((1, 1, 2, 3)), draft.count - 1)):
        name = chance.choice(names)
        draft.writers[vertex] = WriteSpec(fields={name: str}, sure=chance.random() < 0.7, single=False)
        if chance.random() < 0.3:
            draft.readers[vertex] = (name,)
    for vertex in range(1, draft.count):
        if sum(a.target == vertex for a in draft.arcs) > 1 and chance.random() < 0.2:
            draft.writers[vertex] = WriteSpec(fields=dict.fromkeys(names, str), sure=True, single=False)
            draft.readers.pop(vertex, None)


def _join_rule(chance: random.Random, races: bool, *, sure: bool = False) -> JoinRule | None:
    """A join rule, mostly the default.

    Args:
        chance: Decides.
        races: Also ``first``.
        sure: Every in-edge delivers, so that ``all_of`` cannot starve.
    """
    if races and chance.random() < 0.5:
        return JoinRule(
            kind="first",
            count=chance.choice((1, 1, 2, 3)),
            cancel_rest=chance.random() < 0.6,
            short="fire" if chance.random() < 0.8 else "error",
        )
    roll = chance.random()
    if roll < 0.7:
        return None
    if roll < 0.8:
        return EACH_ONE
    if roll < 0.87:
        return JoinRule(kind="zipped")
    if roll < 0.94:
        return JoinRule(kind="batches", count=chance.choice((1, 2, 3)))
    return JoinRule(kind="all_of") if sure else None


class _Block(NamedTuple):
    """A part of a structured graph, entered at *first* and left from *last*; *sure*: each token comes out as one."""

    first: int
    last: int
    sure: bool


class _Structured:
    """Nested blocks: lines, parallel and exclusive branches of unequal length, loops, `each`."""

    def __init__(self, chance: random.Random, draft: Draft, races: bool):
        self.chance, self.draft, self.races = chance, draft, races
        self.left = chance.choice((6, 10, 15, 22))

    def draw(self) -> None:
        chance, draft = self.chance, self.draft
        for _ in range(chance.choice((1, 1, 1, 2))):
            block = self.line(0)
            draft.arc(0, block.first)
            draft.arc(block.last, END)

    def block(self, depth: int) -> _Block:
        """One more block."""
        self.left -= 1
        if depth >= 4 or self.left <= 0:
            return self.task(depth)
        nested = [self.line, self.branches, self.branches, self.loop, self.each, self.each_back]
        return self.chance.choice([self.task, *nested, self.branches, self.loop])(depth + 1)

    def task(self, depth: int) -> _Block:
        only = self.draft.vertex()
        return _Block(only, only, True)

    def line(self, depth: int) -> _Block:
        blocks = [self.block(depth) for _ in range(self.chance.choice((2, 2, 3)))]
        for one, two in pairwise(blocks):
            self.draft.arc(one.last, two.first)
        return _Block(blocks[0].first, blocks[-1].last, all(b.sure for b in blocks))

    def branches(self, depth: int) -> _Block:
        chance, draft = self.chance, self.draft
        split = chance.choice(("and", "and", "xor", "or"))
        fork, join = draft.vertex(split), draft.vertex()  # type: ignore[arg-type]
        sure = True
        for _ in range(chance.choice((2, 2, 3))):
            if chance.random() < 0.15:
                draft.arc(fork, join)
                continue
            branch = self.block(depth)
            draft.arc(fork, branch.first)
            if chance.random() < 0.12:  # this branch ends by itself
                draft.arc(branch.last, END)
                sure = False
            else:
                draft.arc(branch.last, join)
            sure = sure and branch.sure
        if not any(a.target == join for a in draft.arcs):
            draft.arc(fork, join)
        every = split == "and" and sure
        rule = _join_rule(chance, self.races, sure=every)
        if rule is not None:
            draft.rules[join] = rule
            sure = rule.kind == "all_of"
        return _Block(fork, join, sure and (split == "and" or rule is None))

    def loop(self, depth: int) -> _Block:
        chance, draft = self.chance, self.draft
        again: Split = "or" if chance.random() < 0.15 else "xor"
        after = draft.vertex()
        first_inside = draft.count
        if chance.random() < 0.5:  # asked before the body
            ask = draft.vertex(again)
            body = self.block(depth)
            draft.arc(ask, body.first)
            draft.arc(ask, after)
            draft.arc(body.last, ask)
            if chance.random() < 0.15:
                draft.rules[ask] = JoinRule(kind="all_of")
            first = ask
        else:  # asked behind it
            body = self.block(depth)
            ask = draft.vertex(again)
            draft.arc(body.last, ask)
            ways = [body.first, after]
            chance.shuffle(ways)
            for way in ways:
                draft.arc(ask, way)
            first = body.first
        if chance.random() < 0.2:  # a way out of the middle
            free = [v for v in range(first_inside, draft.count) if not any(v in f.members for f in draft.forks)]
            source = chance.choice(free)
            draft.splits[source] = chance.choice(("xor", "or"))
            draft.arc(source, after)
        if self.races and chance.random() < 0.2:
            rule = _join_rule(chance, True)
            if rule is not None:
                draft.rules[first] = rule
        return _Block(first, after, False)

    def _body(self, depth: int) -> tuple[_Block, list[int]]:
        before = self.draft.count
        block = self.block(depth)
        rest = [v for v in range(before, self.draft.count) if v != block.first]
        return block, [block.first, *rest]

    def each(self, depth: int) -> _Block:
        chance, draft = self.chance, self.draft
        source = draft.vertex(chance.choice(("and", "and", "or")))
        body, members = self._body(depth)
        collector = draft.vertex()
        draft.arc(body.last, collector)
        limit, empty = chance.choice((None, None, 1, 2)), chance.choice((collector, collector, None))
        draft.each(source, members, collector, empty=empty, limit=limit)
        if chance.random() < 0.2:
            draft.arc(source, collector)
        rule = _join_rule(chance, self.races)
        if rule is not None:
            draft.rules[collector] = rule
        return _Block(source, collector, False)

    def each_back(self, depth: int) -> _Block:
        """The collector is the source: an agent and its tools."""
        chance, draft = self.chance, self.draft
        source = draft.vertex(chance.choice(("xor", "or")))
        after = draft.vertex()
        body, members = self._body(depth)
        draft.arc(body.last, source)
        draft.each(source, members, source, empty=chance.choice((None, after, source)), limit=chance.choice((None, 1)))
        draft.arc(source, after)
        return _Block(source, after, False)


class _Wild:
    """Any directed graph: irreducible loops, loops on one node, several starts, edges side by side, loops in bodies."""

    def __init__(self, chance: random.Random, draft: Draft, races: bool):
        self.chance, self.draft, self.races = chance, draft, races

    def draw(self) -> None:
        chance, draft = self.chance, self.draft
        part = self.part(chance.randrange(2, 9), [END], 0)
        draft.arc(0, part[0])
        for vertex in chance.sample(part, min(len(part), chance.choice((0, 0, 1, 2)))):
            draft.arc(0, vertex)
        self.choose(range(1, draft.count))

    def choose(self, vertices: Iterable[int]) -> None:
        """How each joins and what it follows."""
        chance, draft = self.chance, self.draft
        for vertex in vertices:
            draft.splits[vertex] = chance.choice(("and", "xor", "xor", "or", "or"))
            rule = _join_rule(chance, self.races)
            if rule is not None and sum(a.target == vertex for a in draft.arcs) > 1:
                draft.rules[vertex] = rule

    def part(self, size: int, ends: Sequence[int], depth: int) -> list[int]:
        """*size* vertices, entered at the first, each with a way to one of *ends*; without those of bodies inside."""
        chance, draft = self.chance, self.draft
        part = [draft.vertex() for _ in range(size)]
        for i, vertex in enumerate(part):
            if i:
                draft.arc(chance.choice(part[:i]), vertex)
            draft.arc(vertex, chance.choice([*part[i + 1 :], *ends]))
        for _ in range(chance.randrange(0, size + 2)):
            draft.arc(chance.choice(part), chance.choice([*part, *ends] if chance.random() < 0.9 else part))
        while depth < 2 and chance.random() < 0.35:
            self.each(part, depth)
        return part

    def each(self, part: Sequence[int], depth: int) -> None:
        chance, draft = self.chance, self.draft
        source = chance.choice(part)
        collector = chance.choice([*part, *part, END])
        before = draft.count
        body = self.part(chance.randrange(1, 4), [collector, END] if chance.random() < 0.2 else [collector], depth + 1)
        members = [body[0], *(v for v in range(before, draft.count) if v != body[0])]
        empty = chance.choice((None, collector, chance.choice(part)))
        draft.each(source, members, collector, empty=empty, limit=chance.choice((None, None, 1, 2)))


# -- dressed up ----------------------------------------------------------------------------------------


def rich_case(seed: int, *, timed: bool) -> Case:
    """The graph of a seed with what stands around nodes: graphs in it, error edges, fields set anew.

    Args:
        seed: The same seed gives the same graph.
        timed: Also what depends on time: joins that fire early, races, limits, ends, failures that stop the run.
    """
    chance = random.Random(f"rich {seed}/{timed}")
    kind: Kind = "wild" if seed % 5 < 2 else "structured"
    draft = Draft()
    (_Wild if kind == "wild" else _Structured)(chance, draft, timed).draw()
    for _ in range(chance.choice((0, 1, 1, 2))):
        _put_in_a_graph(chance, draft, timed)
    if timed:
        _ask_joins(chance, draft)
        _put_in_ends(chance, draft)
    _put_in_error_edges(chance, draft)
    draft.close()
    if kind == "wild":
        chance.shuffle(draft.arcs)
    _choose_rules_behind_calls(chance, draft, timed)
    if timed:
        _put_in_bounds(chance, draft)
        _put_in_races(chance, draft)
        draft.unlimited_heads = _heads(draft)
    _choose_writers(chance, draft)
    for call in draft.calls:  # what goes in writes the fields of the call, and nothing else
        draft.writers.pop(call.enter, None)
    _choose_private_writers(chance, draft)
    name = f"rich {kind} {seed}{' timed' if timed else ''}"
    unlucky = chance.choice((0.0, 0.05, 0.15)) if timed else 0.0
    limits = {"steps": chance.choice((3, 8, 20)), "turns": chance.choice((1, 2, 3))}
    limits = {kind: allowed for kind, allowed in limits.items() if timed and chance.random() < 0.2}
    bound = chance.choice((1, 2, 2, 3))
    return Case(name, draft.plan(name), draft.splits, limits=limits, bound=bound, unlucky=unlucky, replaces=0.1)


def _heads(draft: Draft) -> set[int]:
    """The heads of loops about which no limit on turns says anything."""
    topology = draft.plan().topology
    heads = {region.head for region in topology.regions if region.head is not None}
    return heads - {bound.vertex for bound in draft.bounds if bound.kind == "turns"}


def _choose_rules_behind_calls(chance: random.Random, draft: Draft, timed: bool) -> None:
    """What comes out of a graph, one way or another, meets in some way."""
    leaves = {c.leave for c in draft.calls}
    for vertex in sorted({a.target for a in draft.arcs if a.source in leaves} - leaves - {END}):
        rule = _join_rule(chance, timed)
        if rule is not None and vertex not in draft.rules and sum(a.target == vertex for a in draft.arcs) > 1:
            draft.rules[vertex] = rule


def _put_in_a_graph(chance: random.Random, draft: Draft, timed: bool) -> None:
    """Let one of the nodes be a graph: what left it now leaves the last vertex of its inside."""
    special = {v for c in draft.calls for v in (c.enter, c.leave)}
    free = [v for v in range(1, draft.count) if v not in special]
    if not free:
        return
    enter = chance.choice(free)
    arcs, count = len(draft.arcs), draft.count
    for arc in draft.arcs:
        if arc.source == enter:
            arc.source = -2
    leave = draft.vertex(draft.splits[enter])
    for arc in draft.arcs:
        if arc.source == -2:
            arc.source = leave
    draft.splits[enter] = "and"
    drawer = _Structured(chance, draft, timed)
    drawer.left = chance.choice((2, 4, 7))
    if chance.random() < 0.4:
        wild = _Wild(chance, draft, timed)
        part = wild.part(chance.randrange(1, 4), [END], 1)
        for vertex in [part[0], *chance.sample(part, chance.choice((0, 0, 1)))]:
            draft.arc(enter, vertex)
        wild.choose(range(count + 1, draft.count))
    else:
        for _ in range(chance.choice((1, 1, 2))):
            block = drawer.line(2)
            draft.arc(enter, block.first)
            draft.arc(block.last, END)
    for arc in draft.arcs[arcs:]:
        if arc.target == END:
            arc.target = leave
    inside = range(count, draft.count)
    for fork in draft.forks:
        if fork.collector == END and fork.members <= set(inside):
            fork.collector = leave
        elif enter in fork.members:
            fork.members |= set(inside)
    for call in draft.calls:
        if enter in call.members:
            call.members |= set(inside)
    draft.calls.append(Inside(f"c{len(draft.calls)}", enter, leave, frozenset(inside)))


def _ask_joins(chance: random.Random, draft: Draft) -> None:
    """Some of the joins that fire early ask a predicate."""
    for vertex, rule in draft.rules.items():
        if rule.kind == "first" and chance.random() < 0.4:
            draft.rules[vertex] = JoinRule(kind="until", cancel_rest=rule.cancel_rest, predicate="log")


def _works(draft: Draft) -> list[int]:
    """The vertices that are nodes of a user."""
    special = {v for c in draft.calls for v in (c.enter, c.leave)}
    return [v for v in range(1, draft.count) if v not in special and v not in draft.ends]


def _beside(chance: random.Random, draft: Draft, vertex: int) -> int:
    """Where a further edge of a vertex may lead: to another one in the same bodies, or to the end."""
    leaves = {c.leave for c in draft.calls}
    bodies = draft.bodies(vertex)
    apart = leaves | draft.apart
    free = [v for v in range(1, draft.count) if v not in apart and draft.bodies(v) == bodies]
    return chance.choice([*free, draft.home(vertex)])


def _put_in_ends(chance: random.Random, draft: Draft) -> None:
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        before = chance.choice(_works(draft))
        end = draft.vertex()
        draft.join_in(end, before)
        if draft.splits[before] == "and":
            draft.splits[before] = "or"
        draft.arc(before, end)
        draft.ends[end] = "failed" if draft.home(end) == END and chance.random() < 0.2 else "done"


def _put_in_error_edges(chance: random.Random, draft: Draft) -> None:
    works = _works(draft)
    for vertex in chance.sample(works, min(len(works), chance.choice((0, 1, 2, 3)))):
        for group in range(chance.choice((1, 1, 2))):
            _put_in_errors(chance, draft, vertex, vertex, group)
    for call in draft.calls:
        for group in range(chance.choice((0, 1, 1, 2))):
            _put_in_errors(chance, draft, call.leave, call.enter, group)


def _put_in_errors(chance: random.Random, draft: Draft, source: int, beside: int, group: int) -> None:
    """One declaration: of a node, or of the graph that stands at *beside* and is left at *source*."""
    errors = chance.choice(((Trouble,), (Trouble,), (Big, Small), (Big,), (Small,)))
    for _ in range(chance.choice((1, 1, 2))):
        draft.arc(source, _beside(chance, draft, beside), "error", group).errors = errors


def _put_in_races(chance: random.Random, draft: Draft) -> None:
    """Nodes of one region of which none can reach another in the same turn; no two races lead to each other."""
    topology = draft.plan().topology
    works = [v for v in range(1, draft.count) if v not in draft.apart | {c.leave for c in draft.calls}]

    def reaches(one: int, two: int) -> bool:
        return topology.blocks(one, (0,) * len(topology.chain[one]), two, (0,) * len(topology.chain[two]))

    def leads(race: Sequence[int], other: Sequence[int]) -> bool:
        return any(reaches(v, w) for v in race for w in other)

    def apart(one: int, two: int) -> bool:
        return topology.chain[one] == topology.chain[two] and not reaches(one, two) and not reaches(two, one)

    for _ in range(chance.choice((0, 1, 1, 2))):
        race: list[int] = []
        order = chance.sample(works, len(works))
        if chance.random() < 0.4:
            order.sort(key=lambda v: v not in {c.enter for c in draft.calls})
        for vertex in order:
            if len(race) < 3 and all(apart(vertex, member) for member in race):
                race.append(vertex)
        race = race[: chance.choice((2, 2, 3))]
        if len(race) > 1 and not any(leads(race, other) and leads(other, race) for other in draft.races):
            draft.races.append(tuple(race))


def _put_in_bounds(chance: random.Random, draft: Draft) -> None:
    """Limits of loops, of nodes, of the graphs inside and of the whole; with a way out whose target is outside."""
    works = [*_works(draft), *(c.enter for c in draft.calls)]
    kinds: tuple[BoundKind, ...] = ("turns", "turns", "steps", "seconds")
    for _ in range(chance.choice((0, 1, 2, 2))):
        kind = chance.choice(kinds)
        allowed = chance.choice((1, 2, 3)) if kind == "turns" else chance.choice((2, 3, 5, 8))
        whole = kind != "turns" and chance.random() < 0.25
        vertex = chance.choice([0, *(c.enter for c in draft.calls)] if whole else works)
        if not whole and chance.random() < 0.5:  # rather one that may have several instances
            vertex = max(chance.sample(works, min(3, len(works))), key=lambda v: len(draft.bodies(v)))
        if any(b.vertex == vertex for b in draft.bounds):
            continue
        way = None
        if chance.random() < 0.8:
            leaves = {} if whole else {c.enter: c.leave for c in draft.calls}
            way = draft.arc(leaves.get(vertex, vertex), _way_of(chance, draft, vertex, whole), "limit")
        draft.bounds.append(Bound(kind, allowed, vertex, way, whole))
    while wrong := [b for b, cap in zip(draft.bounds, draft.plan().caps, strict=True) if _leads_inside(draft, b, cap)]:
        draft.bounds.remove(wrong[0])
        draft.arcs = [a for a in draft.arcs if a is not wrong[0].way]


def _leads_inside(draft: Draft, bound: Bound, cap: Cap) -> bool:
    """Whether a way out of a limit leads to what it withdraws."""
    return bound.way is not None and not bound.whole and bound.way.target in cap.members


def _way_of(chance: random.Random, draft: Draft, vertex: int, whole: bool) -> int:
    """Where it goes on: out of a whole graph to a node of its own, which nothing else leads to."""
    if not whole:
        return _beside(chance, draft, vertex)
    inside = next(a.target for a in draft.arcs if a.source == vertex and a.kind == "always")
    after = draft.vertex()
    draft.join_in(after, inside)
    draft.arc(after, draft.home(after), "drop")
    draft.apart.add(after)
    return after


def _choose_private_writers(chance: random.Random, draft: Draft) -> None:
    for call in draft.calls:
        inner = sorted(v for v in call.members if v != call.leave and v not in {c.enter for c in draft.calls})
        for vertex in chance.sample(inner, min(len(inner), chance.choice((0, 1, 1, 2)))):
            name = f"{call.name}/draft"
            known = draft.writers.get(vertex)
            fields = {**(known.fields if known is not None else {}), name: str}
            draft.writers[vertex] = WriteSpec(fields=fields, sure=chance.random() < 0.7, single=False)
