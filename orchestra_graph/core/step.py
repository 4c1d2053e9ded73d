"""What one event changes: tokens that leave, joins that fire, work that is withdrawn.

Rule 1. What follows is added before what was is taken away, and no join is asked in between.
Rule 2. A limit that is reached acts before any join is asked.
Rule 3. Work is withdrawn only where every way from it leads to what it is withdrawn for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from orchestra_graph.core import events as ev
from orchestra_graph.core.joins import RULES, Firing, Starved
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
from orchestra_graph.graph.plan import Cap
from orchestra_graph.graph.topology import Discriminator, Stamp

__all__ = ["Step"]


class Step:
    """Collects the waves to look at, and looks at them when everything is in its place.

    Attributes:
        look: The waves to ask.
        started: The activations that became live.
        reached: The limits that were reached, each with where it goes on from.
    """

    def __init__(self, run: RunState, at: float):
        self.run, self.at = run, at
        self.look: list[Watcher] = []
        self.started: list[Activation] = []
        self.reached: list[tuple[int, Stamp, Activation | None]] = []

    # -- tokens -------------------------------------------------------------------------------------

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
        depth = sum(1 for c in stamp if isinstance(c, tuple) and c[1] >= 0) - (fan is not None)
        fans: Fans = source.fans[:depth] if fan is None else (*source.fans[:depth], (fan, item or 0))
        one_by_one = topology.rule[target].kind == "each_one"
        wave = None if one_by_one and target not in topology.raced else run.waves.get((target, stamp))
        if wave is not None and wave.fired:
            run.lost.append(revision.hold())
        elif one_by_one:
            self.start(target, stamp, discriminator, revision, fans, cause)
        else:
            self._wait(target, stamp, Token(edge, discriminator, revision.hold(), fans, cause), wave)

    def _wait(self, join: int, stamp: Stamp, token: Token, wave: Wave | None) -> None:
        run = self.run
        if wave is None:
            wave = run.waves[join, stamp] = Wave(join, stamp)
            self.look.append(wave)
        elif run.plan.topology.rule[join].races:
            self.look.append(wave)
        wave.tokens.append(token)
        self.enter(join, stamp, token.inside, wave)

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
        self.enter(vertex, stamp, fans[:-1] if full else fans, activation)
        if full:
            fans[-1][0].queue(identity)
        else:
            self.admit(activation)
        return activation

    def enter(self, vertex: int, stamp: Stamp, fans: Fans, item: Item) -> None:
        """Count a live item in."""
        run = self.run
        run.marking.enter(vertex, stamp, item)
        for index in run.plan.tallied.get(vertex, ()):
            key = index, stamp[: run.plan.caps[index].depth]
            tally = run.tallies.get(key)
            if tally is None:
                tally = run.tallies[key] = Tally(run.active)
            tally.inside += 1
        for fan, place in fans:
            fan.enter(place)

    def leave(self, vertex: int, stamp: Stamp, fans: Fans, item: Item) -> None:
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
                self.admit(activation)

    def admit(self, activation: Activation) -> None:
        """An activation may start, unless its node has had its turns."""
        run = self.run
        node = run.plan.nodes[activation.vertex]
        set_status(run, activation, "ready")
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

    # -- joins --------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Ask every wave whose answer may have changed, until nothing fires."""
        while self.reached or self.look:
            if self.reached:
                self._go_on(*self.reached.pop(0))
                continue
            looking, self.look = self.look, []
            for watcher in {id(w): w for w in looking}.values():
                if isinstance(watcher, Wave) and self.run.waves.get((watcher.join, watcher.stamp)) is watcher:
                    self._ask(watcher)

    def _ask(self, wave: Wave) -> None:
        run = self.run
        rule = run.plan.topology.rule[wave.join]
        if not wave.fired and RULES[rule.kind].early(wave, rule, run.plan.topology):
            self.fire_early(wave)
        elif run.marking.blocked(wave):
            if rule.kind == "until" and not wave.fired and len(wave.tokens) > wave.asked:
                run.undecided[activation_id(run.name(wave.join), wave.stamp, ())] = wave
        else:
            self._forget(wave)
            if not wave.fired:
                self._close(wave)

    def _forget(self, wave: Wave) -> None:
        run = self.run
        del run.waves[wave.join, wave.stamp]
        if run.undecided:
            run.undecided.pop(activation_id(run.name(wave.join), wave.stamp, ()), None)

    def fire_early(self, wave: Wave) -> None:
        """Fire with what has come; what comes later is absorbed."""
        rule = self.run.plan.topology.rule[wave.join]
        tokens, wave.tokens, wave.fired = wave.tokens, [], True
        self._fire(wave, [Firing((), tokens)], tokens)
        if rule.cancel_rest:
            self._withdraw_for(frozenset({wave.join}), wave.stamp, this_turn=False)
        self.look.append(wave)  # it is remembered while anything could still arrive

    def _close(self, wave: Wave) -> None:
        run = self.run
        rule = run.plan.topology.rule[wave.join]
        try:
            firings = RULES[rule.kind].closing(wave, rule, run.plan.topology)
        except Starved as starved:
            self._starve(wave, starved)
            return
        self._fire(wave, firings, wave.tokens)

    def _starve(self, wave: Wave, starved: Starved) -> None:
        """A join cannot fire. Branches that failed may be tried again; without any, nothing can mend it."""
        run = self.run
        sources = " and ".join(f"'{run.name(v)}'" for v in starved.missing)
        reason = f"{activation_id(run.name(wave.join), wave.stamp, ())}: {starved}"
        reason += f" from {sources}" if sources else ""
        excused, wave.excused = wave.excused, []
        errors = tuple((a.id, a.error) for a in excused if a.error is not None)
        for activation in excused:
            run.live[activation.id] = activation
            set_status(run, activation, "failed")
            self.enter(activation.vertex, activation.stamp, activation.fans, activation)
        reason += "".join(f"; {identity}: {error}" for identity, error in errors)
        halt(run, Halt("failed", reason, errors=errors, final=not excused))
        if wave.tokens or not excused:
            run.waves[wave.join, wave.stamp] = wave

    def _fire(self, wave: Wave, firings: Iterable[Firing], tokens: Iterable[Token]) -> None:
        """Start what a wave starts; only then take its tokens away."""
        run = self.run
        used: set[int] = set()
        for firing in firings:
            used |= {id(token) for token in firing.tokens}
            heads = [token.revision for token in firing.tokens]
            if wave.join == run.plan.topology.end:
                self._finish(heads)
                break
            revision = run.revisions.merge(heads)
            fans = firing.tokens[0].fans
            causes = [t for t in firing.tokens if t.cause is not None]
            cause = min(causes, key=lambda t: (t.edge, t.discriminator)).cause if causes else None
            self._refuse_conflicts(
                self.start(wave.join, wave.stamp, firing.discriminator, revision, fans, cause),
            )
        for token in tokens:
            if id(token) not in used:
                run.lost.append(token.revision.hold())
            token.revision.release()
            self.leave(wave.join, wave.stamp, token.inside, wave)
        run.lost += [activation.revision for activation in wave.excused]
        wave.excused = []

    def _finish(self, heads: list[Revision]) -> None:
        """END: everything that ended anywhere meets."""
        run = self.run
        run.result = run.revisions.merge(heads, run.lost).hold()
        for name, cell in run.result.seen().items():
            if isinstance(cell, Conflict) and not run.plan.schema.fields[name].private:
                error = _conflict(name, cell)
                halt(run, Halt("failed", error.message, errors=(("END", error),), final=True))

    def _refuse_conflicts(self, activation: Activation) -> None:
        """Where lineages met: a field that they left in conflict must be overwritten here, unread."""
        run = self.run
        node = run.plan.nodes[activation.vertex]
        for name, cell in activation.revision.seen().items():
            if not isinstance(cell, Conflict):
                continue
            mended = name in node.writes.fields and node.writes.sure and name not in node.reads
            if not mended:
                fail(run, activation, _conflict(name, cell), final=True)
                return

    # -- what is withdrawn ----------------------------------------------------------------------------

    def _withdraw_for(self, joins: frozenset[int], stamp: Stamp, *, this_turn: bool) -> None:
        """Withdraw what can still reach one of *joins*, and nothing but them."""
        run = self.run
        only = run.plan.topology.funnel(joins)
        found: dict[Item, None] = {}
        for join in joins:
            ahead = run.marking.ahead(join, stamp, this_turn=this_turn)
            found.update(dict.fromkeys(item for item in ahead if only >> item.vertex & 1))
        for item in found:
            self.withdraw(item)

    def withdraw(self, item: Item, *, lose: bool = True) -> None:
        """Take a live item away.

        Args:
            item: An activation, or the tokens that wait at a join.
            lose: What it has committed to reducers still counts at the end; else somebody goes on with all of it.
        """
        if isinstance(item, Wave):
            self._withdraw_wave(item, lose=lose)
            return
        activation = cast("Activation", item)
        if activation.status == "asking" and activation.question is not None:
            self.run.closed.append(activation.question)
        if lose:
            self.run.lost.append(activation.revision)
        else:
            activation.revision.release()
        self.remove(activation)

    def _withdraw_wave(self, wave: Wave, *, lose: bool) -> None:
        run = self.run
        self._forget(wave)
        for token in wave.tokens:
            if lose:
                run.lost.append(token.revision)
            else:
                token.revision.release()
            self.leave(wave.join, wave.stamp, token.inside, wave)
        run.lost += [activation.revision for activation in wave.excused]

    def remove(self, activation: Activation) -> None:
        """Take an activation out of the live ones."""
        queued = activation.status == "queued"
        set_status(self.run, activation, "gone")
        del self.run.live[activation.id]
        self.leave(activation.vertex, activation.stamp, activation.fans[:-1] if queued else activation.fans, activation)

    def excuse(self, activation: Activation) -> bool:
        """Whether a join can do without an activation that has failed for good; if so, it waits no longer for it."""
        run, topology = self.run, self.run.plan.topology
        join, leaves = topology.excusing.get(activation.vertex, (None, ()))
        if join is None or not all(self._alone(activation, leave) for leave in leaves):
            return False
        key = join, activation.stamp[: len(topology.chain[join])]
        wave = run.waves.get(key)
        if wave is not None and wave.fired:
            self.withdraw(activation)
            return True
        if wave is None:
            wave = run.waves[key] = Wave(*key)
        self.remove(activation)
        activation.status = "queued"  # nowhere counted
        wave.excused.append(activation)
        self.look.append(wave)
        return True

    def _alone(self, activation: Activation, leave: int) -> bool:
        """Whether nothing else is inside of a call."""
        depth = len(self.run.plan.topology.chain[leave])
        inside = self.run.marking.within(activation.vertex, activation.stamp, depth)
        return all(item is activation for item in inside)

    def race(self, activation: Activation) -> None:
        """The first of a race to complete withdraws the others, and what leads to them in the same turn."""
        plan = self.run.plan
        vertex, stamp = activation.vertex, activation.stamp
        node = plan.nodes[vertex]
        if node.kind == "enter":
            return
        if node.kind == "leave" and node.call is not None:
            vertex, stamp = plan.calls[node.call].enter, stamp[:-1]
        for rivals in plan.rivals.get(vertex, ()):
            for rival in rivals:
                for item in list(self._standing(rival, stamp)):
                    self.withdraw(item)
            self._withdraw_for(rivals, stamp, this_turn=True)
            for rival in rivals:
                wave = self.run.waves.setdefault((rival, stamp), Wave(rival, stamp))
                wave.fired = True
                self.look.append(wave)

    def _standing(self, rival: int, stamp: Stamp) -> Iterable[Item]:
        """What stands at a member of a race; of a graph that stands there, everything inside."""
        marking, call = self.run.marking, self.run.plan.opens.get(rival)
        yield from marking.at(rival, stamp)
        if call is not None:
            inside = marking.within(rival, stamp, len(stamp))
            yield from (item for item in inside if item.vertex in call.members)

    def end_graph(self, activation: Activation) -> None:
        """A node ends its graph: all else in there is withdrawn, but what has come to its end."""
        plan = self.run.plan
        inside = plan.nodes[activation.vertex].call
        if inside is not None and plan.calls[inside].leave == activation.vertex:  # a graph that stands there ends it
            inside = plan.nodes[plan.calls[inside].enter].call
        if inside is None:
            end, depth = plan.topology.end, 0
            members = frozenset(range(1, end))
        else:
            call = plan.calls[inside]
            members, end, depth = call.members, call.leave, len(plan.topology.chain[call.leave])
        found = self.run.marking.within(activation.vertex, activation.stamp, depth)
        for item in [i for i in found if i.vertex in members and i.vertex != end]:
            self.withdraw(item)

    # -- limits ---------------------------------------------------------------------------------------

    def count(self, activation: Activation) -> None:
        """A node has finished: it counts for the limits on steps around it."""
        run = self.run
        for index in run.plan.tallied.get(activation.vertex, ()):
            cap = run.plan.caps[index]
            key = index, activation.stamp[: cap.depth]
            tally = run.tallies.get(key)
            if cap.kind == "steps" and tally is not None:
                tally.steps += 1
                if tally.steps >= cap.allowed and not tally.over:
                    self.reached.append((*key, None))

    def time_is_over(self, index: int) -> None:
        """A limit on seconds may have been reached, wherever it has."""
        run, cap = self.run, self.run.plan.caps[index]
        for (which, prefix), tally in list(run.tallies.items()):
            if which == index and not tally.over and run.active - tally.began >= cap.allowed - 1e-6:
                self.reached.append((index, prefix, None))

    def _go_on(self, index: int, prefix: Stamp, refused: Activation | None) -> None:
        """A limit is reached: what is inside is withdrawn, and its `then` starts with all that was seen there."""
        run, cap = self.run, self.run.plan.caps[index]
        items = [i for i in run.marking.within(cap.vertex, prefix, cap.depth) if i.vertex in cap.members]
        if not items or (refused is not None and refused.id not in run.live):
            return
        tally = run.tallies.get((index, prefix))
        if cap.edge is None:
            halt(run, self._stop(cap))
            return
        if tally is not None:
            tally.over = True
        source = refused or self._source(cap, prefix, items)
        before = len(self.started)
        self.send(cap.edge, source, run.revisions.merge([r for i in items for r in _revisions(i)]))
        for activation in self.started[before:]:
            self._refuse_conflicts(activation)
        for item in items:
            self.withdraw(item, lose=False)

    def _stop(self, cap: Cap) -> Halt:
        name = self.run.name(cap.vertex)
        where = "the run" if cap.vertex == 0 else f"'{name}'"
        return Halt("stopped", f"{where} has had its {cap.allowed:g} {cap.kind}", f"{cap.kind} of {where}", cap.allowed)

    def _source(self, cap: Cap, prefix: Stamp, items: list[Item]) -> Activation:
        """Where the edge of a limit leaves from: the limited node, in the latest turn that was reached."""
        chain = self.run.plan.topology.chain[cap.vertex]
        stamp, discriminator = prefix[: len(chain)], cast("Discriminator", ())
        if len(chain) < len(prefix):  # the node before the inside of a call
            discriminator = cast("tuple[Discriminator, int]", prefix[-1])[0]
        elif len(chain) > len(prefix):
            turn = max(cast("int", item.stamp[cap.depth]) for item in items)
            stamp = (*prefix, turn, *(0,) * (len(chain) - cap.depth - 1))
        around = sum(1 for c in stamp if isinstance(c, tuple) and c[1] >= 0)
        fans = _fans(items[0])[:around]
        return Activation("limit", cap.vertex, stamp, discriminator, _revisions(items[0])[0], fans, self.at)


def _revisions(item: Item) -> list[Revision]:
    return [t.revision for t in item.tokens] if isinstance(item, Wave) else [cast("Activation", item).revision]


def _fans(item: Item) -> Fans:
    return item.tokens[0].fans if isinstance(item, Wave) else cast("Activation", item).fans


def _conflict(field: str, cell: Conflict) -> ev.ErrorInfo:
    return ev.ErrorInfo("MergeConflict", f"field '{field}' was written by {' and '.join(cell.writers)} side by side")
