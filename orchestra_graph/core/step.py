"""One event, carried through: tokens move, limits act, joins fire, until nothing more follows.

Rule 1. A limit that is reached acts before any join is asked.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestra_graph.core.joins import RULES, Firing, Starved
from orchestra_graph.core.limits import Limited
from orchestra_graph.core.revisions import Conflict, Revision
from orchestra_graph.core.run import Halt, Token, Wave, activation_id
from orchestra_graph.core.status import halt
from orchestra_graph.core.tokens import conflict

__all__ = ["Step"]


class Step(Limited):
    """Looks at the waves when everything is in its place."""

    def settle(self) -> None:
        """Ask every wave whose answer may have changed, until nothing fires."""
        while self.reached or self.look:
            if self.reached:
                self.go_on(*self.reached.pop(0))
                continue
            looking, self.look = self.look, []
            for watcher in {id(w): w for w in looking}.values():
                if isinstance(watcher, Wave) and self.run.waves.get((watcher.join, watcher.stamp)) is watcher:
                    self._ask(watcher)
        run = self.run
        if not run.marking.root.total and run.lost and run.result is None and run.halt is None:
            # The last branch was taken in by a join that had fired: it has ended there.
            self._finish([max(run.lost, key=lambda revision: revision.index)])

    def _ask(self, wave: Wave) -> None:
        run = self.run
        rule = run.plan.topology.rule[wave.join]
        if not wave.fired and RULES[rule.kind].early(wave, rule, run.plan.topology):
            self.fire_early(wave)
        elif run.marking.blocked(wave):
            if rule.kind == "until" and not wave.fired and len(wave.tokens) > wave.asked:
                run.undecided[activation_id(run.name(wave.join), wave.stamp, ())] = wave
        elif not (wave.fired and self._may_come_back(wave)):
            self.forget(wave)
            if not wave.fired:
                self._close(wave)

    def _may_come_back(self, wave: Wave) -> bool:
        """Whether a branch that failed, and may be tried again, could still come to a wave that has fired."""
        blocks, excusing = self.run.plan.topology.blocks, self.run.excusing.values()
        return any(blocks(a.vertex, a.stamp, wave.join, wave.stamp) for other in excusing for a in other.excused)

    def fire_early(self, wave: Wave) -> None:
        """Fire with what has come; what comes later is absorbed."""
        rule = self.run.plan.topology.rule[wave.join]
        tokens, wave.tokens, wave.fired = wave.tokens, [], True
        self._fire(wave, [Firing((), tokens)], tokens)
        if rule.cancel_rest:
            self.withdraw_for(frozenset({wave.join}), wave.stamp, this_turn=False)
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
        errors = tuple((a.id, a.error) for a in wave.excused if a.error is not None)
        excused = self.bring_back(wave)
        reason += "".join(f"; {identity}: {error}" for identity, error in errors)
        halt(run, Halt("failed", reason, errors=errors, final=not excused))
        if wave.tokens or not excused:
            run.waves[wave.join, wave.stamp] = wave
        if excused:
            self.look.append(wave)  # it waits for them again

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
            self.refuse_conflicts(
                self.start(wave.join, wave.stamp, firing.discriminator, revision, fans, cause),
            )
        for token in tokens:
            if id(token) not in used:
                run.lost.append(token.revision.hold())
            token.revision.release()
            self.leave(wave.join, wave.stamp, token.inside, wave)
        self.dismiss(wave)

    def _finish(self, heads: list[Revision]) -> None:
        """END: everything that ended anywhere meets."""
        run = self.run
        run.result = run.revisions.merge(heads, run.lost).hold()
        for name, cell in run.result.seen().items():
            if isinstance(cell, Conflict) and run.plan.sees(run.plan.topology.end, name):
                error = conflict(name, cell)
                halt(run, Halt("failed", error.message, errors=(("END", error),), final=True))
