"""Questions and answers: what is asked, what an answer must look like, and what becomes of an accepted one."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    create_model,
    model_serializer,
)
from pydantic_core import PydanticSerializationError

from orchestra_graph.clock import as_text
from orchestra_graph.core.run import Activation
from orchestra_graph.errors import BadWrite, NotStorable, WrongAnswer
from orchestra_graph.graph.plan import Plan, PlanNode
from orchestra_graph.graph.policies import seconds_of
from orchestra_graph.graph.question import Question
from orchestra_graph.runtime.by_schema import wrong_by_schema
from orchestra_graph.runtime.journal import text
from orchestra_graph.runtime.legible import legible
from orchestra_graph.runtime.outcomes import example_answer
from orchestra_graph.runtime.wellformed import object_in, reading
from orchestra_graph.state.codec import JsonCodec, first_line, parse
from orchestra_graph.state.reducers import Replace, operand_and_whole
from orchestra_graph.state.storable import secret_in
from orchestra_graph.store.base import QuestionRow

__all__ = [
    "accept_answer",
    "answer_codec",
    "asked_by",
    "asker_of",
    "check_by_schema",
    "doubt_row",
    "fits",
    "node_of",
    "question_row",
    "same_answer",
    "settled",
]

_NAME = re.compile(r"[^@#~!(]+")


def node_of(plan: Plan, question: str) -> PlanNode:
    """The node that asks a question, by the question's id."""
    found = _NAME.match(question)
    node = plan.by_name.get(found.group() if found else "")
    if node is None:
        raise KeyError(question)
    return node


def asked_by(plan: Plan, question: str) -> bool:
    """Whether a graph has the node that asks a question: it may have had another name when it did."""
    found = _NAME.match(question)
    return found is not None and found.group() in plan.by_name


@lru_cache(maxsize=512)
def answer_codec(node: PlanNode) -> JsonCodec:
    """What an answer to the question of *node* must be."""
    return JsonCodec(node.name, node.answer if node.kind == "ask" else _doubt_model(node))


class _Outcome(BaseModel):
    """The answer to "did this irreversible node happen?": yes or no, and with a yes what it would have returned."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"happened": False}]})
    happened: bool

    @model_serializer(mode="wrap")
    def _only_what_was_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        return {name: value for name, value in data.items() if name in self.model_fields_set}


def _told(declared: Any) -> Any:
    """What a person says that was written: where the node may replace a field, the whole value."""
    operand, whole = operand_and_whole(declared)
    return operand if whole is None else whole


def _doubt_model(node: PlanNode) -> type[_Outcome]:
    fields: dict[str, Any] = {name: (_told(annotation), None) for name, annotation in node.writes.fields.items()}
    return create_model(f"{node.name}_outcome", __base__=_Outcome, **fields)


def question_row(
    plan: Plan, run: int, key: str, activation: Activation, asked: Question[Any], at: float
) -> QuestionRow:
    """What the store keeps of a question.

    Raises:
        NotStorable: What the person should know has a secret in it.
    """
    if (secret := secret_in(asked.details)) is not None:
        raise NotStorable("details", secret)
    codec = answer_codec(plan.nodes[activation.vertex])
    seconds = seconds_of(asked.expires_in)
    expires = None if seconds is None else at + seconds
    return QuestionRow(
        run=run,
        key=key,
        id=_question_id(activation),
        prompt=legible(asked.prompt),
        to=None if asked.to is None else legible(asked.to),
        details=text(dict(asked.details)),
        schema=json.dumps(codec.schema),
        status="open",
        asked_at=at,
        expires_at=expires,
    )


def doubt_row(plan: Plan, run: int, key: str, activation: Activation, at: float, why: str) -> QuestionRow:
    """The question whether an irreversible node happened whose outcome is not stored; *why* says what is known."""
    node = plan.nodes[activation.vertex]
    prompt = f"'{activation.id}' {why}. It is irreversible, so it is not repeated by itself. Did it happen?"
    details: dict[str, Any] = {"idempotency_key": f"{key}/{activation.id}", "node": node.name}
    if activation.steps:
        details["steps done"] = [step.key for _, step in sorted(activation.steps.items())]
    question: Question[Any] = Question(prompt, details=details)
    return question_row(plan, run, key, activation, question, at)


def _question_id(activation: Activation) -> str:
    """The activation's id; asked again after a retry, it is another question."""
    return activation.id if not activation.asked else f"{activation.id}!{activation.asked + 1}"


