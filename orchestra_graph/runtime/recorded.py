"""A recorded run, as a test can have it: what came in, what its nodes gave, which way it took, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pprint import pformat
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.errors import RunEnded
from orchestra_graph.runtime.blobs import read_body
from orchestra_graph.runtime.mail import CANCEL, payload_in
from orchestra_graph.runtime.run import Run
from orchestra_graph.state.codec import parse
from orchestra_graph.store.base import LogRow

__all__ = ["Recorded", "record", "test_file"]

_WIDTH = 110
_CANNOT = {
    "RunCancelled": "it was cancelled",
    "RunRetried": "it was retried",
    "LimitPassed": "a limit on its time was reached",
    "RunForked": "it is a fork: what it began with came from another run",
    "RunMoved": "it went on with another form of its graph, and began with an older one",
}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A run, to be played again.

    Attributes:
        key: The key of the run.
        graph: The name of its graph.
        input: What it started with, as JSON has it.
        limits: How far it might go.
        answers: What people said, by question, as JSON.
        messages: What was sent to it: id, channel and payload, in the order in which it was accepted.
        results: What each activation gave that was run: its writes, those of them that set a field anew, and the error
            that it failed with for good.
        path: The activations that ended, in that order.
        outcome: How it stands: ``done``, ``waiting``, ``failed`` or ``stopped``.
        state: Its state then, as JSON has it.
    """

    key: str
    graph: str
    input: Mapping[str, Any]
    limits: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[tuple[str, str, Any]] = ()
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    path: Sequence[str] = ()
    outcome: str = "done"
    state: Mapping[str, Any] = field(default_factory=dict)


async def record(run: Run[Any]) -> Recorded:
    """What is recorded of a run that rests.

    Args:
        run: The run.

    Raises:
        RunEnded: It is not at rest, or something happened in it that cannot be played again.
    """
    store, number, status = run._engine.store, run._row.number, await run.status()
    rows = await store.log(number)
    why = next((why for row in rows for kind, why in _CANNOT.items() if row.kind == kind), None)
    if why is not None or status not in ("done", "waiting", "failed", "stopped"):
        raise RunEnded(run.key, status, f"be made a test of{f': {why}' if why else ''}")
    bodies = [await read_body(store, row) for row in rows]
    begun = bodies[0]
    state = await run.state()
    return Recorded(
        key=run.key,
        graph=run.graph,
        input=begun.get("writes", {}),
        limits={name: begun[name] for name in ("steps", "seconds", "turns") if begun.get(name) is not None},
        answers={
            q.id: parse(q.answer)
            for q in await store.questions(number, status=("answered",))
            if q.answer is not None and "idempotency_key" not in parse(q.details)
        },
        messages=[
            (m.id, m.channel, payload_in(m)) for m in await store.inbox(number, taken=True) if m.channel != CANCEL
        ],
        results=_results(rows, bodies),
        path=[body["id"] for row, body in zip(rows, bodies, strict=True) if _ends(row, body)],
        outcome=status,
        state=state.model_dump(mode="json"),
    )


def _ends(row: LogRow, body: Mapping[str, Any]) -> bool:
    return row.kind == ev.NodeFinished.__name__ or (row.kind == ev.NodeFailed.__name__ and "retry_at" not in body)


def _results(rows: Sequence[LogRow], bodies: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for row, body in zip(rows, bodies, strict=True):
        if _ends(row, body):
            result = {name: body[name] for name in ("writes", "replaced") if body.get(name)}
            if row.kind == ev.NodeFailed.__name__:
                result = {"error": [body["error"]["type"], body["error"]["message"]]}
            found[body["id"]] = result
    return found


def test_file(recorded: Recorded, target: str, *, live: bool, line: str) -> str:
    """A file for pytest that plays a recorded run again.

    Args:
        recorded: The run.
        target: Where its graph is, as seen from the folder of the file.
        live: Its nodes are run; otherwise they give what was recorded.
        line: The line that makes the file again.
    """
    name = "".join(c if c.isalnum() else "_" for c in recorded.key.lower()).strip("_") or "run"
    values = {"INPUT": recorded.input, "ANSWERS": recorded.answers, "MESSAGES": list(recorded.messages)}
    if not live:
        values["RESULTS"] = recorded.results
    values |= {"PATH": list(recorded.path), "STATE": recorded.state}
    given = [f"{name.lower()}={name}" for name in values if name not in ("PATH", "STATE", "INPUT")]
    if recorded.limits:
        given.append(f"limits={dict(recorded.limits)!r}")
    body = "\n".join(f"{name} = {pformat(value, width=_WIDTH, sort_dicts=False)}" for name, value in values.items())
    # When a message is taken is no matter of order: it is there, or not.
    path = "sorted(again.path) == sorted(PATH)" if live or recorded.messages else "again.path == PATH"
    how = "Its nodes are run." if live else "Its nodes are not run: they give what they gave then."
    return f'''"""Run '{recorded.key}' of graph '{recorded.graph}' once more. {how}

Made by:   {line}
"""

from orchestra_graph.testing.testcase import graph_at, play

TARGET = {target!r}
{body}


def test_{name}() -> None:
    again = play(graph_at(TARGET, __file__), INPUT, {", ".join(given)})
    assert {path}
    assert again.outcome == {recorded.outcome!r}
    assert again.state == STATE
'''


test_file.__test__ = False  # type: ignore[attr-defined]  # it is no test itself
