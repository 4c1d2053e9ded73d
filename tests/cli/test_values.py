"""What was typed as a value."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import BadInput, Graph, State, later, node
from orchestra_graph.cli.errors import BadValue
from orchestra_graph.cli.values import readings, start_state


class Ticket(State):
    text: str
    amount: int = 0
    price: Decimal = Decimal(0)
    day: date | None = None
    tags: list[str] = []
    kind: str = later()


@node(writes="kind")
def sort(text: str) -> str:
    return text


graph = Graph(Ticket, name="ticket")
graph.start(sort)


@pytest.mark.parametrize(
    ("word", "meanings"),
    [
        ("true", [True, "true"]),
        ("5", [5, "5"]),
        ("yes", ["yes"]),
        ('"yes"', ["yes", '"yes"']),
        ('{"a": 1}', [{"a": 1}]),
        ("[1, 2]", [[1, 2]]),
        ("", [""]),
        ("@", ["@"]),
    ],
)
def test_a_word_is_json_or_else_itself(word: str, meanings: list[Any]) -> None:
    assert list(readings(word)) == meanings


def test_a_word_may_name_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "a.txt").write_text("Dear Sir,\n")
    assert list(readings(f"@{tmp_path}/a.json")) == [{"a": 1}]
    assert list(readings(f"@{tmp_path}/a.txt")) == ["Dear Sir,\n"]
    with pytest.raises(BadValue, match=r"none\.json cannot be read: No such file"):
        list(readings(f"@{tmp_path}/none.json"))


def test_what_begins_as_json_and_is_none_is_refused() -> None:
    with pytest.raises(BadValue, match="this is no JSON"):
        list(readings("{granted: yes}"))


def test_a_state_is_put_together_from_all_inputs_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"text": "from the file", "price": "1.10"}')
    state = start_state(graph, [f"@{tmp_path}/in.json", '{"amount": 2, "day": "2026-01-31"}', "amount=3", "tags=[]"])
    assert state.model_dump() == {
        "text": "from the file",
        "amount": 3,
        "price": Decimal("1.10"),
        "day": date(2026, 1, 31),
        "tags": [],
    }


@pytest.mark.parametrize("value", ["12", "null", "true", "{not json", "a=b", "", "@anna"])
def test_what_is_assigned_to_a_text_is_that_text(value: str) -> None:
    assert start_state(graph, [f"text={value}"]).model_dump()["text"] == value


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "Ticket cannot start without 'text'. Add:   --input text=..."),
        (["text=a", "amont=3"], "Ticket has no field 'amont'"),
        (["text=a", "amont=3"], "Did you mean 'amount'?"),
        (["text=a", "amount=many"], "'amount': Input should be a valid integer"),
        (['{"text": 3}'], "'text': Input should be a valid string (found 3)"),
    ],
)
def test_an_input_that_does_not_fit_is_told_by_its_field(inputs: list[str], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        start_state(graph, inputs)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("just words", "field=value, not 'just words'"),
        ('{"text": }', "--input:1:10: this is no JSON"),
        ("[1]", "--input takes a JSON object"),
    ],
)
def test_an_input_that_cannot_be_read_is_told_with_its_forms(given: str, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        start_state(graph, [given])
    assert said in str(caught.value)


def test_a_file_that_is_no_object_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text('{"text": "a",\n "amount": x}')
    with pytest.raises(BadValue, match=r"in\.json:2:12: this is no JSON"):
        start_state(graph, [f"@{path}"])
    path.write_text("[1]")
    with pytest.raises(BadValue, match="a JSON object is needed"):
        start_state(graph, [f"@{path}"])
    path.write_bytes(b"\xff")
    with pytest.raises(BadValue, match="is no text in UTF-8"):
        start_state(graph, [f"@{path}"])
