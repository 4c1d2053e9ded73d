"""A cold import, in a new process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.report import Figure

__all__ = ["HEAVY", "measure"]

HEAVY = ("sqlalchemy", "aiosqlite", "alembic", "networkx", "graphviz", "pygraphviz", "jsonschema", "click", "numpy")

_PROGRAM = """
import sys, time
began = time.perf_counter()
from pydantic import BaseModel, TypeAdapter
class Any(BaseModel): field: int
floor = time.perf_counter() - began
from orchestra_graph import Graph, State, ask, node
print(time.perf_counter() - began, floor)
print(*[name for name in {heavy!r} if name in sys.modules])
"""


def _once() -> tuple[float, float, str]:
    program = _PROGRAM.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    times, loaded = done.stdout.split("\n")[:2]
    whole, floor = map(float, times.split())
    return whole, floor, loaded


async def measure(folder: Path) -> list[Figure]:
    """Milliseconds, the best of five, beside pydantic alone; and how many of the heavy modules were loaded."""
    found = [_once() for _ in range(5)]
    whole, floor, names = min(found)
    loaded = names.split()
    return [
        Figure("import what declares a graph, in ms", whole * 1e3, 150.0, f"pydantic alone: {floor * 1e3:.0f} ms"),
        Figure("heavy modules that it loads", len(loaded), 0, " ".join(loaded)),
    ]
