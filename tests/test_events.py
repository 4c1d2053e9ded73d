"""The public events: a closed union, that a `match` can exhaust and JSON can hold."""

from __future__ import annotations

import json
import pickle
from dataclasses import fields
from typing import Any, assert_never, get_args

import pytest

from orchestra_graph import events

EXAMPLES: dict[str, Any] = {
    "graph": "g",
    "version": "1",
    "error": events.ErrorInfo("ValueError", "no"),
    "question": "ask",
    "questions": ("ask",),
    "limit": "steps",
    "origin": "other",
    "step": 3,
    "key": "pay",
    "index": 0,
    "allowed": 3,
    "status": "failed",
    "attempt": 2,
    "outcome": "returned",
    "value": {"a": [1]},
    "fraction": 0.5,
    "channel": "user",
    "message": "m1",
    "was": "1",
    "id": "work@1#3",
    "node": "work",
    "run": "k",
    "cursor": "1.2.3",
    "at": 5.0,
}


def example(kind: type[Any]) -> Any:
    return kind(**{f.name: EXAMPLES[f.name] for f in fields(kind) if f.name in EXAMPLES})


KINDS = get_args(events.RunEvent)


def said(event: events.RunEvent) -> str:
    """A type checker refuses this when a kind is missing, or one is here that is none."""
    match event:
        case events.RunStarted(graph=text) | events.RunResumed(engine=text) | events.RunEnded(status=text):
            return text
        case events.NodeStarted(id=i) | events.NodeFinished(id=i) | events.NodeWithdrawn(id=i):
            return i
        case events.NodeFailed(error=error):
            return error.message
        case events.LateResult(outcome=text) | events.Progress(text=text) | events.LimitReached(limit=text):
            return text
        case events.QuestionAsked(question=q) | events.Answered(question=q) | events.QuestionWithdrawn(question=q):
            return q
        case events.Waiting(questions=open_now):
            return open_now[0]
        case events.RunForked(origin=text) | events.StepDone(key=text) | events.RunMoved(version=text):
            return text
        case events.Interrupted(channel=text) | events.MessageRefused(channel=text):
            return text
        case events.RunRetried() | events.RunCancelled():
            return ""
        case events.Emitted(value=value):
            return str(value)
        case _:
            assert_never(event)


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_is_matched_frozen_and_survives_pickle_and_json(kind: type[Any]) -> None:
    event = example(kind)
    said(event)
    assert pickle.loads(pickle.dumps(event)) == event
    assert not hasattr(event, "__dict__")
    with pytest.raises(AttributeError):
        event.at = 3
    data = json.loads(json.dumps(events.as_data(event)))
    assert data["event"] == kind.__name__
    assert set(data) == {"event", *(f.name for f in fields(kind))}
    assert data.get("error") in (None, {"type": "ValueError", "message": "no"})


def test_durable_and_live_events_together_are_all_that_there_are() -> None:
    assert (*get_args(events.DurableEvent), *get_args(events.LiveEvent)) == KINDS
    named = {getattr(events, name) for name in events.__all__}
    assert set(KINDS) == {k for k in named if isinstance(k, type) and k is not events.ErrorInfo}
