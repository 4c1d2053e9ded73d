"""The join rules, as a table: what a wave does when a token arrives, and when nothing can arrive any more.

A rule answers two questions about a wave. *Early*: does it fire with what has come, though more could? *Closing*:
nothing blocks it any more; which activations does it start? Everything else (who blocks whom, what is withdrawn) is the
same for all rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestra_graph.core.run import Token, Wave
from orchestra_graph.graph.policies import JoinRule
from orchestra_graph.graph.topology import Discriminator, Topology

__all__ = ["RULES", "Firing", "Rule", "Starved"]


class Starved(Exception):
    """A wave closed without what its rule asks for.

    Attributes:
        missing: The vertices from which nothing came, where that matters.
    """

    def __init__(self, why: str, missing: Sequence[int] = ()):
        super().__init__(why)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Firing:
    """One activation that a wave starts: its discriminator, and the tokens it takes."""

    discriminator: Discriminator
    tokens: Sequence[Token]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a join fires."""

    early: Callable[[Wave, JoinRule, Topology], bool]
    closing: Callable[[Wave, JoinRule, Topology], Sequence[Firing]]


def _never(wave: Wave, rule: JoinRule, topology: Topology) -> bool:
    return False


def _all(wave: Wave, rule: JoinRule, topology: Topology) -> Sequence[Firing]:
    return [Firing((), wave.tokens)]


def _every_edge(wave: Wave, rule: JoinRule, topology: Topology) -> Sequence[Firing]:
    """`all_of`: in the first turn of a loop the entries deliver, in later turns the edges from inside."""
    came = {token.edge for token in wave.tokens}
    missing = [topology.edges[e][0] for e in _expected(wave, topology) if e not in came]
    if missing:
        raise Starved("all_of waits for every branch, and none can come any more", missing)
    return _all(wave, rule, topology)


def _expected(wave: Wave, topology: Topology) -> list[int]:
    edges = list(topology.into[wave.join])
    chain = topology.chain[wave.join]
    if not chain or topology.regions[chain[-1]].head != wave.join:
        return edges
    inside = topology.regions[chain[-1]].members
    again = wave.stamp[-1] != 0
    return [e for e in edges if (topology.edges[e][0] in inside) == again]


def _enough(wave: Wave, rule: JoinRule, topology: Topology) -> bool:
    """`first(n)`: an arrival is an in-edge and a discriminator, so the instances of one `each` count one by one.

    No two tokens of a wave have both in common, so they need not be compared: of a wide `each` that would be quadratic.
    """
    return len(wave.tokens) >= rule.count


def _short(wave: Wave, rule: JoinRule, topology: Topology) -> Sequence[Firing]:
    if rule.short == "error" and not _enough(wave, rule, topology):
        raise Starved(f"first({rule.count}) got {len(wave.tokens)}, and no more can come")
    return _whatever_came(wave, rule, topology)


def _whatever_came(wave: Wave, rule: JoinRule, topology: Topology) -> Sequence[Firing]:
    """`until` does not ask when no more can come; with nothing at all, every branch has failed."""
    if not wave.tokens:
        raise Starved("every branch that leads here has failed")
    return _all(wave, rule, topology)


def _in_order(tokens: Sequence[Token], topology: Topology, join: int) -> list[Token]:
    place = {edge: i for i, edge in enumerate(topology.into[join])}
    return sorted(tokens, key=lambda t: (t.discriminator, place.get(t.edge, len(place))))


def _zip(wave: Wave, rule: JoinRule, topology: Topology) -> Sequence[Firing]:
    """The k-th tokens of every in-edge that delivered, together; what has no partner is left over."""
    queues: dict[int, list[Token]] = {}
    for token in _in_order(wave.tokens, topology, wave.join):
        queues.setdefault(token.edge, []).append(token)
    rounds = zip(*queues.values(), strict=False)
    return [Firing(((0, (), k),), tokens) for k, tokens in enumerate(rounds)]


def _batches(wave: Wave, rule: JoinRule, topology: Topology) -> Sequence[Firing]:
    """*count* tokens at a time, in logical order; the last batch may be smaller."""
    tokens = _in_order(wave.tokens, topology, wave.join)
    starts = range(0, len(tokens), rule.count)
    return [Firing(((0, (), k),), tokens[i : i + rule.count]) for k, i in enumerate(starts)]


RULES: Mapping[str, Rule] = {
    "gather": Rule(_never, _all),
    "each_one": Rule(_never, _all),  # never asked, but of what had come when a run went on with another form
    "all_of": Rule(_never, _every_edge),
    "first": Rule(_enough, _short),
    "until": Rule(_never, _whatever_came),
    "zipped": Rule(_never, _zip),
    "batches": Rule(_never, _batches),
}
