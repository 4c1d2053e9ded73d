"""For the tests of whoever uses the library: virtual time, faults, crashes, whole fleets. The rest never imports it.

Rule 1. A name is imported when it is asked for: the plugin for pytest, which stands in here, costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestra_graph.testing.acting import Answers as Answers
    from orchestra_graph.testing.acting import Message as Message
    from orchestra_graph.testing.clock import VirtualClock as VirtualClock
    from orchestra_graph.testing.clock import VirtualLoop as VirtualLoop
    from orchestra_graph.testing.clock import in_virtual_time as in_virtual_time
    from orchestra_graph.testing.clock import run_virtually as run_virtually
    from orchestra_graph.testing.crash import CrashFailure as CrashFailure
    from orchestra_graph.testing.crash import CrashReport as CrashReport
    from orchestra_graph.testing.crash import crash_everywhere as crash_everywhere
    from orchestra_graph.testing.faults import Fault as Fault
    from orchestra_graph.testing.faults import FaultyStore as FaultyStore
    from orchestra_graph.testing.postgres import throwaway_postgres as throwaway_postgres
    from orchestra_graph.testing.simulation import Job as Job
    from orchestra_graph.testing.simulation import SimulationFailure as SimulationFailure
    from orchestra_graph.testing.simulation import SimulationReport as SimulationReport
    from orchestra_graph.testing.simulation import simulate as simulate

__all__ = [
    "Answers",
    "CrashFailure",
    "CrashReport",
    "Fault",
    "FaultyStore",
    "Job",
    "Message",
    "SimulationFailure",
    "SimulationReport",
    "VirtualClock",
    "VirtualLoop",
    "crash_everywhere",
    "in_virtual_time",
    "run_virtually",
    "simulate",
    "throwaway_postgres",
]

_LAZY: Mapping[str, str] = {
    "Answers": "acting",
    "CrashFailure": "crash",
    "CrashReport": "crash",
    "Fault": "faults",
    "FaultyStore": "faults",
    "Job": "simulation",
    "Message": "acting",
    "SimulationFailure": "simulation",
    "SimulationReport": "simulation",
    "VirtualClock": "clock",
    "VirtualLoop": "clock",
    "crash_everywhere": "crash",
    "in_virtual_time": "clock",
    "run_virtually": "clock",
    "simulate": "simulation",
    "throwaway_postgres": "postgres",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'orchestra_graph.testing' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"orchestra_graph.testing.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
