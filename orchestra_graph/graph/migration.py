"""What a graph says about runs of its older versions: what is called otherwise, and what their state becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["FieldMove", "FromOld", "Migration", "OldState"]

OldState: TypeAlias = Mapping[str, Any]
"""What the fields of a run of an older version hold, by the names of that version: values of the declared types where
a field is still the same, plain data where it is not; fields without a value are not in there."""
FromOld: TypeAlias = Callable[[OldState], object]
"""Makes the value of a field of what the fields held."""
FieldMove: TypeAlias = "str | FromOld | None"
"""Of an old field: its new name, or None, its values are left behind. Of a new one: what makes its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One call of `Graph.migrate`.

    Attributes:
        version: From which version of the graph; to that of the next migration, or to the graph's own.
        nodes: Old name to new one; None: what is live there is withdrawn.
        fields: Old name to new one or None; new name to what makes its value.
        state: Makes the values of several fields.
        where: The line that declared it.
    """

    version: str
    nodes: Mapping[str, str | None] = field(default_factory=dict)
    fields: Mapping[str, FieldMove] = field(default_factory=dict)
    state: Callable[[OldState], Mapping[str, Any]] | None = None
    where: str = ""

    @property
    def renamed(self) -> dict[str, str | None]:
        """The fields that are called otherwise, or left behind."""
        return {name: now for name, now in self.fields.items() if now is None or isinstance(now, str)}

    @property
    def functions(self) -> dict[str, FromOld]:
        """The fields that get a value of their own."""
        return {name: now for name, now in self.fields.items() if callable(now)}
