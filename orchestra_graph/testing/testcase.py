"""Playing a recorded run again: what the files that `orchestra testcase` writes are made of.

Rule 1. Nothing of the outside is needed: the run is kept in memory, time is virtual, and what is not run needs no
resources.
Rule 2. Activations end in the order in which they ended then: who was faster then is faster again. Where the code goes
another way than then, it goes on in its own order, and the path says so.
"""

from __future__ import annotations

import asyncio
import builtins
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from orchestra_graph.core.run import Activation
from orchestra_graph.errors import RunEnded
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.policies import Limits
from orchestra_graph.graph.question import Question
from orchestra_graph.runtime.cache import writes_in
from orchestra_graph.runtime.driver import Drive
from orchestra_graph.runtime.engine import Engine
from orchestra_graph.runtime.fleet import Driven
from orchestra_graph.runtime.invoke import Result
from orchestra_graph.runtime.outcomes import Outcome, Waiting
from orchestra_graph.store.base import LogRow
from orchestra_graph.testing.clock import VirtualClock, run_virtually

__all__ = ["Played", "graph_at", "play"]

_PATIENCE = 30 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class Played:
    """How a run went that was played again.

    Attributes:
        path: The activations that ended, in that order.
        outcome: How it stands in the end: ``done``, ``waiting``, ``failed`` or ``stopped``.
        state: Its state then, as JSON has it.
    """

    path: list[str]
    outcome: str
    state: Mapping[str, Any]


def graph_at(target: str, file: str) -> Graph[Any]:
    """The graph that a target names.

    Args:
        target: ``package.module:graph``, or ``path/file.py:graph`` as seen from the folder of *file*.
        file: The file of the test.
    """
    from orchestra_graph.cli.config import Named
    from orchestra_graph.cli.targets import one_graph

    return one_graph(Named(target, "TARGET", Path(file).resolve().parent)).graph


def play(
    graph: Graph[Any],
    input: Mapping[str, Any],
    /,
    *,
    answers: Mapping[str, Any] | None = None,
    messages: Sequence[tuple[str, str, Any]] = (),
    results: Mapping[str, Mapping[str, Any]] | None = None,
    path: Sequence[str] = (),
    limits: Mapping[str, Any] | None = None,
    resources: Any = (),
) -> Played:
    """Play a recorded run again.

    Args:
        graph: Its graph.
        input: What it starts with, as JSON has it.
        answers: What people say, by question, as JSON.
        messages: What is sent to it: id, channel and payload.
        results: What its activations give; None: its nodes are run, on a real event loop.
        path: In which order they end; that of *results* where it is left out.
        limits: How far it may go.
        resources: For nodes that are run.

    Returns:
        How it went.
    """
    player = _Player(graph, input, answers or {}, messages, results, path or tuple(results or ()), limits, resources)
    return asyncio.run(player.play(None)) if results is None else run_virtually(player.play(VirtualClock()))


