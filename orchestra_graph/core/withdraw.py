"""Work that is withdrawn: by a join that has enough, by the winner of a race, by a node that ends its graph.

Rule 1. Work is withdrawn for a join only where every way from it leads there: what also leads elsewhere goes on.
Rule 2. What it has committed to reducers has happened, and counts at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import cast

from orchestra_graph.core.events import ErrorInfo
from orchestra_graph.core.marking import Item
from orchestra_graph.core.run import Activation, RunState, Wave, activation_id
from orchestra_graph.core.status import set_status
from orchestra_graph.core.tokens import Tokens
from orchestra_graph.graph.topology import Stamp, passes_in

__all__ = ["Withdrawals", "excuser"]


def excuser(run: RunState, activation: Activation) -> int | None:
    """The join that can do without an activation, should it fail for good; None where there is none."""
    join, leaves = run.plan.topology.excusing.get(activation.vertex, (None, ()))
    alone = all(_is_alone(run, activation, leave) for leave in leaves)
    return join if alone else None


def _is_alone(run: RunState, activation: Activation, leave: int) -> bool:
    """Whether nothing else is inside of a call."""
    depth = len(run.plan.topology.chain[leave])
    inside = run.marking.within(activation.vertex, activation.stamp, depth)
    return all(item is activation for item in inside)


class Withdrawals(Tokens):
    """Takes live items away."""

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
        self.forget(wave)
        for token in wave.tokens:
            if lose:
                run.lost.append(token.revision)
            else:
                token.revision.release()
            self.leave(wave.join, wave.stamp, token.inside, wave)
        self.dismiss(wave)

    def forget(self, wave: Wave) -> None:
        """A wave has closed, or is gone."""
        run = self.run
        del run.waves[wave.join, wave.stamp]
        if run.undecided:
            run.undecided.pop(activation_id(run.name(wave.join), wave.stamp, ()), None)

    def withdraw_for(self, joins: frozenset[int], stamp: Stamp, *, this_turn: bool) -> None:
        """Withdraw what can still reach one of *joins*, and nothing but them."""
        run = self.run
        only = run.plan.topology.funnel(joins)
        found: dict[Item, None] = {}
        for join in joins:
            ahead = run.marking.ahead(join, stamp, this_turn=this_turn)
            found.update(dict.fromkeys(item for item in ahead if only >> item.vertex & 1))
        for item in self.in_order(found):
            self.withdraw(item)

    def in_order(self, items: Iterable[Item]) -> list[Item]:
        """In their logical order: where they are kept they stand in another one after a resume."""
        key = self.run.plan.topology.key
        return sorted(items, key=lambda i: key(i.vertex, i.stamp, i.discriminator if isinstance(i, Activation) else ()))

    def inside(self, vertex: int, prefix: Stamp, members: Collection[int]) -> list[Item]:
        """What is live at one of *members*, with these coordinates around it."""
        found = self.run.marking.within(vertex, prefix, len(prefix))
        return self.in_order(item for item in found if item.vertex in members)

    def fail_over(self, activation: Activation, edges: Sequence[int], error: ErrorInfo) -> None:
        """An activation has failed, and the run goes on over *edges*: its own, or those of a graph that it is in.

        In the second case all of that call is withdrawn; what the failed activation had seen goes on.
        """
        topology = self.run.plan.topology
        vertex = topology.edges[edges[0]][0]
        source, items = activation, list[Item]()
        if vertex != activation.vertex:
            source = self.seen_from(vertex, activation)
            call = self.run.plan.nodes[vertex].call
            assert call is not None
            members = self.run.plan.calls[call].members
            items = [item for item in self.inside(vertex, source.stamp, members) if item is not activation]
        before = len(self.started)
        for edge in edges:
            self.send(edge, source, activation.revision, cause=error)
        for handler in self.started[before:]:  # what the failed node would have overwritten is in conflict still
            self.refuse_conflicts(handler)
        self.remove(activation)
        activation.revision.release()
        for item in items:
            self.withdraw(item)

    def excuse(self, activation: Activation) -> bool:
        """Whether a join can do without an activation that has failed for good; if so, it waits no longer for it."""
        run, topology = self.run, self.run.plan.topology
        join = excuser(run, activation)
        if join is None:
            return False
        key = join, activation.stamp[: len(topology.chain[join])]
        wave = run.waves.get(key)
        if wave is not None and wave.fired:
            run.lost.append(activation.revision)
            self.remove(activation)
            return True
        if wave is None:
            wave = run.waves[key] = Wave(*key)
        if not wave.excused:  # until it is known whether it can fire, the join itself holds up what is behind it
            wave.fans = activation.fans[: passes_in(wave.stamp)]
            self.enter(*key, wave.fans, wave)
            run.excusing[key] = wave
        self.remove(activation)
        activation.status = "queued"  # nowhere counted
        wave.excused.append(activation)
        self.look.append(wave)
        return True

    def dismiss(self, wave: Wave) -> None:
        """What a join did without is not needed any more."""
        if wave.excused:
            self.run.lost += [activation.revision for activation in wave.excused]
            wave.excused = []
            self._excuses_no_more(wave, wave)

    def _excuses_no_more(self, wave: Wave, item: Wave | None) -> None:
        run = self.run
        del run.excusing[wave.join, wave.stamp]
        self.leave(wave.join, wave.stamp, wave.fans, item)
        self.look += [other for other in run.waves.values() if other.fired]

    def bring_back(self, wave: Wave) -> list[Activation]:
        """What a join did without has failed for good after all, until somebody retries."""
        excused, wave.excused = wave.excused, []
        for activation in excused:
            self.run.live[activation.id] = activation
            set_status(self.run, activation, "failed")
            self.enter(activation.vertex, activation.stamp, activation.fans, activation)
        if excused:
            self._excuses_no_more(wave, None if wave.tokens else wave)
        return excused

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
            for rival in sorted(rivals):
                for item in self.in_order(self._standing(rival, stamp)):
                    self.withdraw(item)
            self.withdraw_for(rivals, stamp, this_turn=True)
            for rival in rivals:
                wave = self.run.waves.setdefault((rival, stamp), Wave(rival, stamp))
                wave.fired = True
                self.look.append(wave)

    def _standing(self, rival: int, stamp: Stamp) -> Iterable[Item]:
        """What stands at a member of a race; of a graph that stands there, everything inside."""
        marking, call = self.run.marking, self.run.plan.opens.get(rival)
        yield from marking.at(rival, stamp)
        if call is not None:
            yield from self.inside(rival, stamp, call.members)

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
        for item in self.inside(activation.vertex, activation.stamp[:depth], members):
            if item.vertex != end:
                self.withdraw(item)
