"""Real processes at a tenth of their cost: they are forked from a server that has imported everything."""

from __future__ import annotations

import multiprocessing

__all__ = ["PROCESSES"]

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "tests.kill.warm"])
