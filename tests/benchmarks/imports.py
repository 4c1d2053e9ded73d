"""A cold import, in a new process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.report import Figure

__all__ = ["HEAVY", "measure"]

HEAVY = (
    *("sqlalchemy", "aiosqlite", "alembic", "psycopg", "cryptography"),
    *("networkx", "graphviz", "pygraphviz", "jsonschema", "click", "numpy"),
)

_TIMED = """
import sys, time
began = time.perf_counter()
{statement}
print(time.perf_counter() - began)
print(*[name for name in {heavy!r} if name in sys.modules])
"""
_BARE = "import orchestra_graph"
_DECLARING = "from orchestra_graph import Graph, State, ask, node"
_FLOOR = "from pydantic import BaseModel, TypeAdapter\nclass Model(BaseModel): field: int"


def _best(statement: str) -> tuple[float, list[str]]:
    """Milliseconds, the best of five processes; and the heavy modules that were loaded."""
    program = _TIMED.format(statement=statement, heavy=HEAVY)
    found = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        seconds, loaded = done.stdout.split("\n")[:2]
        found.append((float(seconds) * 1e3, loaded.split()))
    return min(found)


async def measure(folder: Path) -> list[Figure]:
    """The bare import, and the names that a module with a graph in it uses, beside pydantic alone."""
    bare, _ = _best(_BARE)
    floor, _ = _best(_FLOOR)
    declaring, loaded = _best(_DECLARING)
    return [
        Figure("import orchestra_graph, in ms", bare, 150.0, "the best of five"),
        Figure("import what declares a graph, in ms", declaring, 150.0, f"pydantic alone: {floor:.0f} ms"),
        Figure("heavy modules that it loads", len(loaded), 0, " ".join(loaded)),
    ]
