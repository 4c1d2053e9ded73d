"""`Result`: what a node gave, on its way into the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestra_graph.core.events import Taken

__all__ = ["Result"]


@dataclass(slots=True)
class Result:
    """What a node gave, ready to be stored.

    Attributes:
        writes: Field to value.
        fragments: Field to JSON.
        taken: The edges taken.
        made: Items that functions made, by edge.
        item_fragments: The same as JSON.
        replaced: Those of *writes* that are whole values, in place of what was folded before.
        cached: It is that of an earlier time; the node was not run.
        reused: It is that of the run with this key, from which this one was forked; the node was not run.
    """

    writes: dict[str, Any] = field(default_factory=dict)
    fragments: dict[str, str] = field(default_factory=dict)
    taken: Sequence[Taken] = ()
    made: dict[int, Sequence[Any]] = field(default_factory=dict)
    item_fragments: dict[int, str] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()
    cached: bool = False
    reused: str | None = None
