"""Programs with nothing wrong in them, of the shapes that people write: no check may speak."""

from tests.graph.correct import (
    eaches,
    failures,
    forks,
    functions,
    joins,
    loops,
    subgraphs,
    switches,
    types,
    versions,
    views,
)
from tests.graph.correct.corpus import PROGRAMS

__all__ = [
    "PROGRAMS",
    "eaches",
    "failures",
    "forks",
    "functions",
    "joins",
    "loops",
    "subgraphs",
    "switches",
    "types",
    "versions",
    "views",
]
