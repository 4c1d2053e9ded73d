"""Imported by the server from which the processes are forked: after one run they find everything imported and compiled.

It has no threads and no open files when it is done; whoever is forked from it opens its own.
"""

from __future__ import annotations

from contextlib import suppress
from tempfile import TemporaryDirectory

from orchestra_graph import GraphError
from tests.kill.constructs import CONSTRUCTS, graph_of
from tests.kill.worker import drive

for name in CONSTRUCTS:
    with suppress(GraphError):  # the test of that one will say it
        graph_of(name).compile()
with TemporaryDirectory() as folder:
    drive(folder, 0, "after", False)
