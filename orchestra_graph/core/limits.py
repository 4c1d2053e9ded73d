"""Limits of loops and of whole graphs: what is counted, and how a run goes on from there."""

from __future__ import annotations

from typing import cast

from orchestra_graph.core.marking import Item
from orchestra_graph.core.revisions import Revision
from orchestra_graph.core.run import Activation, Fans, Halt, Wave
from orchestra_graph.core.status import halt
from orchestra_graph.core.withdraw import Withdrawals
from orchestra_graph.graph.plan import Cap
from orchestra_graph.graph.topology import Discriminator, Stamp, passes_in

__all__ = ["Limited"]


class Limited(Withdrawals):
    """Counts, and leads on where a limit is reached."""

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
            if which != index or tally.over or tally.began is None:
                continue
            if run.active - tally.began >= cap.allowed - 1e-6:
                self.reached.append((index, prefix, None))

    def go_on(self, index: int, prefix: Stamp, refused: Activation | None) -> None:
        """A limit is reached: what is inside is withdrawn, and its `then` starts with all that was seen there."""
        run, cap = self.run, self.run.plan.caps[index]
        items = self.inside(cap.vertex, prefix, cap.members)
        if not any(map(_revisions, items)) or (refused is not None and refused.id not in run.live):
            return
        tally = run.tallies.get((index, prefix))
        if tally is not None:
            tally.over = True
        if cap.edge is None:
            halt(run, self._stop(cap))
            return
        run.led_on.append(cap.edge)
        source, leaves = refused or self._source(cap, prefix, items), run.plan.topology.edges[cap.edge][0]
        if leaves != source.vertex:
            source = self.seen_from(leaves, source)
        before = len(self.started)
        self.send(cap.edge, source, run.revisions.merge([r for i in items for r in _revisions(i)]))
        for activation in self.started[before:]:
            self.refuse_conflicts(activation)
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
        around = passes_in(stamp)
        first = next(item for item in items if _revisions(item))
        return Activation(
            "limit", cap.vertex, stamp, discriminator, _revisions(first)[0], _fans(first)[:around], self.at
        )


def _revisions(item: Item) -> list[Revision]:
    return [t.revision for t in item.tokens] if isinstance(item, Wave) else [cast("Activation", item).revision]


def _fans(item: Item) -> Fans:
    return item.tokens[0].fans if isinstance(item, Wave) else cast("Activation", item).fans
