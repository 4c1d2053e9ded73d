"""Programs with one mistake each: the check, the line and the mend are known."""

from tests.graph.mistakes import edges, fields, nodes, reads, runs, switches, writes
from tests.graph.mistakes.corpus import MISTAKES, Mistake

__all__ = ["MISTAKES", "Mistake", "edges", "fields", "nodes", "reads", "runs", "switches", "writes"]
