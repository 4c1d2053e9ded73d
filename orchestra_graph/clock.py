"""Where the time comes from. The core never asks: every event carries its time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "as_datetime", "as_text"]


class Clock(Protocol):
    """Tells the time; tests bring their own."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()


def as_datetime(at: float) -> datetime:
    """Seconds since the epoch as an aware datetime in UTC."""
    return datetime.fromtimestamp(at, UTC)


def as_text(at: float) -> str:
    """Seconds since the epoch as people read it, to the second, in UTC."""
    return as_datetime(at).strftime("%Y-%m-%d %H:%M:%S UTC")
