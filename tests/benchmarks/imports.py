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
import orchestra_graph
print(time.perf_counter() - began)
print(*[name for name in {heavy!r} if name in sys.modules])
"""


def _once() -> tuple[float, str]:
    program = _PROGRAM.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.split("\n")[:2]
    return float(seconds), loaded


async def measure(folder: Path) -> list[Figure]:
    """Milliseconds, the best of five; and how many of the heavy modules were loaded."""
    found = [_once() for _ in range(5)]
    loaded = found[0][1].split()
    return [
        Figure("import orchestra_graph, in ms", min(t for t, _ in found) * 1e3, 150.0, "the best of five"),
        Figure("heavy modules that it loads", len(loaded), 0, " ".join(loaded)),
    ]
