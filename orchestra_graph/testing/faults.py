"""`FaultyStore`: a store whose database fails now and then, by chance that can be repeated, or by a script.

    store = FaultyStore(SqliteStore("sqlite:///runs.db"), seed=7, rate=0.05)
    async with Engine(store, graphs=[graph]) as engine:
        ...
    print(store.faults)                                    # what failed, and how

    FaultyStore(inner, script=[("append", 3, "full")])     # the third append, and nothing else

Rule 1. Chance depends on the seed, the method, and how many calls of that method there were: so the same calls meet the
same faults, whatever else was called in between.
Rule 2. A fault is an error that the real stores raise, and leaves what they leave: everything or nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from orchestra_graph.errors import StoreBusy, StoreError, StoreFull
from orchestra_graph.store.base import Store
from orchestra_graph.testing.around import WRITES, Around

__all__ = ["FAULT_KINDS", "Fault", "FaultKind", "FaultyStore"]

T = TypeVar("T")

FaultKind = Literal["timeout", "late", "serialization", "locked", "full", "lost"]
"""How a call fails. ``timeout``: nothing was done. ``late``: it was done, and the caller is told that it timed out.
``serialization``: the database could not order two transactions; nothing was done. ``locked``: somebody else held the
lock for too long. ``full``: the disk is full; only writes can meet it. ``lost``: the connection broke."""

FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


@dataclass(frozen=True, slots=True)
class Fault:
    """One call that failed.

    Attributes:
        method: Of the store.
        call: Which call of that method it was, from 1.
        kind: How it failed.
    """

    method: str
    call: int
    kind: FaultKind

    def __str__(self) -> str:
        return f'("{self.method}", {self.call}, "{self.kind}")'


class FaultyStore(Around):
    """A `Store` around another one, of which each call may fail.

    Args:
        inner: The store that does the work; not open.
        seed: Of chance: the same one, the same faults.
        rate: How many calls fail, from 0 to 1; 0.01 where this and *script* are left out.
        kinds: How they fail.
        methods: Only these methods fail; all where it is left out.
        script: Calls that fail for sure, each as ``(method, which call of it, kind)``; calls are counted from 1.

    Attributes:
        faults: What has failed so far, in order. Given as *script* it happens again.
    """

    def __init__(
        self,
        inner: Store,
        *,
        seed: int | str = 0,
        rate: float | None = None,
        kinds: Collection[FaultKind] = FAULT_KINDS,
        methods: Collection[str] | None = None,
        script: Iterable[tuple[str, int, FaultKind] | Fault] = (),
    ):
        super().__init__(inner)
        planned = [(f.method, f.call, f.kind) if isinstance(f, Fault) else f for f in script]
        unknown = {kind for *_, kind in planned} | set(kinds)
        if unknown - set(FAULT_KINDS):
            raise ValueError(f"no such fault: {sorted(unknown - set(FAULT_KINDS))}. There are {', '.join(FAULT_KINDS)}")
        self.faults: list[Fault] = []
        self._seed, self._kinds, self._methods = seed, tuple(kinds), methods
        self._rate = rate if rate is not None else 0.0 if planned else 0.01
        self._script = {(method, call): kind for method, call, kind in planned}
        self._calls: Counter[str] = Counter()
        self._healed = False

    def heal(self) -> None:
        """From now on nothing fails."""
        self._healed = True

    async def through(self, method: str, call: Callable[[], Awaitable[T]], what: Any = None) -> T:
        """Do one call, or let it fail."""
        self._calls[method] += 1
        kind = self._fate(method, self._calls[method])
        if kind is None:
            return await call()
        self.faults.append(Fault(method, self._calls[method], kind))
        if kind == "late":
            await call()
        raise _ERRORS[kind](self.url)

    def _fate(self, method: str, call: int) -> FaultKind | None:
        if self._healed:
            return None
        if (method, call) in self._script:
            return self._script[method, call]
        if not self._rate or (self._methods is not None and method not in self._methods):
            return None
        chance = random.Random(f"{self._seed}/{method}/{call}")
        if chance.random() >= self._rate:
            return None
        kinds = self._kinds if method in WRITES else [kind for kind in self._kinds if kind != "full"]
        return chance.choice(kinds) if kinds else None


_ERRORS: dict[FaultKind, Callable[[str], StoreError]] = {
    "timeout": lambda url: StoreError(url, "the statement timed out"),
    "late": lambda url: StoreError(url, "no answer came in time; whether it was stored is not known"),
    "serialization": lambda url: StoreError(url, "could not serialize access due to concurrent update"),
    "locked": lambda url: StoreBusy(url, "another process held the write lock for too long"),
    "full": lambda url: StoreFull(url, "the disk is full"),
    "lost": lambda url: StoreError(url, "the connection was lost"),
}
