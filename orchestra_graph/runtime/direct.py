"""`Graph.run`: a run from start to end in this process, without a database."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from orchestra_graph.graph.builder import Graph
from orchestra_graph.runtime.engine import Engine
from orchestra_graph.runtime.outcomes import Waiting
from orchestra_graph.state.schema import State

__all__ = ["run_graph"]

S = TypeVar("S", bound=State)


async def run_graph(
    graph: Graph[S], state: S, *, on_question: Callable[[Any], Any] | None = None, resources: Any = ()
) -> S:
    """Drive a run to its end; questions are answered by *on_question*."""
    async with Engine(graphs=[graph], resources=resources) as engine:
        run = await engine.start(graph, state)
        while on_question is not None:
            outcome = await run.wait()
            if not isinstance(outcome, Waiting):
                break
            for question in outcome.questions:
                answer = on_question(question)
                await run.answer(question.id, await answer if inspect.isawaitable(answer) else answer)
        return await run.result()
