"""A declared patch: the type of what a node returns that writes several fields.

``class Plan(Patch[Research])`` names some fields of the state ``Research``. What is not set is not written. A TypedDict
or a NamedTuple whose names are fields does as well.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from orchestra_graph.state.schema import FrozenModel, State

__all__ = ["Patch", "patch_fields", "patch_state"]

S = TypeVar("S", bound=State)


class Patch(BaseModel, Generic[S], metaclass=FrozenModel):
    """The base of a declared patch; its fields are fields of the state *S*."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def patch_state(patch: type[Patch[Any]]) -> Any:
    """The state class that a patch names, or None for a bare ``Patch``."""
    for base in patch.__mro__:
        args = getattr(base, "__pydantic_generic_metadata__", {}).get("args", ())
        if args:
            return args[0]
    return None


def patch_fields(value: Any) -> dict[str, Any]:
    """What a returned patch writes: field to value."""
    if isinstance(value, Patch):
        return {name: getattr(value, name) for name in type(value).model_fields if name in value.model_fields_set}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    return dict(value)
