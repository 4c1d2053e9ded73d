"""Forks of random runs: with results taken from the log they end as without, and without an update nothing runs."""

from __future__ import annotations

import inspect
import zlib
from random import Random
from typing import Annotated, Any

import pytest

from orchestra_graph import Graph, Node, State, append, node
from orchestra_graph.core.run import Activation
from orchestra_graph.runtime.driver import Drive
from orchestra_graph.runtime.earlier import Earlier
from orchestra_graph.runtime.outcomes import Done
from tests.graph.programs import Case, write

from .common import done, virtual

NAMES = ("n0", "n1", "n2", "n3", "n4", "n5")


class Numbers(State):
    n0: int = 0
    n1: int = 0
    n2: int = 0
    n3: int = 0
    n4: int = 0
    n5: int = 0
    log: Annotated[list[str], append] = []


def _hash(*what: object) -> int:
    return zlib.crc32(repr(what).encode()) % 10


class Drawn:
    """A graph of nodes that compute what they write from what they read: layers, joins, a loop now and then."""

    def __init__(self, seed: int):
        self.chance = Random(seed)
        self.ran: list[str] = []
        self.graph = Graph(Numbers, name=f"drawn{seed}")
        before: list[Node[Any]] = []
        free = list(NAMES)
        self.chance.shuffle(free)
        number, loops = 0, False
        while free:
            wide = min(len(free), self.chance.choice((1, 1, 2, 3)))
            layer = [self._node(number + i, free.pop()) for i in range(wide)]
            number += len(layer)
            if before:
                self._lead(before, layer, loops)
            else:
                self.graph.start(layer if len(layer) > 1 else layer[0])
            before, loops = layer, len(layer) == 1 and self.chance.random() < 0.5

    def _node(self, number: int, field: str) -> Node[Any]:
        name, reads = f"w{number}", self.chance.sample(NAMES, self.chance.choice((0, 1, 2)))
        reads = sorted({*reads, *([field] if self.chance.random() < 0.3 else [])})

        async def work(**values: int) -> int:
            self.ran.append(name)
            return _hash(name, sorted(values.items()))

        work.__annotations__ = {**dict.fromkeys(reads, int), "return": int}
        parameters = [inspect.Parameter(r, inspect.Parameter.KEYWORD_ONLY, annotation=int) for r in reads]
        work.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
        return node(writes=field, name=name)(work)

    def _lead(self, before: list[Node[Any]], layer: list[Node[Any]], loops: bool) -> None:
        """Edges from one layer to the next; with a loop back to the only node of the first."""
        if not loops:
            self.graph.edge(before if len(before) > 1 else before[0], layer if len(layer) > 1 else layer[0])
            return
        (around,) = before

        @node(name=f"again_{around.name}", writes="log")
        async def again(log: list[str], n0: int) -> str:
            self.ran.append(f"again_{around.name}")
            return f"{len(log)}:{n0}"

        def more(log: list[str], n1: int) -> bool:
            return len(log) < 2 + n1 % 3

        self.graph.switch(around, more, {True: again, False: layer})
        self.graph.edge(again, around)


@pytest.mark.asyncio
@pytest.mark.parametrize("seeds", [range(first, first + 12) for first in range(0, 36, 12)], ids=str)
async def test_taking_results_from_the_log_gives_what_running_everything_gives(
    seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = ran = 0
    take = Earlier.take

    async def nothing(self: Earlier) -> bool:
        return False

    for seed in seeds:
        drawn, chance = Drawn(seed), Random(seed)
        async with virtual(drawn.graph) as engine:
            run = await engine.start(drawn.graph, Numbers(n1=chance.randrange(9)), key="run")
            done(await run.wait())
            steps = await run.history()
            for step in sorted({0, *(chance.randrange(len(steps)) for _ in range(2))}):
                update = {chance.choice(NAMES): chance.randrange(100)}
                drawn.ran.clear()
                fork = await run.fork(at=step, update=update)
                final = done(await fork.wait())
                again, reused = len(drawn.ran), len(await fork.reused())
                assert (await fork.replay()).same
                monkeypatch.setattr(Earlier, "take", nothing)
                drawn.ran.clear()
                naive = await run.fork(at=step, update=update)
                assert done(await naive.wait()) == final, (seed, step, update)
                monkeypatch.setattr(Earlier, "take", take)
                assert again + reused == len(drawn.ran)
                taken, ran = taken + reused, ran + again
    assert taken > 20
    assert ran > 20


@pytest.mark.asyncio
@pytest.mark.parametrize("seeds", [range(first, first + 20) for first in range(0, 60, 20)], ids=str)
async def test_without_an_update_a_fork_ends_the_same_and_runs_nothing(
    seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of programs whose nodes give something else each time; where nothing failed, and no limit on time was met."""
    launched: list[str] = []
    launch = Drive._launch
    tried = 0

    def noted(self: Drive, activation: Activation) -> None:
        launched.append(activation.id)
        launch(self, activation)

    for seed in seeds:
        graph = write(Random(seed), more=seed % 2 == 0).accepted()
        if graph is None:
            continue
        async with virtual(graph) as engine:
            run = await engine.start(graph, Case(), key="run")
            outcome = await run.wait()
            steps = await run.history()
            if not isinstance(outcome, Done) or any(s.what in ("NodeFailed", "JoinAsked") for s in steps):
                continue
            with monkeypatch.context() as patch:
                patch.setattr(Drive, "_launch", noted)
                chance = Random(seed)
                for step in sorted({0, len(steps) - 1, *(chance.randrange(len(steps)) for _ in range(3))}):
                    fork = await run.fork(at=step)
                    assert done(await fork.wait()) == outcome.state, (seed, step)
                    assert launched == [], (seed, step)
                    tried += 1
    assert tried > 5
