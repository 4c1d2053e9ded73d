"""One event, carried through: tokens move, limits act, joins fire, until nothing more follows.

Rule 1. A limit that is reached acts before any join is asked.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestra_graph.core.joins import RULES, Firing, Starved
from orchestra_graph.core.limits import Limited
from orchestra_graph.core.revisions import Conflict, Revision
from orchestra_graph.core.run import Halt, Token, Wave, activation_id
from orchestra_graph.core.status import halt, set_status
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
            waves = [w for w in {id(w): w for w in looking}.values() if isinstance(w, Wave)]
            # One that must fail brings back what it did without, before a join behind it takes that for gone.
            for wave in sorted(waves, key=lambda w: not w.excused):
                if self.run.waves.get((wave.join, wave.stamp)) is wave:
                    self._ask(wave)

    def _ask(self, wave: Wave) -> None:
        run = self.run
        rule = run.plan.topology.rule[wave.join]
        if not wave.fired and RULES[rule.kind].early(wave, rule, run.plan.topology):
            self.fire_early(wave)
        elif run.marking.blocked(wave):
            if rule.kind == "until" and not wave.fired and len(wave.tokens) > wave.asked:
                run.undecided[activation_id(run.name(wave.join), wave.stamp, ())] = wave
        else:
            self.forget(wave)
            if not wave.fired:
                self._close(wave)

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
        run.lost += [activation.revision for activation in wave.excused]
        wave.excused = []

    def _finish(self, heads: list[Revision]) -> None:
        """END: everything that ended anywhere meets."""
        run = self.run
        run.result = run.revisions.merge(heads, run.lost).hold()
        for name, cell in run.result.seen().items():
            if isinstance(cell, Conflict) and not run.plan.schema.fields[name].private:
                error = conflict(name, cell)
                halt(run, Halt("failed", error.message, errors=(("END", error),), final=True))
