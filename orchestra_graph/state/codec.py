"""The way of a value into the log and back, bound to the declared type of its field.

Rule 1. What the engine holds is what came *back* from JSON: it is no object of the node that wrote it, and it is what a
        later process will read. A value that would come back as something else is refused when it is written, never
        found out at a resume.
Rule 2. No type is ever named in the data. The schema decides what the data means.
        Models are written by the names of their fields, whatever aliases they have, and without computed fields.
Rule 3. What is handed out is copied as deep as its declared type is mutable, and no deeper.
"""

from __future__ import annotations

import copy
import enum
import types
import typing
from collections.abc import Callable
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import PurePath
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, SchemaValidator, core_schema, from_json, to_json

from orchestra_graph.errors import NotStorable
from orchestra_graph.state.reducers import Replace
from orchestra_graph.state.schema import FieldSpec, Schema
from orchestra_graph.state.storable import adapter_of, secret_in, unstorable

__all__ = ["Accepted", "Codec", "FieldCodec", "JsonCodec", "codec_of", "first_line", "unstorable"]

_WRITTEN: Any = {"by_alias": False, "round_trip": True}  # round trip: what is computed is left out
_READ: Any = {"by_alias": True, "by_name": True}  # by alias: people's answers
_SCALARS = (str, int, bool, float, type(None))
_ATOMS: tuple[type, ...] = (
    *_SCALARS, bytes, complex, Decimal, date, datetime, time, timedelta, UUID, PurePath, enum.Enum
)  # fmt: skip


class Accepted(NamedTuple):
    """A value that may be stored: what the engine keeps, and its JSON."""

    value: Any
    json: str


def first_line(error: ValidationError) -> str:
    """Say in one line what pydantic found, with the place inside the value."""
    shown = []
    for detail in error.errors(include_url=False, include_context=False)[:3]:
        place = ".".join(str(part) for part in detail["loc"])
        shown.append(f"{place + ': ' if place else ''}{detail['msg']} (found {_short(detail['input'])})")
    return "; ".join(shown)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


class JsonCodec:
    """Values of one type, to JSON and back.

    Args:
        name: What messages call the value.
        annotation: Its type.
    """

    def __init__(self, name: str, annotation: Any):
        self.name = name
        self.annotation = annotation
        self.adapter = adapter_of(annotation)
        self.copy = copier(annotation)

    def accept(self, value: Any) -> Accepted:
        """Check *value*, and give it as it will be read again.

        Raises:
            pydantic.ValidationError: It does not fit the type.
            NotStorable: It fits, but JSON would not give it back.
        """
        return self._stored(self.check(value))

    def check(self, value: Any) -> Any:
        """Validate a Python value."""
        return self.adapter.validate_python(value)

    def load(self, parsed: Any) -> Any:
        """Read a value back; *parsed* is what a JSON parser made of its text."""
        if type(parsed) is str and self.annotation is str:
            return parsed
        return self.adapter.validate_json(to_json(parsed), **_READ)

    def dump(self, value: Any) -> str:
        """Write a value that was accepted before."""
        return self.adapter.dump_json(value, **_WRITTEN).decode()

    @cached_property
    def schema(self) -> Any:
        """What people are told of the type: its JSON schema. Made once, which takes longer than to store a value."""
        return self.adapter.json_schema()

    def same(self, one: Any, other: Any) -> bool:
        """Whether two parsed texts are the same value: sets have no order, and what is left out is the default."""
        try:
            return bool(one == other or self.load(one) == self.load(other))
        except ValidationError:
            return False

    def _stored(self, checked: Any) -> Accepted:
        try:
            data = self.adapter.dump_json(checked, warnings="error", **_WRITTEN)
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise NotStorable(self.name, f"{_short(checked)}: {error}") from error
        if type(checked) in _SCALARS and type(checked) is self.annotation:
            return Accepted(checked, data.decode())
        try:
            back = self.adapter.validate_json(data, **_READ)
        except ValidationError as error:
            raise NotStorable(
                self.name, f"{_short(checked)} does not come back from JSON: {first_line(error)}"
            ) from error
        if type(back) is not type(checked) or not (back == checked or repr(back) == repr(checked)):
            if (secret := secret_in(checked)) is not None:
                raise NotStorable(self.name, secret)
            raise NotStorable(self.name, f"{_short(checked)} comes back from JSON as {_short(back)}")
        return Accepted(back, data.decode())