class _Player:
    def __init__(
        self,
        graph: Graph[Any],
        input: Mapping[str, Any],
        answers: Mapping[str, Any],
        messages: Sequence[tuple[str, str, Any]],
        results: Mapping[str, Mapping[str, Any]] | None,
        path: Sequence[str],
        limits: Mapping[str, Any] | None,
        resources: Any,
    ):
        self.graph, self.input, self.answers, self.messages = graph, input, answers, messages
        self.results, self.order = results, _Order(path if results is not None else ())
        self.limits = None if limits is None else Limits(**limits)
        self.resources = resources

    async def play(self, clock: VirtualClock | None) -> Played:
        threads = 40 if self.results is None else 0
        engine = _PlayingEngine(
            graphs=[self.graph], clock=clock, threads=threads, resources=self.resources, hooks=[self.order.hear]
        )
        engine.player = self
        if self.results is not None:
            engine._resources.check = lambda plan: None  # type: ignore[method-assign]
        async with engine:
            state = self.graph.state.model_validate_json(to_json(dict(self.input)))
            run = await engine.start(self.graph, state, key="played", limits=self.limits)
            for name, channel, payload in self.messages:
                with suppress(RunEnded):
                    await run.send_json(channel, payload, id=name)
            while True:
                outcome = await run.wait(timeout=_PATIENCE if clock else None)
                asked = outcome.questions if isinstance(outcome, Waiting) else ()
                known = [question for question in asked if question.id in self.answers]
                if not known:
                    break
                known.sort(key=lambda question: self.order.place(question.id.partition("!")[0]))
                await run.answer_json(known[0].id, self.answers[known[0].id])
            rows = await engine.store.log(run._row.number)
        return Played(path=_path(rows), outcome=_name(outcome), state=outcome.state.model_dump(mode="json"))

    def direct(self, drive: Drive) -> None:
        """Let the nodes of a drive give what was recorded."""
        drive.cache.find = lambda activation: self._find(drive, activation)  # type: ignore[method-assign]
        call = drive.invoker.call

        async def asked(activation: Activation, *more: Any, **named: Any) -> Any:
            if self.results is not None and drive.invoker.plan.nodes[activation.vertex].kind == "ask":
                was_asked = activation.id in self.answers or activation.id not in self.results
                return Question("recorded") if was_asked else None
            return await call(activation, *more, **named)

        drive.invoker.call = asked  # type: ignore[method-assign]

    async def _find(self, drive: Drive, activation: Activation) -> Result | None:
        node = drive.invoker.plan.nodes[activation.vertex]
        if self.results is None or node.kind == "ask":
            return None
        await self.order.turn(activation.id)
        found = self.results.get(activation.id)
        if found is None:
            raise LookupError(f"'{activation.id}' did not run when this was recorded")
        if "error" in found:
            raise _error(drive, *found["error"])
        return drive.invoker.recalled(activation, *writes_in(drive.invoker.plan, node, found))


class _PlayingEngine(Engine):
    player: _Player

    def _drive(self, *args: Any, **more: Any) -> Driven:
        driven = super()._drive(*args, **more)
        if self.player.results is not None:
            self.player.direct(driven.drive)
            driven.drive.scribe.on_durable = self.player.order.written
        return driven


class _Order:
    """Lets activations end in a given order."""

    def __init__(self, path: Sequence[str]):
        self._places = {identity: place for place, identity in enumerate(path)}
        self._path, self._ended = list(path), set[str]()
        self._changed = asyncio.Event()

    def place(self, identity: str) -> int:
        """Where an activation stands; behind all others where it is not known."""
        return self._places.get(identity, len(self._path))

    def hear(self, event: object) -> None:
        """Nothing: that there is a hook has the engine tell of what is durable."""

    def written(self, rows: Sequence[LogRow]) -> None:
        """These are durable."""
        self._ended.update(_path(rows))
        self._changed.set()
        self._changed = asyncio.Event()

    async def turn(self, identity: str) -> None:
        """Wait until all that ended before have ended, or nothing happens any more.

        Who never ended comes last: it was withdrawn by something that is still to come.
        """
        before = set(self._path[: self.place(identity)])
        with suppress(TimeoutError):
            while not before <= self._ended:
                async with asyncio.timeout(3600):
                    await self._changed.wait()


def _path(rows: Sequence[LogRow]) -> list[str]:
    told = [(row.kind, json.loads(row.body)) for row in rows if row.kind in ("NodeFinished", "NodeFailed")]
    return [body["id"] for kind, body in told if kind == "NodeFinished" or "retry_at" not in body]


def _name(outcome: Outcome[Any]) -> str:
    return type(outcome).__name__.lower()


def _error(drive: Drive, kind: str, message: str) -> Exception:
    """An error of the recorded type, as far as the graph or Python knows it."""
    known: dict[str, type] = {found.__name__: found for edge in drive.invoker.plan.edges for found in edge.errors}
    found = known.get(kind) or getattr(builtins, kind, None)
    cls: type[Exception] = type(kind, (Exception,), {})
    if isinstance(found, type) and issubclass(found, Exception):
        cls = found
    try:
        return cls(message)
    except TypeError:  # it wants something else than a text
        bare: Exception = cls.__new__(cls)
        bare.args = (message,)
        return bare
