"""Random graphs, and a small interpreter of the token semantics: what the flow checks are compared with.

The interpreter keeps to the rules of `docs/semantics.md` and to nothing else: it recomputes where the engine is incremental, and it runs no
nodes. Every activation knows the set of activations in its causal past, as a bitset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from orchestra_graph.graph.policies import EACH_ONE, JoinRule
from orchestra_graph.graph.topology import Discriminator, Scope, Stamp, Topology
from orchestra_graph.graph.ways import Choices, Ways

RACES = (
    EACH_ONE,
    JoinRule(kind="all_of"),
    JoinRule(kind="first"),
    JoinRule(kind="first", count=2, short="fire"),
    JoinRule(kind="first", cancel_rest=True),
    JoinRule(kind="zipped"),
    JoinRule(kind="batches", count=2),
)


@dataclass
class Draft:
    """A graph that is being drawn: vertices, groups of edges, bodies of eaches."""

    rng: Random
    splits: Sequence[str] = ("and", "xor", "or")
    vertices: int = 1
    groups: dict[int, list[tuple[str, list[int]]]] = field(default_factory=dict)
    eaches: list[tuple[int, int, int, frozenset[int], bool]] = field(default_factory=list)
    around: dict[int, int] = field(default_factory=dict)
    budget: int = 12

    def vertex(self, body: int) -> int:
        self.vertices += 1
        self.around[self.vertices - 1] = body
        self.budget -= 1
        return self.vertices - 1

    def follow(self, source: int, kind: str, targets: Iterable[int]) -> None:
        self.groups.setdefault(source, []).append((kind, list(targets)))

    def block(self, body: int) -> tuple[int, int]:
        """One entry, one exit."""
        makers = [self._line, self._split, self._loop, self._each] if self.budget > 2 else [self._single]
        return self.rng.choice(makers)(body)

    def _single(self, body: int) -> tuple[int, int]:
        only = self.vertex(body)
        return only, only

    def _line(self, body: int) -> tuple[int, int]:
        first, last = self._single(body) if self.rng.random() < 0.6 else self.block(body)
        for _ in range(self.rng.randint(1, 2)):
            entry, exit_ = self.block(body)
            self.follow(last, "and", [entry])
            last = exit_
        return first, last

    def _split(self, body: int) -> tuple[int, int]:
        fork, join = self.vertex(body), self.vertex(body)
        blocks = [self.block(body) for _ in range(self.rng.randint(2, 3))]
        targets = [entry for entry, _ in blocks]
        if self.rng.random() < 0.3:
            targets.append(join)
        self.follow(fork, self.rng.choice(self.splits), targets)
        for _, exit_ in blocks:
            self.follow(exit_, "and", [join])
        return fork, join

    def _loop(self, body: int) -> tuple[int, int]:
        entry, exit_ = self.block(body)
        again, out = self.vertex(body), self.vertex(body)
        self.follow(exit_, "and", [again])
        self.follow(again, "xor", [entry, out])
        return entry, out

    def _each(self, body: int) -> tuple[int, int]:
        """An each; one in four collects where it begins, as the loop of an agent does."""
        maker, out = self.vertex(body), self.vertex(body)
        collector = maker if self.rng.random() < 0.25 else out
        mine = len(self.eaches) + 1
        self.eaches.append((maker, -1, collector, frozenset(), False))
        before = self.vertices
        entry, exit_ = self.block(mine)
        members = frozenset(range(before, self.vertices))
        self.follow(exit_, "and", [collector])
        self.eaches[mine - 1] = maker, entry, collector, members, collector != maker and self.rng.random() < 0.3
        if collector == maker:
            self.follow(maker, self.rng.choice(("and", "maybe")), [out])
        return maker, out

    def more_edges(self, count: int) -> None:
        """Edges that no structure asks for, between vertices of one body."""
        for _ in range(count):
            source = self.rng.randrange(1, self.vertices)
            same = [v for v in range(1, self.vertices) if self.around[v] == self.around[source]]
            self.follow(source, self.rng.choice((*self.splits, "maybe")), [self.rng.choice(same)])


@dataclass
class Model:
    """A graph, with what each vertex may follow."""

    topology: Topology
    ways: list[Ways]
    entering: dict[int, bool]

    @property
    def size(self) -> int:
        return self.topology.size


def draw(
    rng: Random, *, size: int = 12, more: int = 0, splits: Sequence[str] = ("and", "xor", "or"), races: float = 0
) -> Model:
    """A random graph; with ``more`` edges beside its structure it may be irreducible, and multiply tokens."""
    draft = Draft(rng, splits, budget=rng.randint(3, size))
    entry, exit_ = draft.block(0)
    draft.around[0] = 0
    starts = [entry]
    if draft.vertices > 3 and rng.random() < 0.3:
        starts.append(rng.choice([v for v in range(1, draft.vertices) if draft.around[v] == 0]))
    draft.follow(0, "and", starts)
    draft.more_edges(more)
    draft.follow(exit_, "and", [draft.vertices])
    return _finish(draft, races)


def _finish(draft: Draft, races: float) -> Model:
    end = draft.vertices
    edges: list[tuple[int, int]] = []
    ways: list[Ways] = []
    scopes: list[Scope] = []
    entering: dict[int, bool] = {}

    def edge(source: int, target: int) -> int:
        edges.append((source, target))
        return len(edges) - 1

    makers = {maker: rest for maker, *rest in draft.eaches}
    for v in range(end):
        groups, many, drop = [], [], None
        for kind, targets in draft.groups.get(v, []):
            groups.append(_choices(kind, [edge(v, t) for t in targets]))
        if v in makers:
            entry, collector, members, filled = makers[v]
            into = edge(v, entry)
            scopes.append(Scope(into, members, collector))
            entering[into] = filled
            many.append(into)
            empty = () if collector == v else (edge(v, collector),)
            alternatives = ((into,),) if filled else ((into,), empty)
            groups.append(Choices(alternatives, alternatives))
        if all(() in g.least for g in groups):
            drop = edge(v, end)
        ways.append(Ways(tuple(groups), drop, tuple(many)))
    ways.append(Ways())
    rules = {v: draft.rng.choice(RACES) for v in range(1, end) if draft.rng.random() < races}
    into_count = [sum(1 for _, t in edges if t == v) for v in range(end + 1)]
    rules = {v: rule for v, rule in rules.items() if into_count[v] > 1}
    return Model(Topology(end + 1, edges, rules=rules, scopes=scopes), ways, entering)


def _choices(kind: str, edges: list[int]) -> Choices:
    every = tuple(dict.fromkeys(edges))
    single = tuple((e,) for e in every)
    if kind == "and":
        return Choices((every,), (every,))
    if kind == "xor":
        return Choices(single, single)
    return Choices((*single, ()), (every, ()))


# -- runs ------------------------------------------------------------------------------------------------


@dataclass
class Ran:
    """One activation that ran.

    Attributes:
        vertex: Where.
        past: The activations before it, as a bitset of their numbers.
        newest: For every field, what is newest in its past: the numbers of writes none of which is in the past of another.
    """

    vertex: int
    past: int
    newest: Mapping[int, int]


@dataclass
class _Token:
    edge: int
    discriminator: Discriminator
    past: int
    newest: Mapping[int, int]


class TooLong(Exception):
    """The run did not end in time."""


class Starved(Exception):
    """A join did not get what it asks for."""


class Player:
    """Runs a model once, in a random order.

    Args:
        model: The graph.
        rng: Decides what is chosen, and what runs next.
        writes: By vertex, the fields it writes.
        unsure: By vertex, the fields of these that it may leave out.
    """

    def __init__(
        self,
        model: Model,
        rng: Random,
        writes: Sequence[int] = (),
        unsure: Sequence[int] = (),
        *,
        steps: int = 120,
        turns: int = 3,
    ):
        self.model, self.topology, self.rng = model, model.topology, rng
        self.writes = writes or [0] * model.size
        self.unsure = unsure or [0] * model.size
        self.steps, self.turns = steps, turns
        self.ran: list[Ran] = []
        self.waves: dict[tuple[int, Stamp], list[_Token]] = {}
        self.fired: set[tuple[int, Stamp]] = set()
        self.live: list[tuple[int, Stamp, Discriminator, int, Mapping[int, int]]] = []
        self.conflicts: set[tuple[int, int]] = set()
        self.done = False

    def play(self) -> list[Ran]:
        """Run to the end.

        Raises:
            TooLong: More steps than allowed.
            Starved: A join did not get what it asks for.
        """
        self.live.append((0, (), (), 0, {}))
        while not self.done:
            ready = [w for w in self.waves if not self._blocked(w)]
            choice = self.rng.randrange(len(self.live) + len(ready))
            if choice < len(self.live):
                self._complete(*self.live.pop(choice))
            else:
                self._fire(ready[choice - len(self.live)])
        return self.ran

    # -- one activation -----------------------------------------------------------------------------

    def _complete(
        self, v: int, stamp: Stamp, discriminator: Discriminator, past: int, newest: Mapping[int, int]
    ) -> None:
        number = len(self.ran)
        self.ran.append(Ran(v, past, newest))
        if number > self.steps:
            raise TooLong
        newest = self._write(v, number, newest)
        past |= 1 << number
        if v == self.topology.end:
            self.done = True
            return
        for edge, times in self._choose(v, stamp, past, newest):
            for item in range(times):
                self._send(edge, stamp, discriminator, item if edge in self.model.entering else None, past, newest)
        while wave := next((w for w in self.waves if self._enough(w)), None):
            self._fire(wave)

    def _write(self, v: int, number: int, newest: Mapping[int, int]) -> Mapping[int, int]:
        written = self.writes[v]
        written &= ~(self.unsure[v] & self.rng.getrandbits(max(1, written.bit_length())))
        return {**newest, **dict.fromkeys(_bits(written), 1 << number)}

    def _choose(self, v: int, stamp: Stamp, past: int, newest: Mapping[int, int]) -> list[tuple[int, int]]:
        ways = self.model.ways[v]
        edges: list[int] = []
        for group in ways.groups:
            edges += self._pick(group, stamp, newest)
        if not edges and ways.drop is not None:
            edges = [ways.drop]
        return [(e, self.rng.randint(1, 3) if e in ways.many else 1) for e in edges]

    def _pick(self, group: Choices, stamp: Stamp, newest: Mapping[int, int]) -> tuple[int, ...]:
        """One of the alternatives; after some turns one that leads out of the loop, where there is one."""
        alternatives = [a for a in {*group.least, *group.most} if self.may_take(a, newest)]
        if len(alternatives) > 1 and any(isinstance(c, int) and c >= self.turns for c in stamp):
            alternatives = [a for a in alternatives if not any(self._backward(e) for e in a)] or alternatives
        return self.rng.choice(sorted(alternatives))

    def may_take(self, edges: Iterable[int], newest: Mapping[int, int]) -> bool:
        """Whether the values allow these edges; for tests to override."""
        return True

    def _backward(self, edge: int) -> bool:
        source, target = self.topology.edges[edge]
        return any(self.topology.regions[r].head == target for r in self.topology.chain[source])

    def _send(
        self,
        edge: int,
        stamp: Stamp,
        discriminator: Discriminator,
        item: int | None,
        past: int,
        newest: Mapping[int, int],
    ) -> None:
        target = self.topology.edges[edge][1]
        stamp, discriminator = self.topology.advance(edge, stamp, discriminator, item)
        if self.topology.rule[target].kind == "each_one":
            self.live.append((target, stamp, discriminator, past, newest))
        elif (target, stamp) not in self.fired:
            self.waves.setdefault((target, stamp), []).append(_Token(edge, discriminator, past, newest))

    # -- joins --------------------------------------------------------------------------------------

    def _blocked(self, wave: tuple[int, Stamp]) -> bool:
        at = [(v, stamp) for v, stamp, *_ in self.live] + [w for w in self.waves if w != wave]
        return any(self.topology.blocks(v, stamp, *wave) for v, stamp in at)

    def _enough(self, wave: tuple[int, Stamp]) -> bool:
        rule = self.topology.rule[wave[0]]
        return rule.races and len({(t.edge, t.discriminator) for t in self.waves[wave]}) >= rule.count

    def _fire(self, wave: tuple[int, Stamp]) -> None:
        join, stamp = wave
        rule = self.topology.rule[join]
        early = rule.races and self._blocked(wave)
        tokens = self.waves.pop(wave)
        if rule.races:
            self.fired.add(wave)
        if early and rule.cancel_rest:
            self._withdraw(wave)
        if rule.kind == "first" and not early and rule.short == "error" and len(tokens) < rule.count:
            raise Starved
        for k, some in enumerate(self._firings(rule, wave, tokens)):
            many = rule.kind in ("zipped", "batches")
            past = 0
            for token in some:
                past |= token.past
            newest = self._merged(join, [t.newest for t in some])
            self.live.append((join, stamp, ((0, (), k),) if many else (), past, newest))

    def _firings(self, rule: JoinRule, wave: tuple[int, Stamp], tokens: list[_Token]) -> list[list[_Token]]:
        by_edge: dict[int, list[_Token]] = {}
        for token in sorted(tokens, key=lambda t: (t.discriminator, t.edge)):
            by_edge.setdefault(token.edge, []).append(token)
        if rule.kind == "zipped":
            return [list(z) for z in zip(*by_edge.values(), strict=False)]
        if rule.kind == "batches":
            every = [t for some in by_edge.values() for t in some]
            return [every[i : i + rule.count] for i in range(0, len(every), rule.count)]
        if rule.kind == "all_of" and len(by_edge) < len(self._expected(wave)):
            raise Starved
        return [tokens]

    def _expected(self, wave: tuple[int, Stamp]) -> list[int]:
        join, stamp = wave
        chain, into = self.topology.chain[join], list(self.topology.into[join])
        if not chain or self.topology.regions[chain[-1]].head != join:
            return into
        members = self.topology.regions[chain[-1]].members
        return [e for e in into if (self.topology.edges[e][0] in members) == (stamp[-1] != 0)]

    def _withdraw(self, wave: tuple[int, Stamp]) -> None:
        def stays(v: int, stamp: Stamp) -> bool:
            return not (self.topology.blocks(v, stamp, *wave) and self.topology.only_to(v, wave[0]))

        self.live = [item for item in self.live if stays(item[0], item[1])]
        self.waves = {w: tokens for w, tokens in self.waves.items() if w == wave or stays(*w)}

    def _merged(self, join: int, brought: Sequence[Mapping[int, int]]) -> Mapping[int, int]:
        """The newest writes of each field; more than one of a field is a conflict, unless the join itself overwrites it."""
        merged: dict[int, int] = {}
        for name in {f for newest in brought for f in newest}:
            together = 0
            for newest in brought:
                together |= newest.get(name, 0)
            top = [n for n in _bits(together) if not any(self.ran[o].past >> n & 1 for o in _bits(together))]
            merged[name] = sum(1 << n for n in top)
            before = any(newest.get(name) == merged[name] for newest in brought)
            if len(top) > 1 and not before and not (self.writes[join] & ~self.unsure[join]) >> name & 1:
                self.conflicts.add((join, name))
        return merged


def _bits(number: int) -> list[int]:
    return [i for i in range(number.bit_length()) if number >> i & 1]
