"""A run goes on with another form of its graph, or is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from orchestra_graph import Engine, Graph, GraphChanged, Item, Run, State, append, ask, later, node
from orchestra_graph.graph.question import Question

from .common import asked, database, done, events

pytestmark = pytest.mark.asyncio


class Review(State):
    text: str
    ok: bool = later()
    log: Annotated[list[str], append] = []


@node(writes="log")
async def draft(text: str) -> str:
    return f"draft {text}"


@ask(writes="ok")
async def approve(text: str) -> Question[bool]:
    return Question(f"Publish {text}?")


@node(writes="log")
async def publish(ok: bool) -> str:
    return f"publish {ok}"


@node(writes="log")
async def announce() -> str:
    return "announce"


def review(*steps: Any, version: str = "1", state: type[State] = Review) -> Graph[Any]:
    graph = Graph(state, name="review", version=version)
    graph.start(steps[0])
    graph.chain(*steps)
    return graph


async def parked(url: str, graph: Graph[Any], state: State, key: str = "k") -> None:
    async with Engine(url, graphs=[graph]) as engine:
        asked(await (await engine.start(graph, state, key=key)).wait())


async def go_on(url: str, graph: Graph[Any], *, answer: tuple[str, Any] | None = None, key: str = "k") -> Any:
    """The state at the end of the run, which is answered and goes on with this code."""
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get(key, graph)
        if answer is not None:
            await run.answer(*answer)
        return done(await run.wait())


async def test_a_paused_run_goes_on_with_an_added_node(tmp_path: Path) -> None:
    url = database(tmp_path)
    await parked(url, review(draft, approve, publish), Review(text="a"))
    graph = review(draft, approve, publish, announce)
    state = await go_on(url, graph, answer=("approve", True))
    assert state.log == ["draft a", "publish True", "announce"]
    async with Engine(url, graphs=[graph]) as engine:
        run: Run[Any] = await engine.get("k", graph)
        assert await events(run, "RunMoved", "RunResumed") == ["RunMoved", "RunResumed"]
        assert (await run.state()).log == state.log
