"""A run that is pruned while it is read is unknown, and not broken."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from orchestra_graph.errors import StoreBroken, UnknownRun, UnknownStep
from orchestra_graph.store.base import Store

__all__ = ["told_when_gone"]

P = ParamSpec("P")
R = TypeVar("R")


class _OfRun(Protocol):
    key: str
    _engine: Any  # has the store


H = TypeVar("H", bound=_OfRun)


def told_when_gone(
    read: Callable[Concatenate[H, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[H, P], Coroutine[Any, Any, R]]:
    """Let a method that reads a run raise `UnknownRun` where it found only a part of it, and the run is gone."""

    @wraps(read)
    async def reading(self: H, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await read(self, *args, **kwargs)
        except (StoreBroken, UnknownStep, IndexError) as error:
            store: Store = self._engine.store
            if await store.find(self.key) is None:
                raise UnknownRun(self.key, store.url) from error
            raise

    return reading
