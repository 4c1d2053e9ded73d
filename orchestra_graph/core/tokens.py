"""Tokens: how they leave, where they come to stand, what they start.

Rule 1. What follows is added before what was is taken away, and no join is asked in between.
"""

from __future__ import annotations

from orchestra_graph.core import events as ev
from orchestra_graph.core.marking import Item, Watcher
from orchestra_graph.core.revisions import Conflict, Revision
from orchestra_graph.core.run import (
    Activation,
    Fan,
    Fans,
    Halt,
    RunState,
    Tally,
    Token,
    Wave,
    activation_id,
    scope_prefix,
)
from orchestra_graph.core.status import fail, halt, set_status
from orchestra_graph.errors import EngineBug
from orchestra_graph.graph.topology import Discriminator, Stamp, passes_in

__all__ = ["Tokens", "conflict"]


class Tokens:
    """What one event moves.

    Attributes:
        run: The run.
        at: When.
        look: The waves to ask, when everything is in its place.
        started: The activations that became live.
        reached: The limits that were reached: which, of which instance, and the activation that was refused.
    """

    def __init__(self, run: RunState, at: float):
        self.run, self.at = run, at
        self.look: list[Watcher] = []
        self.started: list[Activation] = []
        self.reached: list[tuple[int, Stamp, Activation | None]] = []

    def send(
        self,
        edge: int,
        source: Activation,
        revision: Revision,
        fan: Fan | None = None,
        item: int | None = None,
        cause: ev.ErrorInfo | None = None,
    ) -> None:
        """A token leaves *source* over *edge*."""
        run = self.run
        topology = run.plan.topology
        target = topology.edges[edge][1]
        stamp, discriminator = topology.advance(edge, source.stamp, source.discriminator, item)
        depth = passes_in(stamp) - (fan is not None)
        fans: Fans = source.fans[:depth] if fan is None else (*source.fans[:depth], (fan, item or 0))
        one_by_one = topology.rule[target].kind == "each_one"
        wave = None if one_by_one and target not in topology.raced else run.waves.get((target, stamp))
        if wave is not None and wave.fired:
            run.lost.append(revision.hold())
        elif one_by_one:
            self.start(target, stamp, discriminator, revision, fans, cause)
        else:
            self._wait(target, stamp, Token(edge, discriminator, revision.hold(), fans, cause), wave)

    def seen_from(self, leave: int, source: Activation) -> Activation:
        """Where a token leaves from that goes out of a call for *source*, which is inside of it or on its way in."""
        depth = len(self.run.plan.topology.chain[leave])
        stamp = source.stamp[:depth]
        if len(stamp) < depth:
            stamp = (*stamp, (source.discriminator, -1))
        return Activation(source.id, leave, stamp, (), source.revision, source.fans[: passes_in(stamp)], self.at)

    def _wait(self, join: int, stamp: Stamp, token: Token, wave: Wave | None) -> None:
        run = self.run
        if wave is None:
            wave = run.waves[join, stamp] = Wave(join, stamp)
            self.look.append(wave)
        elif run.plan.topology.rule[join].races:
            self.look.append(wave)
        wave.tokens.append(token)
        self.enter(join, stamp, token.inside, wave, begins=len(token.inside) == len(token.fans))

    def start(
        self,
        vertex: int,
        stamp: Stamp,
        discriminator: Discriminator,
        revision: Revision,
        fans: Fans,
        cause: ev.ErrorInfo | None = None,
    ) -> Activation:
        """A new activation: ready, or queued where its `each` is full."""
        run = self.run
        identity = activation_id(run.name(vertex), stamp, discriminator)
        if identity in run.live:
            raise EngineBug(f"{identity} was started twice")
        held = revision.hold()
        activation = Activation(identity, vertex, stamp, discriminator, held, fans, self.at, "queued", cause=cause)
        run.live[identity] = activation
        self.started.append(activation)
        full = bool(fans) and fans[-1][0].full(fans[-1][1])
        self.enter(vertex, stamp, fans[:-1] if full else fans, activation, begins=not full)
        if full:
            fans[-1][0].queue(identity)
        else:
            self.admit(activation)
        return activation

    def enter(self, vertex: int, stamp: Stamp, fans: Fans, item: Item, *, begins: bool = True) -> None:
        """Count a live item in; it *begins* unless it waits for its place in an `each`, or before the entry of one."""
        run = self.run
        run.marking.enter(vertex, stamp, item)
        for index in run.plan.tallied.get(vertex, ()):
            key = index, stamp[: run.plan.caps[index].depth]
            run.tallies.setdefault(key, Tally()).inside += 1
        if begins:
            self._begin(vertex, stamp)
        for fan, place in fans:
            fan.enter(place)

    def _begin(self, vertex: int, stamp: Stamp) -> None:
        """From here on the time of the limits around an item counts."""
        run = self.run
        for index in run.plan.tallied.get(vertex, ()):
            tally = run.tallies[index, stamp[: run.plan.caps[index].depth]]
            if tally.began is None:
                tally.began = run.active

    def leave(self, vertex: int, stamp: Stamp, fans: Fans, item: Item | None) -> None:
        """Count a live item out; the last one of an instance of an `each` makes room for the next instance."""
        run = self.run
        self.look += run.marking.leave(vertex, stamp, item)
        for index in run.plan.tallied.get(vertex, ()):
            key = index, stamp[: run.plan.caps[index].depth]
            run.tallies[key].inside -= 1
            if not run.tallies[key].inside:
                del run.tallies[key]
        for fan, place in fans:
            if not fan.leave(place):
                continue
            waiting = next((w for w in fan.waiting() if w in run.live), None)
            if waiting is not None:
                activation = run.live[waiting]
                fan.enter(activation.fans[-1][1])
                self._begin(activation.vertex, activation.stamp)
                self.admit(activation)

    def admit(self, activation: Activation) -> None:
        """An activation may start, unless its node has had its turns."""
        run = self.run
        node = run.plan.nodes[activation.vertex]
        set_status(run, activation, "receiving" if node.kind == "receive" else "ready")
        allowed = run.turns_allowed if node.counts_turns else node.turns
        if allowed is None:
            return
        scope = (activation.vertex, scope_prefix(run.plan, activation.vertex, activation.stamp))
        count = run.turns.get(scope, 0)
        if count < allowed:
            run.turns[scope] = count + 1
            return
        index = run.plan.turned.get(activation.vertex)
        if index is not None and run.plan.caps[index].edge is not None:
            self.reached.append((index, activation.stamp[: run.plan.caps[index].depth], activation))
        else:
            run.refused.append(activation.id)
            halt(run, Halt("stopped", f"'{node.name}' has had its {allowed} turns", f"turns of '{node.name}'", allowed))

    def remove(self, activation: Activation) -> None:
        """Take an activation out of the live ones."""
        queued = activation.status == "queued"
        set_status(self.run, activation, "gone")
        del self.run.live[activation.id]
        self.leave(activation.vertex, activation.stamp, activation.fans[:-1] if queued else activation.fans, activation)

    def refuse_conflicts(self, activation: Activation) -> None:
        """Where lineages met: a field that they left in conflict must be overwritten here, unread."""
        run = self.run
        node = run.plan.nodes[activation.vertex]
        for name, cell in activation.revision.seen().items():
            if not isinstance(cell, Conflict) or not run.plan.sees(activation.vertex, name):
                continue
            mended = name in node.writes.fields and node.writes.sure and name not in node.reads
            if not mended:
                fail(run, activation, conflict(name, cell), final=True)
                return


def conflict(field: str, cell: Conflict) -> ev.ErrorInfo:
    """A field that several branches wrote side by side, as an error."""
    by = " and ".join(cell.writers)
    what = f"could not take what {by} wrote: {cell.why}" if cell.why else f"was written by {by} side by side"
    return ev.ErrorInfo("MergeConflict", f"field '{field}' {what}")
