"""The shared state of a graph: a frozen pydantic model, and what the engine reads off its class.

Rule 1. A state that a user holds never shares a mutable object with the engine.
Rule 2. A `later()` field has no value until a node writes it; reading it before raises `NotWritten`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, dataclass_transform

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, SchemaValidator, core_schema

from orchestra_graph.errors import NotWritten
from orchestra_graph.state.reducers import Reducer

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # the same class, by its public name

__all__ = ["FieldSpec", "FrozenModel", "Schema", "State", "later"]


class _Later:
    """The default of a `later()` field; it never reaches a user."""

    def __repr__(self) -> str:
        return "later()"

    def __copy__(self) -> _Later:
        return self

    def __deepcopy__(self, memo: object) -> _Later:
        return self


LATER = _Later()


def later() -> Any:
    """Declare a field that some node writes before any node reads it (checked when the graph is compiled)."""
    return LATER


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field, PrivateAttr))
class FrozenModel(ModelMetaclass):
    """Lets type checkers see that instances cannot be assigned to, without a plugin."""


class State(BaseModel, metaclass=FrozenModel):
    """The base of every state: subclass it and declare the fields.

    Instances are frozen. Fields without a default must be given at the start; `later()` fields are written by a node.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, ser_json_inf_nan="constants")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Make sure that a subclass with its own ``model_post_init`` still loses the markers of unset fields."""
        super().__pydantic_init_subclass__(**kwargs)
        own = cls.__dict__.get("model_post_init")
        if own is None or getattr(own, "_drops_markers", False):
            return

        def model_post_init(self: State, context: Any, /) -> None:
            _drop_markers(self)
            own(self, context)

        model_post_init._drops_markers = True  # type: ignore[attr-defined]
        cls.model_post_init = model_post_init  # type: ignore[method-assign]

    def model_post_init(self, context: Any, /) -> None:
        """Take the markers of unset fields away, so that reading one raises."""
        _drop_markers(self)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            field = type(self).model_fields.get(name)
            if field is not None:
                raise NotWritten(type(self).__name__, name)
            return super().__getattr__(name)


def _drop_markers(state: State) -> None:
    values = state.__dict__
    for name in [name for name, value in values.items() if value is LATER]:
        del values[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """One field of a state, as the engine sees it.

    Attributes:
        name: The field.
        annotation: Its declared type, without ``Annotated`` metadata.
        reducer: How writes are folded, or None: the newest write stands.
        required: It must be given at the start.
        later: It has no value until a node writes it.
        default: Its default; meaningful when neither *required* nor *later*, and no factory is set.
        has_factory: The default is made anew at each start.
        owner: The state class that declares it.
        attribute: What it is called there.
        private: It is a field of a graph that stands in another one, and lives as long as a call of it.
    """

    name: str
    annotation: Any
    reducer: Reducer[Any, Any] | None
    required: bool
    later: bool
    default: Any
    has_factory: bool
    owner: type[State]
    attribute: str
    private: bool = False

    @property
    def info(self) -> FieldInfo:
        """What pydantic knows of it."""
        return self.owner.model_fields[self.attribute]

    @property
    def grows(self) -> bool:
        """Whether the field is a sequence that only gets longer."""
        return self.reducer is not None and self.reducer.grows


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """The fields of one state class."""

    state: type[State]
    fields: Mapping[str, FieldSpec]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(state: type[State]) -> Schema:
        """Read the fields off a state class (cached: a class has one schema)."""
        return Schema(state, {name: _field(state, name) for name in state.model_fields})

    @property
    def _has_own_validators(self) -> bool:
        decorators = self.state.__pydantic_decorators__
        return bool(decorators.model_validators or decorators.root_validators)

    def given(self, state: State) -> dict[str, Any]:
        """The values a run starts with: what was given, and the defaults."""
        return {name: value for name, value in state.__dict__.items() if name in self.fields}

    def build(self, values: Mapping[str, Any], *, whole: bool = False) -> State:
        """Make a state of values that were validated one by one; fields that are left out are not written yet.

        Args:
            values: The values, made for whoever gets the state.
            whole: It is the final state: the validators of the state itself see it. Those of its fields have seen
                every value when it was written, and do not see it again.
        """
        if whole and self._has_own_validators:
            built: State = _own_validators(self.state).validate_python(dict(values), by_alias=False, by_name=True)
            return built
        built = self.state.model_construct(_fields_set=set(values), **values)
        for name in [name for name in built.__dict__ if name not in values]:
            del built.__dict__[name]  # model_construct filled in a default that no run ever started with
        return built


@lru_cache(maxsize=256)
def _own_validators(state: type[State]) -> SchemaValidator:
    """The validator of a state without those of its fields."""

    def bare(node: Any) -> Any:
        """The same schema, in which every field takes anything."""
        if node["type"] == "model-fields":
            return {**node, "fields": {n: {**f, "schema": _anything(f["schema"])} for n, f in node["fields"].items()}}
        if node["type"] == "definitions":
            by_ref = {d.get("ref"): d for d in node["definitions"]}
            inner = node["schema"]
            return bare(by_ref[inner["schema_ref"]] if inner["type"] == "definition-ref" else inner)
        return {**node, "schema": bare(node["schema"])}  # the model, or a validator around it

    return SchemaValidator(bare(state.__pydantic_core_schema__))


def _anything(field: Any) -> Any:
    is_later = field["type"] == "default" and field.get("default") is LATER
    return core_schema.with_default_schema(core_schema.any_schema(), default=LATER) if is_later else {"type": "any"}


def _field(state: type[State], name: str) -> FieldSpec:
    info = state.model_fields[name]
    found = next((m for m in info.metadata if isinstance(m, Reducer)), None)
    unset = info.default is LATER
    required = info.default is PydanticUndefined and info.default_factory is None
    return FieldSpec(
        name=name,
        annotation=info.annotation,
        reducer=found,
        required=required,
        later=unset,
        default=None if unset or required else info.default,
        has_factory=info.default_factory is not None,
        owner=state,
        attribute=name,
    )
