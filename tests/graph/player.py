"""A small interpreter of the token semantics: what the checks over all runs are compared with.

It keeps to the rules of `docs/semantics.md` and to nothing else: it recomputes where the engine is incremental, it runs
no nodes, and it keeps for every activation the set of activations in its causal past, as a bitset.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from orchestra_graph.graph.policies import JoinRule
from orchestra_graph.graph.topology import Discriminator, Stamp
from orchestra_graph.graph.ways import Choices
from tests.graph.shapes import Model

Newest = Mapping[int, int]
"""For every field the newest writes, as a bitset of activations: none of them is in the past of another."""
_Wave = tuple[int, Stamp]


class _Starved(Exception):
    """A join did not get what it asks for."""


@dataclass(frozen=True)
class Ran:
    """An activation; its number is its place in the order in which they ran.

    Attributes:
        vertex: Where.
        stamp: Its turns and instances.
        discriminator: Which of several with that stamp.
        past: The activations before it, as a bitset of their numbers.
        newest: What it sees.
    """

    vertex: int
    stamp: Stamp = ()
    discriminator: Discriminator = ()
    past: int = 0
    newest: Newest = field(default_factory=dict)


@dataclass(frozen=True)
class _Token:
    edge: int
    discriminator: Discriminator
    past: int
    newest: Newest


class Player:
    """Runs a model once, in a random order and with random choices.

    Args:
        model: The graph.
        rng: Decides.
        writes: By vertex, the fields it writes, as bits.
        unsure: By vertex, those of them that it may leave out.
        steps: More are too many.
        turns: After so many of a loop, what leads out of it is preferred.
    """

    def __init__(
        self,
        model: Model,
        rng: Random,
        writes: Sequence[int] = (),
        unsure: Sequence[int] = (),
        *,
        steps: int = 100,
        turns: int = 3,
    ):
        self.model, self.topology, self.rng = model, model.topology, rng
        self.writes = writes or [0] * model.size
        self.unsure = unsure or [0] * model.size
        self.steps, self.turns = steps, turns
        self.ran: list[Ran] = []
        self.live = [Ran(0)]
        self.waves: dict[_Wave, list[_Token]] = {}
        self.fired: set[_Wave] = set()
        self.conflicts: set[tuple[int, int]] = set()
        """The joins, and the fields of which they got several newest writes and which they do not overwrite."""

    def play(self) -> list[Ran]:
        """Run to the end, or until a join starves or the run is too long, and give what ran."""
        with contextlib.suppress(_Starved):
            while not self.ended and len(self.ran) < self.steps and len(self.live) < self.steps // 2:
                self._step()
        return self.ran

    @property
    def ended(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.ran) and self.ran[-1].vertex == self.topology.end

    def _step(self) -> None:
        ready = [wave for wave in self.waves if not self._blocked(wave)]
        choice = self.rng.randrange(len(self.live) + len(ready))  # with neither there would be a deadlock
        if choice < len(self.live):
            self._complete(self.live.pop(choice))
        else:
            self._fire(ready[choice - len(self.live)])

    # -- one activation -----------------------------------------------------------------------------

    def _complete(self, running: Ran) -> None:
        number, v = len(self.ran), running.vertex
        self.ran.append(running)
        newest = {**running.newest, **dict.fromkeys(self._written(v), 1 << number)}
        past = running.past | 1 << number
        for edge, times in self._choose(running, newest):
            for item in range(times):
                self._send(running, edge, item if edge in self.model.ways[v].many else None, past, newest)
        while early := next((wave for wave in self.waves if self._enough(wave)), None):
            self._fire(early)

    def _written(self, v: int) -> list[int]:
        written = self.writes[v]
        return bits(written & ~(self.unsure[v] & self.rng.getrandbits(max(1, written.bit_length()))))

    def _choose(self, running: Ran, newest: Newest) -> list[tuple[int, int]]:
        ways = self.model.ways[running.vertex]
        edges = [e for group in ways.groups for e in self._pick(group, running.stamp, newest)]
        if not edges and ways.drop is not None:
            edges = [ways.drop]
        return [(e, self.rng.randint(1, 3) if e in ways.many else 1) for e in edges]

    def _pick(self, group: Choices, stamp: Stamp, newest: Newest) -> tuple[int, ...]:
        """One of the alternatives; after some turns one that leads out of the loop, where there is one."""
        alternatives = [a for a in {*group.least, *group.most} if all(self.may_take(e, newest) for e in a)]
        if len(alternatives) > 1 and any(isinstance(c, int) and c >= self.turns for c in stamp):
            alternatives = [a for a in alternatives if not any(map(self._turns_back, a))] or alternatives
        return self.rng.choice(sorted(alternatives))

    def may_take(self, edge: int, newest: Newest) -> bool:
        """Whether the values allow an edge; for tests to override."""
        return True

    def _turns_back(self, edge: int) -> bool:
        source, target = self.topology.edges[edge]
        return any(self.topology.regions[r].head == target for r in self.topology.chain[source])

    def _send(self, source: Ran, edge: int, item: int | None, past: int, newest: Newest) -> None:
        target = self.topology.edges[edge][1]
        stamp, discriminator = self.topology.advance(edge, source.stamp, source.discriminator, item)
        if self.topology.rule[target].kind == "each_one":
            self.live.append(Ran(target, stamp, discriminator, past, newest))
        elif (target, stamp) not in self.fired:
            self.waves.setdefault((target, stamp), []).append(_Token(edge, discriminator, past, newest))

    # -- joins --------------------------------------------------------------------------------------

    def _blocked(self, wave: _Wave) -> bool:
        at = [(r.vertex, r.stamp) for r in self.live] + [w for w in self.waves if w != wave]
        return any(self.topology.blocks(v, stamp, *wave) for v, stamp in at)

    def _enough(self, wave: _Wave) -> bool:
        rule = self.topology.rule[wave[0]]
        return rule.races and len({(t.edge, t.discriminator) for t in self.waves[wave]}) >= rule.count

    def _fire(self, wave: _Wave) -> None:
        join, stamp = wave
        rule, enough = self.topology.rule[join], self._enough(wave)
        tokens = self.waves.pop(wave)
        if rule.races:
            self.fired.add(wave)
            if not enough and rule.short == "error":
                raise _Starved
            if enough and rule.cancel_rest:
                self._withdraw(wave)
        apart = rule.kind in ("zipped", "batches")
        for k, some in enumerate(self._firings(rule, wave, tokens)):
            past = 0
            for token in some:
                past |= token.past
            newest = self._merged(join, [t.newest for t in some])
            self.live.append(Ran(join, stamp, ((0, (), k),) if apart else (), past, newest))

    def _firings(self, rule: JoinRule, wave: _Wave, tokens: list[_Token]) -> list[Sequence[_Token]]:
        by_edge: dict[int, list[_Token]] = {}
        for token in sorted(tokens, key=lambda t: (t.discriminator, t.edge)):
            by_edge.setdefault(token.edge, []).append(token)
        if rule.kind == "zipped":
            return list(zip(*by_edge.values(), strict=False))
        if rule.kind == "batches":
            every = [t for some in by_edge.values() for t in some]
            return [every[i : i + rule.count] for i in range(0, len(every), rule.count)]
        if rule.kind == "all_of" and len(by_edge) < self._expected(wave):
            raise _Starved
        return [tokens]

    def _expected(self, wave: _Wave) -> int:
        """How many in-edges an `all_of` waits for: at the head of a loop the entries, then the edges from inside."""
        join, stamp = wave
        chain, into = self.topology.chain[join], self.topology.into[join]
        if not chain or self.topology.regions[chain[-1]].head != join:
            return len(into)
        members = self.topology.regions[chain[-1]].members
        return sum((self.topology.edges[e][0] in members) == (stamp[-1] != 0) for e in into)

    def _withdraw(self, wave: _Wave) -> None:
        def stays(v: int, stamp: Stamp) -> bool:
            return not (self.topology.blocks(v, stamp, *wave) and self.topology.only_to(v, wave[0]))

        self.live = [r for r in self.live if stays(r.vertex, r.stamp)]
        self.waves = {w: tokens for w, tokens in self.waves.items() if w == wave or stays(*w)}

    def _merged(self, join: int, brought: Sequence[Newest]) -> Newest:
        merged: dict[int, int] = {}
        for name in {f for newest in brought for f in newest}:
            together = 0
            for newest in brought:
                together |= newest.get(name, 0)
            top = [n for n in bits(together) if not any(self.ran[o].past >> n & 1 for o in bits(together))]
            merged[name] = sum(1 << n for n in top)
            known = any(newest.get(name) == merged[name] for newest in brought)  # was said at an earlier join
            if len(top) > 1 and not known and not (self.writes[join] & ~self.unsure[join]) >> name & 1:
                self.conflicts.add((join, name))
        return merged


def bits(number: int) -> list[int]:
    """The numbers of the bits that are set."""
    return [i for i in range(number.bit_length()) if number >> i & 1]
