"""`replay`: fold the log of a run once more, and see whether all that was kept beside it says the same.

Rule 1. Nothing is written, and no node is run. Conditions are asked again: they are user code, and must be pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.core.revisions import Conflict, View
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.forms import parts_of
from orchestra_graph.runtime.invoke import Invoker
from orchestra_graph.runtime.load import load_run
from orchestra_graph.runtime.wellformed import fold
from orchestra_graph.store.base import RunRow, Store

__all__ = ["Replay", "replay_of"]

_LOOKS = 5  # at a run that somebody drives meanwhile, before it is compared as it is
_SHORT = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of folding the log of a run once more; printed, it says so.

    Attributes:
        run: The key of the run.
        rows: How many rows its log has.
        choices: How many recorded choices were made again: edges, the items of an `each`, answers of `until`.
        status: What the run has come to, by its log.
        differences: Where something else came out, one line each.
    """

    run: str
    rows: int
    choices: int
    status: str
    differences: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether everything came out as it was."""
        return not self.differences

    def __str__(self) -> str:
        done = f"{self.rows} rows, {self.choices} choices, {self.status}"
        if self.same:
            return f"run {self.run} replays to the same: {done}"
        return "\n".join([f"run {self.run} does not replay to the same: {done}", *(f"  {d}" for d in self.differences)])


async def replay_of(store: Store, row: RunRow, plan: Plan, invoker: Invoker) -> Replay:
    """Fold the log of a run from its first row on, and compare.

    Args:
        store: Where it is kept.
        row: The run.
        plan: The graph in the code.
        invoker: Chooses edges again; calls no node.

    Raises:
        StoreBroken: The log cannot be read, or something in it cannot have happened.
    """
    for _ in range(_LOOKS):
        before = await store.find(row.key) or row
        replayer = _Replayer(store, before, plan, invoker)
        await replayer.fold_all()
        loaded = (await load_run(store, plan, before)).run
        after = await store.find(row.key) or row
        if before == after and loaded.seq == replayer.rows:
            break
    replayer.compare(loaded, after)
    return replayer.report()


class _Replayer:
    def __init__(self, store: Store, row: RunRow, plan: Plan, invoker: Invoker):
        self.store, self.row, self.plan, self.invoker = store, row, plan, invoker
        self.run = RunState.of(plan)
        self.rows, self.choices = 0, 0
        self.differences: list[str] = []

    async def fold_all(self) -> None:
        rows = await self.store.log(self.row.number)
        self.rows = len(rows)
        for part in await parts_of(self.store, self.row, rows, self.plan):
            self.run = part.run
            for logged, event in part.rows:
                if self.run.plan is self.plan:  # of another form there is no code
                    self._choose_again(event)
                fold(self.run, logged, event, self.store.url, self.row.key)
                self.run.closed.clear()
                self.run.led_on.clear()

    # -- choices ------------------------------------------------------------------------------------

    def _choose_again(self, event: ev.Event) -> None:
        try:
            if isinstance(event, ev.NodeFinished) and event.id in self.run.live:
                self._route_again(self.run.live[event.id], event)
            elif isinstance(event, ev.JoinAsked) and event.error is None and event.id in self.run.undecided:
                self.choices += 1
                found = self.invoker.holds(self.run, self.run.undecided[event.id])
                self._differ(f"row {self.run.seq}, {event.id}: whether enough has come", event.fire, found)
        except Exception as error:  # whatever a condition raises
            identity = getattr(event, "id", "")
            problem = f"choosing again raised {type(error).__name__}: {error}"
            self.differences.append(f"row {self.run.seq}, {identity}: {problem}")

    def _route_again(self, activation: Activation, event: ev.NodeFinished) -> None:
        found = self.invoker.rerouted(activation, event.writes, event.replaced)
        self.choices += 1
        where = f"row {self.run.seq}, {event.id}"
        self._differ(f"{where}: where it goes", self._edges(event.taken), self._edges(found.taken))
        for edge in {*event.items, *found.made}:
            self._differ(f"{where}: the items", list(event.items.get(edge, ())), list(found.made.get(edge, ())))

    def _edges(self, taken: Any) -> list[str]:
        names = [(self.run.name(self.plan.edges[edge].target), times) for edge, times in taken]
        return [name if times is None else f"{name} ({times} times)" for name, times in names]

    def _differ(self, what: str, recorded: Any, found: Any) -> None:
        if recorded != found:
            self.differences.append(f"{what}: {_shown(recorded)} was recorded, {_shown(found)} comes out now")

    # -- what is kept beside the log ----------------------------------------------------------------

    def compare(self, loaded: RunState, row: RunRow) -> None:
        """Compare with the snapshot and what came after it, and with what the store says of the run."""
        mine, other = dict(_picture(self.run)), dict(_picture(loaded))
        for what in [*mine, *(name for name in other if name not in mine)]:
            log, kept = mine.get(what, "nothing"), other.get(what, "nothing")
            if log != kept:
                self.differences.append(f"{what}: {_shown(log)} by the log, {_shown(kept)} by the snapshot")
        status = "running" if row.status == "waiting" else row.status
        if status != self.run.status:
            self.differences.append(f"status: '{self.run.status}' by the log, '{row.status}' in the database")

    def report(self) -> Replay:
        return Replay(
            run=self.row.key,
            rows=self.rows,
            choices=self.choices,
            status=self.run.status,
            differences=tuple(self.differences),
        )


def _picture(run: RunState) -> Iterator[tuple[str, Any]]:
    """What a run is at, as named values that can be compared."""
    counts = (run.seq, run.steps, run.steps_before, sorted(run.turns.items(), key=repr), run.active)
    yield "the numbers of rows, steps and turns", counts
    yield "how it stands", (run.status, run.halt)
    for activation in run.live.values():
        status = "ready" if activation.status == "running" else activation.status
        facts = (status, activation.attempt, activation.started, activation.question, activation.error)
        yield f"{activation.id}: how it stands", facts
        yield from _fields(activation.id, activation.revision.seen())
    for wave in run.waves.values():
        name = f"{run.name(wave.join)} {wave.stamp}"
        yield f"{name}: what has come", (wave.fired, len(wave.tokens), [a.id for a in wave.excused])
        for number, token in enumerate(wave.tokens):
            yield from _fields(f"{name}, arrival {number}", token.revision.seen())
    if run.result is not None:
        yield from _fields("the end", run.result.seen())


def _fields(who: str, view: View) -> Iterator[tuple[str, Any]]:
    for name, cell in view.items():
        value: Any = ("conflict", cell.writers, cell.why) if isinstance(cell, Conflict) else cell.value
        yield f"{who}: field '{name}'", value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"
