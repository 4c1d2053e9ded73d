"""What the people of a test say, and how a run that they took to its end is compared with another one."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.outcomes import Cancelled, Done, Failed, OpenQuestion, Outcome, Stopped, Waiting
from orchestra_graph.store.base import LogRow

__all__ = ["Answers", "Ended", "Message", "choices_in", "ended", "find_answer", "is_doubt", "is_timed", "settled_in"]

Answers: TypeAlias = Mapping[str, Any] | Callable[[OpenQuestion], Any]
"""What people say: by the id of the question (``approve@2``) or the name of its node; or a function that is asked, and
gives ``...`` where nobody answers. A question without an answer stays open. Only whether an irreversible node that was
cut off has happened is answered all the same: yes, if its function had returned."""

Message: TypeAlias = tuple[str, Any]
"""A channel, and what is sent there."""

_NOTHING = object()


def is_doubt(question: OpenQuestion) -> bool:
    """Whether somebody is to say if an irreversible node has happened."""
    return "happened" in question.schema.get("properties", {}) and "idempotency_key" in question.details


def find_answer(answers: Answers | None, question: OpenQuestion) -> tuple[bool, Any]:
    """Whether a question gets an answer, and which."""
    if answers is None:
        return False, None
    if isinstance(answers, Mapping):
        found = answers.get(question.id, _NOTHING)
        if found is _NOTHING and not is_doubt(question):
            found = answers.get(question.node, _NOTHING)
        return (False, None) if found is _NOTHING else (True, found)
    value = answers(question)
    return value is not ..., value


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended, as plain data: two that are equal came to the same.

    Attributes:
        outcome: ``done``, ``failed`` ...
        state: The final state, without what is not compared.
        why: What the outcome says beyond that: the error, the limit.
        asked: The questions that are open.
    """

    outcome: str
    state: Mapping[str, Any]
    why: str
    asked: tuple[str, ...]

    def unlike(self, other: Ended) -> list[str]:
        """What is otherwise in *other*, a line each."""
        lines = [
            f"{name} is {getattr(other, name)!r}, not {getattr(self, name)!r}"
            for name in ("outcome", "why", "asked")
            if getattr(self, name) != getattr(other, name)
        ]
        for name in sorted({*self.state, *other.state}):
            one, two = self.state.get(name, "(not written)"), other.state.get(name, "(not written)")
            if one != two:
                lines.append(f"'{name}' is {_short(two)}, not {_short(one)}")
        return lines


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def ended(outcome: Outcome[Any], ignore: Collection[str] = ()) -> Ended:
    """An outcome as plain data; the key of the run, which is another one each time, is left out wherever it stands."""
    state = outcome.state.model_dump_json(exclude=set(ignore))
    why = ""
    if isinstance(outcome, Failed):
        why = outcome.reason
    elif isinstance(outcome, Stopped):
        why = f"{outcome.limit}, {outcome.allowed}"
    asked = tuple(sorted(q.id for q in outcome.questions)) if isinstance(outcome, Waiting) else ()
    bare = json.loads(state.replace(outcome.run, "<run>"))
    return Ended(
        _NAMES.get(type(outcome), type(outcome).__name__.lower()), bare, why.replace(outcome.run, "<run>"), asked
    )


_NAMES: Mapping[type, str] = {Done: "done", Cancelled: "cancelled", Failed: "failed", Stopped: "stopped"}


def choices_in(rows: Sequence[LogRow]) -> dict[str, str]:
    """What was decided once: which way each activation went that came to an end, and which joins fired early."""
    told: dict[str, str] = {}
    for row in rows:
        if row.kind == "NodeFinished" or row.kind == "JoinAsked":
            body = json.loads(row.body)
            if row.kind == "NodeFinished":
                told[body["id"]] = f"took {body.get('taken', [])}"
            elif body.get("fire"):
                told[f"{body['id']} (join)"] = "fired"
    return told


def is_timed(plan: Plan) -> bool:
    """Whether something in a graph can withdraw work: what comes to its end before that is a matter of time."""
    rules = any(rule.races for rule in plan.topology.rule)
    calls = bool(plan.calls) and any(edge.kind == "error" for edge in plan.edges)
    return rules or calls or bool(plan.races or plan.caps) or any(node.terminates for node in plan.nodes)


def settled_in(rows: Sequence[LogRow]) -> frozenset[str]:
    """The activations that must not run again: they have ended, or have failed for good."""
    found = set()
    for row in rows:
        if row.kind in ("NodeFinished", "NodeFailed"):
            body = json.loads(row.body)
            if row.kind == "NodeFinished" or "retry_at" not in body:
                found.add(body["id"])
    return frozenset(found)
