"""Events as log rows: what is written can be read, by this release, and with a little patience by people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestra_graph import Graph, Item, node
from orchestra_graph.core import events as ev
from orchestra_graph.errors import StoreBroken
from orchestra_graph.runtime.journal import body_of, event_of
from orchestra_graph.store.base import LogRow

from .common import Sheet

EVENTS: list[ev.Event] = [
    ev.RunStarted(at=1.5, values={"count": 3, "log": ["a"]}, steps=7, seconds=2.5, turns=9),
    ev.RunStarted(at=1.5, values={}),
    ev.NodeStarted(at=1.0, id="pay", attempt=2),
    ev.NodeFinished(at=2.0, id="a@1#2", writes={"text": 'quote " and \u2028'}, taken=[ev.Taken(3), ev.Taken(4, 2)]),
    ev.NodeFinished(at=2.0, id="a", taken=[], attempt=3, took=0.25),
    ev.NodeFailed(at=2.0, id="a", error=ev.ErrorInfo("E", "why\nso"), attempt=2, retry_at=3.5, took=0.5),
    ev.NodeFailed(at=2.0, id="a", error=ev.ErrorInfo("E", "")),
    ev.NodeFailed(at=2.0, id="a", error=ev.ErrorInfo("E", ""), taken=(ev.Taken(3), ev.Taken(4))),
    ev.StepDone(at=2.0, id="a@1", key="pay", index=0, value={"of": [1, None, "x"]}),
    ev.StepDone(at=2.0, id="a@1", key="pay", index=3, value=None),
    ev.JoinAsked(at=2.0, id="j@1", seen=3, fire=True),
    ev.JoinAsked(at=2.0, id="j@1", seen=3, fire=False),
    ev.JoinAsked(at=2.0, id="j", seen=1, fire=False, error=ev.ErrorInfo("E", "why")),
    ev.QuestionAsked(at=2.0, id="ask", question="ask!2", to="ana", expires_at=9.0),
    ev.QuestionAsked(at=2.0, id="pay", question="pay", doubt=True),
    ev.DoubtSettled(at=2.0, id="pay"),
    ev.Answered(at=2.0, id="ask"),
    ev.LateResult(at=2.0, id="slow", attempt=1, outcome="returned"),
    ev.LimitPassed(at=2.0, limit="seconds", allowed=3.5),
    ev.LimitPassed(at=2.0, limit="seconds", allowed=3.5, cap=0),
    ev.RunResumed(at=2.0, engine="e"),
    ev.RunRetried(at=2.0, steps=3, seconds=4.0, turns=5),
    ev.RunRetried(at=2.0),
    ev.RunResumed(at=2.0, engine="e", code="12ab34cd"),
    ev.RunForked(at=2.0, origin="other", step=3, steps=4, anew=True, code="12ab34cd"),
    ev.RunCancelled(at=2.0),
    ev.Interrupted(at=2.0, cap=1, message="m1"),
    ev.MessageRefused(at=2.0, message="m1", channel="user", error=ev.ErrorInfo("ValueError", "no")),
    ev.RunMoved(at=2.0, fingerprint="f", version="2", was="e", was_version="1", changes=("x",), position={"a": 1}),
    ev.RunEnded(at=2.0, status="done"),
    ev.RunEnded(at=2.0, status="dead", reason="was running `a` when 6 owners in a row died"),
]


@node
async def source() -> None: ...


@node
async def work(item: Item[int]) -> None: ...


@node
async def collect() -> None: ...


def numbers(count: int) -> list[int]:
    return list(range(count))


graph = Graph(Sheet, name="g")
graph.start(source)
graph.each(source, numbers, work, collect=collect)
PLAN = graph.compile()
EACH = next(index for index, edge in enumerate(PLAN.edges) if edge.kind == "each")


def written(event: ev.Event) -> str:
    writes = getattr(event, "values", None) or getattr(event, "writes", None) or {}
    step = {"value": json.dumps(event.value)} if isinstance(event, ev.StepDone) else None
    return body_of(event, {name: json.dumps(value) for name, value in writes.items()}, step=step)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_comes_back_as_it_was(event: ev.Event) -> None:
    row = LogRow(3, type(event).__name__, event.at, written(event))
    assert event_of(row, PLAN) == event
    json.loads(row.body)


def test_every_kind_of_event_is_shown_here() -> None:
    assert {type(event) for event in EVENTS} == set(ev.Event.__args__)


def test_without_the_code_the_values_are_left_out() -> None:
    row = LogRow(0, "NodeFinished", 1.0, '{"id":"a","writes":{"gone":{"x":1}},"items":{"7":[1]}}')
    event = event_of(row, None)
    assert isinstance(event, ev.NodeFinished)
    assert (event.id, event.writes) == ("a", {})


def test_items_that_a_function_made_are_part_of_the_event() -> None:
    event = ev.NodeFinished(at=1.0, id="source", items={EACH: [0, 1]}, taken=[ev.Taken(EACH, 2)])
    body = body_of(event, None, {EACH: "[0,1]"})
    assert event_of(LogRow(1, "NodeFinished", 1.0, body), PLAN) == event


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("NodeFinished", "{"),
        ("NodeFinished", "[]"),
        ("NodeFinished", "{}"),
        ("NodeFinished", '{"id":"a","writes":{"unknown":1}}'),
        ("NodeFinished", '{"id":"a","writes":{"count":"many"}}'),
        ("NodeFailed", '{"id":"a","error":"text"}'),
        ("SomethingNew", "{}"),
        ("RunEnded", "null"),
    ],
)
def test_a_row_that_is_none_of_ours_is_named(kind: str, body: str) -> None:
    with pytest.raises(StoreBroken, match=rf"the file: log row 7 \({kind}\) cannot be read") as caught:
        event_of(LogRow(7, kind, 1.0, body), PLAN, "the file")
    assert caught.value.__cause__ is not None


def test_rows_leave_out_what_is_as_usual() -> None:
    plain: dict[str, Any] = json.loads(body_of(ev.NodeFinished(at=1.0, id="a")))
    assert plain == {"id": "a", "took": 0.0}
    assert body_of(ev.RunResumed(at=1.0)) == "{}" or json.loads(body_of(ev.RunResumed(at=1.0))) == {"engine": ""}
