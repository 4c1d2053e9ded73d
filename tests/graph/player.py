"""A small interpreter of the token semantics: what the checks over all runs are compared with.

It keeps to the rules of `docs/semantics.md` and to nothing else: it recomputes where the engine is incremental, it runs no
nodes, and it keeps for every activation the set of activations in its causal past, as a bitset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from orchestra_graph.graph.policies import JoinRule
from orchestra_graph.graph.topology import Discriminator, Stamp
from orchestra_graph.graph.ways import Choices
from tests.graph.shapes import Model


@dataclass
class Ran:
    """One activation that ran.

    Attributes:
        vertex: Where.
        stamp: Its turns and instances.
        discriminator: Which of several with that stamp.
        past: The activations before it, as a bitset of their numbers.
        newest: For every field the newest writes in its past, as a bitset of numbers: none is in the past of another.
    """

    vertex: int
    stamp: Stamp
    discriminator: Discriminator
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
                self._send(edge, stamp, discriminator, item if edge in self.model.ways[v].many else None, past, newest)
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
