"""Programs with one mistake each: the check, the line and the mend are known."""

from tests.graph.mistakes import (
    calls,
    edges,
    failures,
    fields,
    joins,
    messages,
    nodes,
    reads,
    runs,
    switches,
    uses,
    versions,
    writes,
)
from tests.graph.mistakes.corpus import MISTAKES, Mistake

__all__ = [
    "MISTAKES",
    "Mistake",
    "calls",
    "edges",
    "failures",
    "fields",
    "joins",
    "messages",
    "nodes",
    "reads",
    "runs",
    "switches",
    "uses",
    "versions",
    "writes",
]
