"""Runs, questions, states and outcomes: as parts of JSON documents, and as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestra_graph.cli.config import Named
from orchestra_graph.cli.report import ExitCode, Report
from orchestra_graph.cli.settings import Settings
from orchestra_graph.cli.words import printable, when
from orchestra_graph.core.record import ActivationRecord
from orchestra_graph.runtime.outcomes import Cancelled, Dead, Done, Failed, OpenQuestion, Outcome, Stopped, Waiting
from orchestra_graph.state.codec import codec_of
from orchestra_graph.state.schema import Schema, State

__all__ = [
    "activation_facts",
    "outcome_report",
    "question_facts",
    "question_lines",
    "state_facts",
    "taken_line",
    "value_lines",
]

_WIDE = 100
_FEW = 8  # activations in one line
_INDENT = "    "

_CODES: Mapping[type, tuple[str, ExitCode]] = {
    Done: ("done", ExitCode.DONE),
    Waiting: ("waiting", ExitCode.WAITING),
    Failed: ("failed", ExitCode.FAILED),
    Stopped: ("stopped", ExitCode.STOPPED),
    Cancelled: ("cancelled", ExitCode.CANCELLED),
    Dead: ("dead", ExitCode.DEAD),
}


# -- for programs ------------------------------------------------------------------------------------


def activation_facts(record: ActivationRecord) -> dict[str, Any]:
    """One node that was started."""
    return {
        "id": record.id,
        "node": record.node,
        "status": record.status,
        "turn": record.turn,
        "attempts": record.attempts,
        "started": when(record.started),
        "ended": when(record.ended),
        "waiting_for": record.waiting_for,
        "error": record.error,
        "reused": record.reused,
    }


def question_facts(question: OpenQuestion, settings: Settings, target: Named | None = None) -> dict[str, Any]:
    """An open question."""
    return {
        "run": question.run,
        "id": question.id,
        "prompt": question.prompt,
        "to": question.to,
        "details": question.details,
        "schema": question.schema,
        "example": json.loads(question.example),
        "asked": when(question.asked_at),
        "expires": when(question.expires_at),
        "command": settings.line("answer", question.run, question.id, question.example, target=target),
    }


def state_facts(state: State) -> dict[str, Any]:
    """A state as JSON; fields that nothing was written to are left out."""
    codec = codec_of(Schema.of(type(state)))
    return {name: json.loads(codec.fields[name].dump(state.__dict__[name])) for name in _written(state)}


def _written(state: State) -> list[str]:
    return [name for name in type(state).model_fields if name in state.__dict__]


def outcome_report(outcome: Outcome[Any], graph: str, settings: Settings, target: Named | None) -> Report:
    """How a run rests, and what to type next."""
    status, code = _CODES[type(outcome)]
    state = state_facts(outcome.state)
    text = printable(_complete(str(outcome), outcome.commands, settings.again(target)))
    if isinstance(outcome, Done):
        text = "\n".join([text, *value_lines(state)])
    asked = outcome.questions if isinstance(outcome, Waiting) else ()
    document = {
        "run": outcome.run,
        "graph": graph,
        "status": status,
        "state": state,
        "questions": [question_facts(question, settings, target) for question in asked],
        "error": _error_facts(outcome),
        "next": [command + settings.again(target) for command in outcome.commands],
    }
    return Report(document=document, text=text, code=code)


def _error_facts(outcome: Outcome[Any]) -> dict[str, Any] | None:
    match outcome:
        case Failed(reason=reason, errors=errors, final=final):
            nodes = [{"activation": at, "type": error.type, "message": error.message} for at, error in errors]
            return {"message": reason, "nodes": nodes, "final": final}
        case Stopped(limit=limit, allowed=allowed):
            message = f"limit reached: {limit} (allowed: {allowed:g})"
            return {"message": message, "limit": limit, "allowed": allowed}
        case Dead(reason=reason, deaths=deaths):
            return {"message": reason, "deaths": deaths}
        case _:
            return None


def _complete(text: str, commands: Iterable[str], more: str) -> str:
    """Lines to type, with the options that this call needed."""
    for command in commands:
        text = text.replace(command, command + more, 1)
    return text


# -- for people --------------------------------------------------------------------------------------


def taken_line(reused: Sequence[str]) -> str:
    """Which activations of a fork were not run."""
    if not reused:
        return "nothing was taken from its log"
    more = f" and {len(reused) - _FEW:,} more" if len(reused) > _FEW else ""
    return f"taken from its log, not run: {', '.join(reused[:_FEW])}{more}"


def question_lines(question: OpenQuestion, settings: Settings, target: Named | None = None) -> list[str]:
    """A question, what a person should know, and the line that answers it."""
    command = settings.line("answer", question.run, question.id, question.example, target=target)
    details = [_INDENT + line for line in value_lines(question.details)]
    return [printable(str(question)), *details, _INDENT + printable(command)]


def value_lines(values: Mapping[str, Any]) -> list[str]:
    """Named JSON values, a line each, and more where they are long."""
    return [line for name, value in values.items() for line in _entry(f"{printable(name)}:", value)]


def _entry(mark: str, value: Any) -> list[str]:
    """A value behind its mark: on the same line where there is room, else on lines of its own below."""
    if isinstance(value, str):
        lines = printable(value).splitlines()
        return [f"{mark} {value and lines[0]}".rstrip()] if len(lines) <= 1 else [mark, *_indented(lines)]
    short = printable(json.dumps(value, ensure_ascii=False))
    if not value or not isinstance(value, dict | list) or len(mark) + len(short) < _WIDE:
        return [f"{mark} {short}"]
    if isinstance(value, dict):
        return [mark, *_indented(value_lines(value))]
    return [mark, *_indented(line for item in value for line in _entry("-", item))]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
