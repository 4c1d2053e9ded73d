"""What the tests of the runtime share: a state with one field of each kind, and small helpers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest

from orchestra_graph import Engine, Graph, Node, Run, State, add, append, extend, later
from orchestra_graph.runtime.outcomes import Done, Failed, OpenQuestion, Outcome, Stopped, Waiting

from .virtual import LoopClock


class Sheet(State):
    text: str = ""
    left: str = later()
    right: str = later()
    ok: bool = later()
    count: int = 0
    items: list[int] = []
    log: Annotated[list[str], append] = []
    notes: Annotated[list[str], extend] = []
    total: Annotated[int, add] = 0


def chain(*nodes: Node[Any], name: str = "line") -> Graph[Sheet]:
    """One after the other."""
    graph = Graph(Sheet, name=name)
    graph.start(nodes[0])
    graph.chain(*nodes)
    return graph


def virtual(*graphs: Graph[Any], **more: Any) -> Engine:
    """An engine without a database whose clock is that of the loop."""
    return Engine(graphs=graphs, clock=LoopClock(), **more)


def done(outcome: Outcome[Any]) -> Any:
    """The state of a run that must be done."""
    assert isinstance(outcome, Done), outcome
    return outcome.state


def failed(outcome: Outcome[Any], error: str = "") -> Failed[Any]:
    """The outcome of a run that must have failed, with this type of error."""
    assert isinstance(outcome, Failed), outcome
    if error:
        assert error in [e.type for _, e in outcome.errors], outcome.errors
    return outcome


def stopped(outcome: Outcome[Any]) -> Stopped[Any]:
    assert isinstance(outcome, Stopped), outcome
    return outcome


def asked(outcome: Outcome[Any]) -> list[OpenQuestion]:
    """The questions of a run that must wait."""
    assert isinstance(outcome, Waiting), outcome
    return list(outcome.questions)


async def events(run: Run[Any], *kinds: str) -> list[str]:
    """The kinds of the log rows of a run; only *kinds* where some are named."""
    rows = await run._engine.store.log(run._row.number)
    return [row.kind for row in rows if not kinds or row.kind in kinds]


async def until(holds: Callable[[], object]) -> None:
    """Let everybody else go on until something holds of which nobody tells."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0)


async def until_logged(run: Run[Any], *kinds: str) -> None:
    """Wait until one of these stands in the log of a run."""
    async with asyncio.timeout(20):
        while not await events(run, *kinds):
            await run._engine.store.changes(20)


async def until_asked(run: Run[Any]) -> None:
    """Wait until a question of a run is open."""
    async with asyncio.timeout(20):
        while not await run.questions():
            await run._engine.store.changes(20)


async def bodies(run: Run[Any], kind: str) -> list[str]:
    """The bodies of the log rows of one kind."""
    return [row.body for row in await run._engine.store.log(run._row.number) if row.kind == kind]


def database(folder: Path) -> str:
    return f"sqlite:///{folder}/runs.db"


both_stores = pytest.mark.parametrize("place", ["memory", "sqlite"])


def url_of(place: str, folder: Path) -> str | None:
    return None if place == "memory" else database(folder)
