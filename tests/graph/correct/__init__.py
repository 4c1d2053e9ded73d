"""Programs with nothing wrong in them, of the shapes that people write: no check may speak."""

from tests.graph.correct import eaches, forks, functions, loops, switches, types
from tests.graph.correct.corpus import PROGRAMS

__all__ = ["PROGRAMS", "eaches", "forks", "functions", "loops", "switches", "types"]
