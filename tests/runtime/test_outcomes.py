"""Outcomes and questions, printed: they say what to type next."""

from __future__ import annotations

import json
import shlex
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import jsonschema
import pytest
from pydantic import BaseModel, TypeAdapter

from orchestra_graph import Cancelled, Dead, Done, Failed, OpenQuestion, Stopped, Waiting
from orchestra_graph.core.events import ErrorInfo
from orchestra_graph.runtime.outcomes import example_answer

from .common import Sheet

STATE = Sheet()


def question(identity: str = "approve", **more: Any) -> OpenQuestion:
    return OpenQuestion(run="k", id=identity, prompt="Well?", schema={"type": "boolean"}, **more)


def test_each_outcome_says_how_the_run_stands_and_what_to_type_next() -> None:
    failed: Failed[Sheet] = Failed(
        run="k",
        state=STATE,
        reason="a: ValueError: no",
        errors=(("a", ErrorInfo("ValueError", "no")), ("b", ErrorInfo("KeyError", "'k'"))),
    )
    assert str(Done(run="k", state=STATE)) == "k is done: orchestra show k"
    assert str(Cancelled(run="k", state=STATE)) == "k was cancelled: orchestra show k"
    assert str(Stopped(run="k", state=STATE, limit="steps", allowed=3.0)).splitlines() == [
        "k was stopped by its limit on steps (3 allowed)",
        "    orchestra retry k      (goes on, with the same allowance once more)",
    ]
    assert str(failed).splitlines() == [
        "k has failed: a: ValueError: no",
        "  b: KeyError: 'k'",
        "    orchestra retry k      (goes on from the failed node)",
    ]
    dead = Dead(run="k", state=STATE, reason="was running `a` when 6 owners in a row died", deaths=6)
    assert str(dead).splitlines() == [
        "k is dead: was running `a` when 6 owners in a row died",
        "    orchestra retry k      (lets it go on, when what kills it is mended)",
    ]
    unstored = Dead(run="k", state=STATE, reason="was running `a`", deaths=6, stored=False)
    assert (str(unstored), unstored.commands) == ("k is dead: was running `a`", ())


def test_one_question_is_answered_without_its_id_and_several_with_theirs() -> None:
    one = Waiting(run="k", state=STATE, questions=(question(),))
    assert str(one).splitlines() == ["k is waiting for approve: Well?", "    orchestra answer k true"]
    two = Waiting(run="k", state=STATE, questions=(question(to="ana"), question("approve#1!2", expires_at=1.0)))
    lines = str(two).splitlines()
    assert lines[0] == "k is waiting for 2 answers:"
    assert lines[1] == "  approve asks ana: Well?"
    assert lines[2] == "    orchestra answer k approve true"
    assert lines[3] == "  approve#1!2 asks: Well? (until 1970-01-01 00:00:01 UTC)"
    assert lines[4] == "    orchestra answer k 'approve#1!2' true"


def test_a_run_that_no_retry_mends_or_that_is_nowhere_stored_names_no_line() -> None:
    assert Failed(run="k", state=STATE, reason="r", final=True).commands == ()
    assert Failed(run="k", state=STATE, reason="r", stored=False).commands == ()
    assert Waiting(run="k", state=STATE, questions=(question(),), stored=False).commands == ()
    assert Stopped(run="k", state=STATE, limit="steps", allowed=3, stored=False).commands == ()


def test_a_line_to_type_survives_the_shell() -> None:
    strange = OpenQuestion(run="ticket 42; ls", id="a@1!2", prompt="?", schema={"type": "string"})
    assert shlex.split(strange.command) == ["orchestra", "answer", "ticket 42; ls", "a@1!2", '"..."']


@pytest.mark.parametrize(
    ("identity", "node"), [("approve", "approve"), ("a@1.2", "a"), ("a#3", "a"), ("a~1", "a"), ("a!2", "a")]
)
def test_a_question_knows_its_node(identity: str, node: str) -> None:
    assert question(identity).node == node


class Colour(Enum):
    RED = "red"


class Part(BaseModel):
    name: str
    size: int = 3


class Answer(BaseModel):
    granted: bool
    amount: Decimal
    when: datetime
    day: date
    id: UUID
    colour: Colour
    parts: list[Part]
    either: int | str
    kind: Literal["x", "y"]
    limits: dict[str, int]
    note: str = ""
    more: Part | None = None


class Loop(BaseModel):
    inner: list[Loop] = []


class Deep(BaseModel):
    inside: Deep | None


@pytest.mark.parametrize(
    "kind", [Answer, bool, int, str, Decimal, datetime, date, UUID, Colour, Part, list[Part], Literal[3], Loop, Deep]
)
def test_the_example_of_an_answer_is_an_answer(kind: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    example = json.loads(example_answer(adapter.json_schema()))
    adapter.validate_json(json.dumps(example))
    jsonschema.validate(example, adapter.json_schema())


def test_an_example_that_the_type_brings_along_is_used() -> None:
    assert example_answer({"type": "object", "examples": [{"a": 1}]}) == '{"a": 1}'
