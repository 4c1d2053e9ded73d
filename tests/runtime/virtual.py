"""The virtual clock of `orchestra_graph.testing`, by the names that these tests use."""

from orchestra_graph.testing.clock import EPOCH, VirtualLoop, elapsed, in_virtual_time
from orchestra_graph.testing.clock import VirtualClock as LoopClock

__all__ = ["EPOCH", "LoopClock", "VirtualLoop", "elapsed", "in_virtual_time"]