class FieldCodec(JsonCodec):
    """Values of one field of a state: its validators run when something is written, not when it is read back."""

    def __init__(self, spec: FieldSpec):
        metadata = tuple(m for m in spec.info.metadata if m is not spec.reducer)
        super().__init__(spec.name, Annotated[spec.annotation, *metadata] if metadata else spec.annotation)
        if not metadata:
            self.annotation = spec.annotation
        self.spec = spec
        self._validator = _field_validator(spec)
        operands = _operand_type(spec)
        self._operands = None if operands is None else JsonCodec(spec.name, operands)
        self.makes_tuple = spec.grows and (get_origin(spec.annotation) or spec.annotation) is tuple
        self.copy_part = _same if self.copy in (_same, list, tuple, dict, set) else copy.deepcopy

    def check(self, value: Any) -> Any:
        """Validate a value of the field, with the field's own validators."""
        return self._validator.validate_python(value)

    def accept_given(self, value: Any) -> Accepted:
        """Check a value of a state that was validated when it was made: its field validators do not run again."""
        return self._stored(self.adapter.validate_python(value))

    def operand(self, value: Any) -> Accepted:
        """Check what a node returned for the field: for a field with `append`, one element.

        Of a grown field the engine keeps the new elements, as a list. In a `Replace` there is a value of the field.
        """
        if isinstance(value, Replace):
            return self.accept(value.value)
        if self.spec.reducer is not None and self.spec.reducer.shape == "element":
            value = [value]
        return self.accept(value) if self._operands is None else self._operands.accept(value)

    def load_operand(self, parsed: Any) -> Any:
        """Read an operand back; see `load`."""
        return self.load(parsed) if self._operands is None else self._operands.load(parsed)

    def copy_operand(self, value: Any) -> Any:
        """An operand that its receiver may do anything with."""
        return self.copy(value) if self._operands is None else self._operands.copy(value)


def _operand_type(spec: FieldSpec) -> Any:
    """What a custom reducer says that it folds in, where that is something else than a value of the field."""
    if spec.reducer is None or spec.reducer.shape != "value":
        return None
    try:
        hints = typing.get_type_hints(spec.reducer.fold, include_extras=True)
    except (NameError, TypeError):
        return None
    given = [kind for name, kind in hints.items() if name != "return"]
    return given[1] if len(given) == 2 and given[1] not in (Any, spec.annotation) else None


class Codec:
    """All fields of one state class."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self.fields = {name: FieldCodec(spec) for name, spec in schema.fields.items()}

    def copy_out(self, name: str, value: Any) -> Any:
        """A value of field *name* that its receiver may do anything with."""
        return self.fields[name].copy(value)


@lru_cache(maxsize=256)
def codec_of(schema: Schema) -> Codec:
    """The codec of a state class (cached)."""
    return Codec(schema)


def _field_validator(spec: FieldSpec) -> SchemaValidator:
    """The validator of one field, with its `@field_validator` functions, without the model's own validators."""
    root: Any = spec.owner.__pydantic_core_schema__
    definitions = root["definitions"] if root["type"] == "definitions" else []
    node = root["schema"] if root["type"] == "definitions" else root
    config = None
    while node["type"] != "model-fields":  # through the model, and the model validators around it
        if node["type"] == "definition-ref":
            node = next(d for d in definitions if d["ref"] == node["schema_ref"])
        else:
            config = node.get("config", config)
            node = node["schema"]
    field = node["fields"][spec.attribute]["schema"]
    if definitions:
        field = core_schema.definitions_schema(field, definitions)
    return SchemaValidator(field, config)


# -- how deep to copy ------------------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def copier(annotation: Any) -> Callable[[Any], Any]:
    """A function that copies values of this type so that no mutable part is shared."""
    if _immutable(annotation, ()):
        return _same
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        parts = [a for a in args if a is not type(None)]
        if len(parts) == 1:
            inner = copier(parts[0])
            return lambda value: None if value is None else inner(value)
    if origin is Annotated:
        return copier(args[0])
    if origin in (list, set, dict) and all(_immutable(a, ()) for a in args):
        return typing.cast("Callable[[Any], Any]", origin)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and _flat(annotation):
        return lambda value: value.model_copy()
    return copy.deepcopy


def _flat(model: type[BaseModel]) -> bool:
    return _only_fields(model) and all(_immutable(f.annotation, (model,)) for f in model.model_fields.values())


def _only_fields(model: type[BaseModel]) -> bool:
    """Whether there is nothing in an instance but the fields, of which the annotations say what they are."""
    return not model.__private_attributes__ and model.model_config.get("extra") != "allow"


def _immutable(annotation: Any, seen: tuple[Any, ...]) -> bool:
    if annotation is None or annotation in seen:
        return True
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, typing.NewType):
        return _immutable(annotation.__supertype__, seen)
    if origin is Literal:
        return True
    if origin is Annotated:
        return _immutable(args[0], seen)
    if origin in (typing.Union, types.UnionType, tuple, frozenset):
        return all(a is Ellipsis or _immutable(a, seen) for a in args)
    if not isinstance(annotation, type):
        return False
    if issubclass(annotation, _ATOMS):
        return True
    seen = (*seen, annotation)
    if issubclass(annotation, BaseModel):
        frozen = bool(annotation.model_config.get("frozen")) and _only_fields(annotation)
        return frozen and all(_immutable(f.annotation, seen) for f in annotation.model_fields.values())
    if is_dataclass(annotation):
        hints = typing.get_type_hints(annotation, include_extras=True)
        params: Any = getattr(annotation, "__dataclass_params__")  # noqa: B009
        return bool(params.frozen) and all(_immutable(hints[f.name], seen) for f in dataclass_fields(annotation))
    return False


def parse(text: str) -> Any:
    """Parse JSON that this library wrote."""
    return from_json(text, allow_inf_nan=True)
