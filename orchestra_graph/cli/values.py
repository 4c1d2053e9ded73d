"""What was typed as a value: JSON, the name of a file after an ``@``, or plain words."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestra_graph.cli.errors import BadValue
from orchestra_graph.errors import BadInput, nearest
from orchestra_graph.graph.builder import Graph
from orchestra_graph.runtime.outcomes import example_answer
from orchestra_graph.state.codec import JsonCodec, codec_of, first_line
from orchestra_graph.state.schema import Schema, State

__all__ = ["field_values", "readings", "start_state"]

_FIELD = re.compile(r"\s*([^\W\d]\w*)=(.*)", re.DOTALL)
_TAKES = "takes a JSON object, @file (@- for the standard input), or field=value"


def readings(word: str) -> Iterator[Any]:
    """What a word can mean, the likelier first: the JSON that it is; the text itself.

    Raises:
        BadValue: It begins as JSON and is none, or its file cannot be read.
    """
    text = _content(word[1:]) if word.startswith("@") and len(word) > 1 else word
    try:
        value = json.loads(text)
    except ValueError as error:
        if text.lstrip()[:1] in ("{", "["):
            raise BadValue(f"this is no JSON: {_shortened(text)}\n    {error}") from None
        yield text
        return
    yield value
    if not isinstance(value, dict | list):
        yield text


def start_state(graph: Graph[Any], inputs: Sequence[str]) -> State:
    """What a run starts with.

    Args:
        graph: The graph.
        inputs: The values of ``--input``; of a field that is given twice, the later one stands.

    Raises:
        BadInput: It does not fit the state of the graph.
        BadValue: It cannot be read.
    """
    own: type[State] = graph.compile().schema.state
    schema = Schema.of(own)
    given: dict[str, list[Any]] = {}
    for text in inputs:
        given.update(_fields_in(text))
    _check_names(schema, given)
    codec = codec_of(schema)
    values = {name: _fitting(name, codec.fields[name], meant) for name, meant in given.items()}
    try:
        return schema.state.model_validate(values)
    except ValidationError as error:
        raise BadInput(f"the input does not fit {schema.state.__name__}: {first_line(error)}") from None


def field_values(graph: Graph[Any], sets: Sequence[str]) -> dict[str, Any]:
    """Whole values of some fields.

    Args:
        graph: The graph.
        sets: Each ``field=value``, a JSON object or ``@file``; of a field that is given twice, the later one stands.

    Raises:
        BadInput: There is no such field, or a value does not fit it.
        BadValue: It cannot be read.
    """
    schema = Schema.of(graph.compile().schema.state)
    given: dict[str, list[Any]] = {}
    for text in sets:
        given.update(_fields_in(text, "--set"))
    _check_known(schema, given)
    codec = codec_of(schema)
    return {name: _fitting(name, codec.fields[name], meant) for name, meant in given.items()}


def _fields_in(text: str, option: str = "--input") -> Mapping[str, list[Any]]:
    """The fields in one ``--input`` or ``--set``, each with what it can mean."""
    assigned = _FIELD.fullmatch(text)
    if assigned and text.lstrip()[:1] not in ("{", "@"):
        return {assigned[1]: list(_meanings(assigned[2]))}
    if not text.startswith("@") and text.lstrip()[:1] != "{":
        raise BadValue(f"{option} {_TAKES}, not {_shortened(text)!r}")
    source = text[1:] if text.startswith("@") else option
    try:
        found = json.loads(_content(source) if text.startswith("@") else text)
    except json.JSONDecodeError as error:
        raise BadValue(
            f"{source}:{error.lineno}:{error.colno}: this is no JSON: {error.msg}. {option} {_TAKES}"
        ) from None
    if not isinstance(found, dict):
        raise BadValue(f"{source}: a JSON object is needed, whose keys are fields, not {_shortened(repr(found))}")
    return {name: [value] for name, value in found.items()}


def _meanings(text: str) -> Iterator[Any]:
    with contextlib.suppress(ValueError):
        yield json.loads(text)
    yield text


def _fitting(name: str, codec: JsonCodec, meant: Sequence[Any]) -> Any:
    """The first meaning that fits a field."""
    first: BadInput | None = None
    for value in meant:
        try:
            return codec.load(value)
        except ValidationError as error:
            first = first or BadInput(f"the input does not fit: '{name}': {first_line(error)}")
    assert first is not None
    raise first


def _check_known(schema: Schema, given: Mapping[str, object]) -> None:
    for name in given:
        if name not in schema.fields:
            have = ", ".join(f"'{known}'" for known in schema.fields)
            found = nearest(name, list(schema.fields))
            raise BadInput(f"{schema.state.__name__} has no field '{name}' (it has {have}).{found}")


def _check_names(schema: Schema, given: Mapping[str, object]) -> None:
    kind = schema.state.__name__
    _check_known(schema, given)
    missing = [name for name, spec in schema.fields.items() if spec.required and name not in given]
    if missing:
        listed = ", ".join(f"'{name}'" for name in missing)
        typed = " ".join(f"--input {_example(schema, name)}" for name in missing)
        raise BadInput(f"{kind} cannot start without {listed}. Add:   {typed}")


def _example(schema: Schema, name: str) -> str:
    """A field with a value to type."""
    value = example_answer(codec_of(schema).fields[name].adapter.json_schema())
    text = value.strip('"') if value.startswith('"') else value
    return shlex.quote(f"{name}={text}")


def _content(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadValue(f"{name} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise BadValue(f"{name} cannot be read: {error.strerror}") from None


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
