"""What a node may know about where it runs."""

from __future__ import annotations

import logging

import pytest

from orchestra_graph import Context, Engine, Graph, Item, node
from orchestra_graph.core.events import ErrorInfo

from .common import Sheet


def test_a_context_can_be_made_by_hand_for_a_test() -> None:
    context = Context(run="k", graph="g", node="work", id="work@1#3")
    assert context.idempotency_key == "k/work@1#3"
    assert (context.attempt, context.turn, context.error) == (1, None, None)
    context.log.info("it has a logger, too")
    with pytest.raises(AttributeError):
        context.run = "other"  # type: ignore[misc]
    assert Context(run="k", graph="g", node="n", id="n", error=ErrorInfo("E", "m")).error == ErrorInfo("E", "m")


@pytest.mark.asyncio
async def test_a_node_knows_its_run_its_turn_and_its_item(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen: list[Context] = []

    @node(writes="count")
    async def step(count: int, ctx: Context) -> int:
        seen.append(ctx)
        ctx.log.info("turn %s", ctx.turn)
        return count + 1

    @node
    async def work(item: Item[int], ctx: Context) -> None:
        seen.append(ctx)

    @node
    async def collect() -> None: ...

    def more(count: int) -> bool:
        return count < 2

    graph = Graph(Sheet, name="g")
    graph.start(step)
    graph.edge(step, step, when=more)
    graph.each(step, lambda count: [7, 8] if count == 2 else [], work, collect=collect)
    async with Engine(graphs=[graph]) as engine:
        await (await engine.start(graph, Sheet(), key="k")).result()
    assert [(c.run, c.graph, c.node) for c in seen[:2]] == [("k", "g", "step")] * 2
    assert [(c.id, c.turn) for c in seen[:2]] == [("step@0", 0), ("step@1", 1)]
    keys = [c.idempotency_key for c in seen]
    assert len(set(keys)) == len(keys) == 4
    records = [r for r in caplog.records if r.getMessage().startswith("turn")]
    assert [r.__dict__["activation"] for r in records] == ["step@0", "step@1"]
    assert {r.__dict__["run"] for r in records} == {"k"}