def asker_of(question: str) -> str:
    """The id of the activation that asks a question."""
    return question.partition("!")[0]


def accept_answer(plan: Plan, question: str, value: Any, *, parsed_json: bool) -> str:
    """Check an answer, and give its JSON.

    Args:
        plan: The graph.
        question: The question's id.
        value: The answer: a value of the type asked for, or plain data that makes one.
        parsed_json: *value* came from JSON (a decimal may be a string, say).

    Raises:
        WrongAnswer: It does not fit.
    """
    node = node_of(plan, question)
    codec = answer_codec(node)
    try:
        accepted = codec.accept(codec.load(value) if parsed_json else value)
        _check_writes(plan, node, accepted.value)
    except ValidationError as error:
        raise WrongAnswer(question, first_line(error), example_answer(codec.schema)) from None
    except (NotStorable, _Incomplete) as error:
        raise WrongAnswer(question, str(error)) from None
    return accepted.json


def same_answer(plan: Plan | None, question: str, one: str, other: str) -> bool:
    """Whether two answers to a question say the same; without the plan, whether they look the same.

    One that cannot be read is like no other.
    """
    try:
        parsed, given = parse(one), parse(other)
    except (ValueError, TypeError):
        return one == other
    return bool(parsed == given) if plan is None else answer_codec(node_of(plan, question)).same(parsed, given)


def check_by_schema(row: QuestionRow, value: Any, url: str = "the database") -> str:
    """Check an answer where the code is not at hand, by the schema stored with the question.

    Raises:
        WrongAnswer: It does not fit.
        StoreBroken: The schema is none that an answer can be checked by.
        StoreSealed: It is encrypted.
    """
    what = f"question '{row.id}': the schema of its answer"
    with reading(url, what, row.key, row.schema):
        schema = object_in(parse(row.schema), "the schema")
    try:
        value = json.loads(text(value))  # models, dates and decimals, too, as they would be stored
    except PydanticSerializationError as refused:
        raise WrongAnswer(row.id, str(refused), example_answer(schema)) from None
    with reading(url, what, row.key):
        wrong = wrong_by_schema(schema, value)
    if wrong is not None:
        raise WrongAnswer(row.id, wrong, example_answer(schema))
    return json.dumps(value)


class _Incomplete(Exception):
    """It happened, but nobody said what came of it."""


def _given(node: PlanNode, answer: Any) -> dict[str, Any] | None:
    """What an answer writes; None where it says that an irreversible node did not happen."""
    if node.kind == "ask":
        return {next(iter(node.writes.fields)): answer}
    if not answer.happened:
        return None
    given = {name: getattr(answer, name) for name in node.writes.fields if name in answer.model_fields_set}
    missing = [name for name in node.writes.fields if name not in given]
    if missing and node.writes.sure:
        raise _Incomplete(f"it happened, so say what it wrote, too: {', '.join(missing)}")
    wholes = {name for name in given if operand_and_whole(node.writes.fields[name])[1] is not None}
    return {name: Replace(value) if name in wholes else value for name, value in given.items()}


def _check_writes(plan: Plan, node: PlanNode, answer: Any) -> None:
    for name, value in (_given(node, answer) or {}).items():
        plan.codec.fields[name].operand(value)


def fits(plan: Plan, activation: Activation, answer: str) -> bool:
    """Whether a stored answer is one: without the code at hand it was only checked by the schema."""
    node = plan.nodes[activation.vertex]
    try:
        _check_writes(plan, node, answer_codec(node).load(parse(answer)))
    except (ValueError, NotStorable, _Incomplete):
        return False
    return True


def settled(plan: Plan, activation: Activation, answer: str) -> tuple[bool, Any]:
    """What an accepted answer means.

    Returns:
        Whether the activation is done by it, and the value it returns. It is not where a person said that an
        irreversible node did not happen: it then runs again.

    Raises:
        BadWrite: It does not fit the type (it was given where the code was not at hand).
    """
    node = plan.nodes[activation.vertex]
    try:
        given = _given(node, answer_codec(node).load(parse(answer)))
    except (ValueError, _Incomplete) as error:
        shown = first_line(error) if isinstance(error, ValidationError) else str(error)
        raise BadWrite(activation.id, "", f"the answer {answer} does not fit: {shown}") from None
    if given is None:
        return False, None
    return True, next(iter(given.values())) if node.writes.single else given or None


def expired_text(row: QuestionRow) -> str:
    """When a question expired."""
    return as_text(row.expires_at or 0.0)
