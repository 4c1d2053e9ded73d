"""Imported by the server from which the processes are forked: after one run they find everything imported and compiled.

It has no threads and no open files when it is done; whoever is forked from it opens its own.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory

from tests.kill.constructs import CONSTRUCTS, graph_of
from tests.kill.worker import drive

for name in CONSTRUCTS:
    graph_of(name).compile()
with TemporaryDirectory() as folder:
    drive(folder, 0, "after", False)
