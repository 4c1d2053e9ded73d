"""A measurement in a process of its own: for what a process has taken in memory, or is at its start."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["resident", "run_apart"]


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def run_apart(work: Callable[..., Any], *given: Any) -> Any:
    """Call *work* in a new process, and give what it returns."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_report, args=(there, work, given))
    process.start()
    there.close()
    try:
        return await asyncio.to_thread(here.recv)
    finally:
        process.join()
        here.close()


def _report(door: Any, work: Callable[..., Any], given: tuple[Any, ...]) -> None:
    door.send(work(*given))
