"""Random programs whose end is the same under every schedule: what a node does depends on its activation alone.

Constructs that are decided by who is faster (races, `first`, `until`) are left out; those are in
`tests/kill/constructs`, decided by construction.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from orchestra_graph import Context, Done, Engine, Graph, Node, node
from orchestra_graph.testing.clock import VirtualClock, run_virtually
from tests.graph.programs import Boom, Case, Part, Program, Step, some_value

__all__ = ["Steady", "steady_graph"]


@dataclass
class Steady(Program):
    """A program whose nodes always do the same."""

    seed: int = 0

    def block(self) -> tuple[int, int]:
        if self.budget <= 2:
            only = self.step()
            return only, only
        makers: list[Callable[[], tuple[int, int]]] = [
            self._line,
            self._fork,
            self._switch,
            self._condition,
            self._loop,
        ]
        if "items" in self.state.model_fields:
            makers.append(self._each)
        if self.more:
            makers += [self._error, self._call]
        return self.rng.choice(makers)()

    def _call(self) -> tuple[int, int]:
        """A graph that stands there; none that ends before its time, for what is withdrawn then is a matter of time."""
        place = self._placed(Step())
        program = Steady(
            self.rng, min(self.budget, 5), Part, self.more, steps=self.steps, wrong=self.wrong, seed=self.seed
        )
        program.begin()
        self.budget -= 3
        self.inner[place] = program
        return place, place

    def _node(self, number: int) -> Node[Any]:
        step, seed = self.steps[number], self.seed
        returns = step.writes[1] if step.writes else None
        kind = Random(f"{seed}/{number}").choice(("async", "async", "slow", "sync"))

        def decide(ctx: Context) -> Any:
            chance = Random(f"{seed}/{ctx.id}")
            if step.raises and chance.random() < 0.5:
                raise Boom
            turns = sum(c.isdigit() for c in ctx.id)
            value = some_value(returns, chance)
            # After some turns a loop is left.
            return False if step.writes and step.writes[0] == "flag" and turns > 1 and returns is bool else value

        async def work(**given: Any) -> Any:
            for _ in range(Random(f"{seed}/{given['ctx'].id}/waits").choice((0, 1, 3))):
                await asyncio.sleep(0)
            return decide(given["ctx"])

        def sync_work(**given: Any) -> Any:
            return decide(given["ctx"])

        made: Any = sync_work if kind == "sync" else work
        made.__annotations__ = {**step.reads, "ctx": Context, "return": returns}
        parameters = [inspect.Parameter(f, inspect.Parameter.KEYWORD_ONLY) for f in (*step.reads, "ctx")]
        made.__signature__ = inspect.Signature(parameters)
        return node(writes=step.writes[0] if step.writes else None, name=f"n{number}")(made)


def steady_graph(seed: int, *, more: bool = True) -> Graph[Any]:
    """A random graph that comes to an end; the same for the same seed."""
    attempt = 0
    while True:
        rng = Random(f"steady {seed}/{attempt}")
        attempt += 1
        program = Steady(rng, budget=rng.choice((4, 6, 9)), more=more, seed=seed)
        program.begin()
        graph = program.accepted()
        if graph is not None and len(graph.compile().nodes) >= 3 and run_virtually(_ends(graph)):
            return graph


async def _ends(graph: Graph[Any]) -> bool:
    """Whether it does, soon and well."""
    async with Engine(graphs=[graph], clock=VirtualClock(), threads=0) as engine:
        run = await engine.start(graph, Case())
        outcome = await run.wait()
        rows = await engine.store.log(run._row.number)
        return isinstance(outcome, Done) and 4 <= len(rows) <= 60
