"""Is a failure worth another attempt, and when?"""

from __future__ import annotations

import math
import random
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import ValidationError

from orchestra_graph.core.events import ErrorInfo
from orchestra_graph.errors import NodeFailed, NodeTimeout, OrchestraError
from orchestra_graph.graph.policies import Retry
from orchestra_graph.runtime.legible import legible
from orchestra_graph.state.codec import first_line

__all__ = ["described", "next_attempt", "retry_after", "worth_retrying"]

_TRANSIENT_STATUS = frozenset({408, 429, *range(500, 600)})
_TRANSIENT_NAMES = ("Timeout", "ConnectError", "ConnectionError", "NetworkError", "RemoteProtocolError", "RateLimit")


def described(error: BaseException) -> ErrorInfo:
    """An error as data. Never raises, whatever the error's own text does."""
    try:
        message = legible(_text(error))
    except Exception as worse:
        message = f"(its text cannot be made: {type(worse).__name__})"
    return ErrorInfo(type(error).__name__, message)


def _text(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        return first_line(error)
    return error.message if isinstance(error, NodeFailed) else str(error)


def worth_retrying(error: BaseException) -> bool:
    """The default: connection errors, timeouts, and the HTTP statuses 408, 429 and 5xx; nothing else.

    HTTP libraries are known by what their errors carry (``status_code``, ``status`` or ``response.status_code``), not
    by name, so that none has to be installed.
    """
    if isinstance(error, NodeTimeout):
        return True
    if isinstance(error, OrchestraError) or not isinstance(error, Exception):
        return False
    status = _status(error)
    if status is not None:
        return status in _TRANSIENT_STATUS
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return True
    reason = getattr(error, "reason", None)  # urllib wraps what happened
    if isinstance(reason, OSError):
        return worth_retrying(reason)
    outside = type(error).__module__.split(".")[0] not in ("builtins", "pydantic", "pydantic_core", "json")
    return outside and any(name in c.__name__ for c in type(error).__mro__ for name in _TRANSIENT_NAMES)


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    for holder in (error, response):
        for name in ("status_code", "status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600:
                return value
    return None


def retry_after(error: BaseException, now: float) -> float | None:
    """Seconds that the other side asks to wait, from a ``Retry-After`` header in seconds or as a date."""
    for holder in (error, getattr(error, "response", None)):
        headers: Any = getattr(holder, "headers", None)
        if isinstance(headers, Mapping) or hasattr(headers, "get"):
            value = headers.get("Retry-After") or headers.get("retry-after")
            if value is not None:
                return _seconds(str(value), now)
    value = getattr(error, "retry_after", None)
    return _seconds(str(value), now) if isinstance(value, int | float) else None


def _seconds(value: str, now: float) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())


def next_attempt(retry: Retry, attempt: int, error: BaseException, now: float, seed: str) -> float | None:
    """When to try again, or None.

    Args:
        retry: The node's policy.
        attempt: Which attempt failed, from 1.
        error: How.
        now: The time.
        seed: Decides the jitter: the activation and attempt, so that it is the same on every machine.
    """
    if attempt >= retry.attempts or not _wanted(retry, error):
        return None
    wait = retry.wait(attempt, random.Random(seed).random())
    asked = retry_after(error, now)
    return now + (wait if asked is None else max(wait, asked))


def _wanted(retry: Retry, error: BaseException) -> bool:
    if retry.on is None:
        return worth_retrying(error)
    if isinstance(retry.on, type | tuple):
        return isinstance(error, retry.on)
    return retry.on(error)
