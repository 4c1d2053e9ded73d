"""Events as log rows, and back. The words in the rows are read by people, too: they are spelled out."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from pydantic_core import to_json

from orchestra_graph.core import events as ev
from orchestra_graph.errors import EngineBug
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.signature import hints_of
from orchestra_graph.runtime.wellformed import check_event, object_in, reading_row
from orchestra_graph.state.codec import JsonCodec, parse
from orchestra_graph.store.base import LogRow

__all__ = ["Fragments", "body_of", "event_of", "items_codec", "text", "with_large"]

Fragments = Mapping[str, str]
"""Field to the JSON of what is written there, as it was made when the value was accepted."""


def text(value: Any) -> str:
    """JSON of plain data."""
    return to_json(value, inf_nan_mode="strings").decode()


def body_of(
    event: ev.Event,
    fragments: Fragments | None = None,
    items: Mapping[int, str] | None = None,
    blobs: Mapping[str, Mapping[str, str]] | None = None,
    step: Mapping[str, str] | None = None,
) -> str:
    """The JSON text of an event.

    Args:
        event: The event.
        fragments: What it writes.
        items: The items of an `each` that a function made, by edge.
        blobs: The hashes of what is kept elsewhere (see `runtime.blobs`), by ``writes``, ``items`` and ``step``, and by
            name.
        step: The ``value`` of a step.
    """
    parts = [f'"{name}":{value}' for name, value in _head(event)]
    if fragments:
        written = ",".join(f"{json.dumps(name)}:{value}" for name, value in fragments.items())
        parts.append(f'"writes":{{{written}}}')
    if items:
        made = ",".join(f'"{edge}":{value}' for edge, value in items.items())
        parts.append(f'"items":{{{made}}}')
    if step:
        parts.append(f'"step":{{"value":{step["value"]}}}')
    if blobs:
        parts.append(f'"blobs":{text(blobs)}')
    return "{" + ",".join(parts) + "}"


def _head(event: ev.Event) -> list[tuple[str, str]]:
    return [
        (name, text(value)) for name, value in _WRITERS[type(event)](event).items() if value not in (None, (), [], {})
    ]


def _finished_out(e: ev.NodeFinished) -> dict[str, Any]:
    taken = [edge if times is None else [edge, times] for edge, times in e.taken]
    attempt = None if e.attempt == 1 else e.attempt
    return {"id": e.id, "taken": taken, "took": round(e.took, 6), "attempt": attempt, "replaced": e.replaced} | {
        "cached": e.cached or None,
        "message": e.message,
        "reused": e.reused,
    }


def _failed_out(e: ev.NodeFailed) -> dict[str, Any]:
    error = {"type": e.error.type, "message": e.error.message}
    body = {"id": e.id, "error": error, "attempt": e.attempt, "retry_at": e.retry_at, "took": round(e.took, 6)}
    return {**body, "taken": [edge for edge, _ in e.taken]}


def _limits_out(e: ev.RunStarted | ev.RunRetried | ev.RunForked) -> dict[str, Any]:
    return {"steps": e.steps, "seconds": e.seconds, "turns": e.turns}


def _asked_out(e: ev.JoinAsked) -> dict[str, Any]:
    error = None if e.error is None else {"type": e.error.type, "message": e.error.message}
    return {"id": e.id, "seen": e.seen, "fire": e.fire or None, "error": error}


_WRITERS: Mapping[type[ev.Event], Callable[[Any], dict[str, Any]]] = {
    ev.RunStarted: lambda e: {**_limits_out(e), "code": e.code or None},
    ev.RunResumed: lambda e: {"engine": e.engine, "code": e.code or None},
    ev.RunRetried: lambda e: {**_limits_out(e), "code": e.code or None},
    ev.RunForked: lambda e: {
        "origin": e.origin,
        "step": e.step,
        "known": e.known,
        **_limits_out(e),
        "anew": e.anew or None,
        "code": e.code or None,
    },
    ev.RunMoved: lambda e: {
        "fingerprint": e.fingerprint,
        "version": e.version,
        "was": e.was,
        "was_version": e.was_version,
        "changes": e.changes,
        "position": e.position,
        "code": e.code or None,
    },
    ev.RunCancelled: lambda e: {},
    ev.RunEnded: lambda e: {"status": e.status, "reason": e.reason or None},
    ev.LimitPassed: lambda e: {"limit": e.limit, "allowed": e.allowed, "cap": e.cap},
    ev.NodeStarted: lambda e: {"id": e.id, "attempt": e.attempt},
    ev.NodeFinished: _finished_out,
    ev.NodeFailed: _failed_out,
    ev.StepDone: lambda e: {"id": e.id, "key": e.key, "index": e.index},
    ev.JoinAsked: _asked_out,
    ev.QuestionAsked: lambda e: {
        "id": e.id,
        "question": e.question,
        "to": e.to,
        "expires_at": e.expires_at,
        "doubt": e.doubt or None,
    },
    ev.DoubtSettled: lambda e: {"id": e.id},
    ev.Answered: lambda e: {"id": e.id},
    ev.LateResult: lambda e: {"id": e.id, "attempt": e.attempt, "outcome": e.outcome},
    ev.Interrupted: lambda e: {"cap": e.cap, "message": e.message},
    ev.MessageRefused: lambda e: {
        "message": e.message,
        "channel": e.channel,
        "error": {"type": e.error.type, "message": e.error.message},
    },
}


def with_large(body: dict[str, Any], large: Mapping[str, Any]) -> dict[str, Any]:
    """The parsed body of a row with its large values in place, which are *large* by their hash."""
    for part, hashes in body.get("blobs", {}).items():
        body.setdefault(part, {}).update({name: large[found] for name, found in hashes.items()})
    return body


def event_of(
    row: LogRow,
    plan: Plan | None,
    url: str = "the log",
    large: Mapping[str, Any] = MappingProxyType({}),
    run: str = "",
) -> ev.Event:
    """Read a log row. To read rows of a store, use `runtime.blobs.read_events`, which finds the large values, too.

    Args:
        row: The row.
        plan: Says what the values are; None leaves them out (what happened can be read without the code).
        url: For messages.
        large: The large values that the row names, by their hash; not needed without a plan.
        run: The key of the run, for messages.

    Raises:
        StoreBroken: The row is none that this library wrote.
        StoreSealed: It is encrypted.
    """
    with reading_row(row, url, run):
        body = object_in(parse(row.body), "the body")
        event = _READERS[row.kind](row.at, body if plan is None else with_large(body, large), plan)
        check_event(event)
    return event


def _writes_in(body: Mapping[str, Any], plan: Plan | None, *, whole: Collection[str] | None = None) -> dict[str, Any]:
    """What was written; those of *whole* are values of their field (all, where it is None), the others operands."""
    if plan is None:
        return {}
    written = {}
    for name, value in body.get("writes", {}).items():
        codec = plan.codec.fields[name]
        written[name] = codec.load(value) if whole is None or name in whole else codec.load_operand(value)
    return written


def _limits_in(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body.get(name) for name in ("steps", "seconds", "turns")}


def _finished_in(at: float, body: Mapping[str, Any], plan: Plan | None) -> ev.Event:
    taken = [ev.Taken(*t) if isinstance(t, list) else ev.Taken(t) for t in body.get("taken", ())]
    items = {int(edge): _items_in(int(edge), values, plan) for edge, values in body.get("items", {}).items()}
    replaced = tuple(body.get("replaced", ()))
    return ev.NodeFinished(
        at=at,
        id=body["id"],
        writes=_writes_in(body, plan, whole=replaced),
        taken=taken,
        items=items,
        attempt=body.get("attempt", 1),
        took=body.get("took", 0.0),
        replaced=replaced,
        cached=body.get("cached", False),
        message=body.get("message"),
        reused=body.get("reused"),
    )


def _items_in(edge: int, values: list[Any], plan: Plan | None) -> list[Any]:
    if plan is None:
        return values
    codec = items_codec(plan, edge)
    return list(codec.load(values))


def items_codec(plan: Plan, edge: int) -> JsonCodec:
    """The codec of the items that a function makes for an `each`: of its return annotation, or of any list."""
    annotation = hints_of(plan.group_of(edge).choice).get("return", list[Any])
    return JsonCodec(f"the items of the each after '{plan.nodes[plan.edges[edge].source].name}'", annotation)


def _failed_in(at: float, body: Mapping[str, Any], plan: Plan | None) -> ev.Event:
    error = ev.ErrorInfo(body["error"]["type"], body["error"]["message"])
    return ev.NodeFailed(
        at=at,
        id=body["id"],
        error=error,
        attempt=body.get("attempt", 1),
        retry_at=body.get("retry_at"),
        took=body.get("took", 0.0),
        taken=tuple(ev.Taken(edge) for edge in body.get("taken", ())),
    )


def _step_in(at: float, body: Mapping[str, Any], plan: Plan | None) -> ev.Event:
    value = None if plan is None else body["step"]["value"]
    return ev.StepDone(at=at, id=body["id"], key=body["key"], index=body["index"], value=value)


def _asked_in(at: float, body: Mapping[str, Any], plan: Plan | None) -> ev.Event:
    error = body.get("error")
    found = None if error is None else ev.ErrorInfo(error["type"], error["message"])
    return ev.JoinAsked(at=at, id=body["id"], seen=body["seen"], fire=body.get("fire", False), error=found)


_READERS: Mapping[str, Callable[[float, Any, Plan | None], ev.Event]] = {
    "RunStarted": lambda at, b, p: ev.RunStarted(
        at=at, values=_writes_in(b, p), **_limits_in(b), code=b.get("code", "")
    ),
    "RunResumed": lambda at, b, p: ev.RunResumed(at=at, engine=b.get("engine", ""), code=b.get("code", "")),
    "RunRetried": lambda at, b, p: ev.RunRetried(at=at, **_limits_in(b), code=b.get("code", "")),
    "RunForked": lambda at, b, p: ev.RunForked(
        at=at,
        origin=b["origin"],
        step=b["step"],
        known=b.get("known", 0),
        values=_writes_in(b, p),
        **_limits_in(b),
        anew=b.get("anew", False),
        code=b.get("code", ""),
    ),
    "RunMoved": lambda at, b, p: ev.RunMoved(
        at=at,
        fingerprint=b["fingerprint"],
        version=b["version"],
        was=b["was"],
        was_version=b["was_version"],
        changes=tuple(b.get("changes", ())),
        position=b["position"],
        values=_writes_in(b, p),
        code=b.get("code", ""),
    ),
    "RunCancelled": lambda at, b, p: ev.RunCancelled(at=at),
    "RunEnded": lambda at, b, p: ev.RunEnded(at=at, status=b["status"], reason=b.get("reason", "")),
    "LimitPassed": lambda at, b, p: ev.LimitPassed(at=at, limit=b["limit"], allowed=b["allowed"], cap=b.get("cap")),
    "NodeStarted": lambda at, b, p: ev.NodeStarted(at=at, id=b["id"], attempt=b["attempt"]),
    "NodeFinished": _finished_in,
    "NodeFailed": _failed_in,
    "StepDone": _step_in,
    "JoinAsked": _asked_in,
    "QuestionAsked": lambda at, b, p: ev.QuestionAsked(
        at=at,
        id=b["id"],
        question=b["question"],
        to=b.get("to"),
        expires_at=b.get("expires_at"),
        doubt=b.get("doubt", False),
    ),
    "DoubtSettled": lambda at, b, p: ev.DoubtSettled(at=at, id=b["id"]),
    "Answered": lambda at, b, p: ev.Answered(at=at, id=b["id"]),
    "Interrupted": lambda at, b, p: ev.Interrupted(at=at, cap=b["cap"], message=b["message"]),
    "MessageRefused": lambda at, b, p: ev.MessageRefused(
        at=at,
        message=b["message"],
        channel=b["channel"],
        error=ev.ErrorInfo(b["error"]["type"], b["error"]["message"]),
    ),
    "LateResult": lambda at, b, p: ev.LateResult(at=at, id=b["id"], attempt=b["attempt"], outcome=b["outcome"]),
}

if {kind.__name__ for kind in _WRITERS} != set(_READERS):
    raise EngineBug("every event needs a writer and a reader")
