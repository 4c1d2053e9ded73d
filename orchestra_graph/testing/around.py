"""`Around`: a store around another one, which sees every call. For tests; `FaultyStore` is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from orchestra_graph.core.record import RunStatus
from orchestra_graph.store.base import (
    Append,
    LogRow,
    MessageRow,
    NewRun,
    QuestionRow,
    QuestionStatus,
    RunRow,
    Size,
    Snapshot,
    Store,
    Transaction,
)

__all__ = ["WRITES", "Around"]

T = TypeVar("T")

WRITES = frozenset({"create", "claim", "append", "answer", "send", "prune", "tidy", "compact"})
"""The methods of a store that may change something."""


class Around:
    """A `Store` that hands every call on to another one.

    Args:
        inner: The store that does the work.
    """

    def __init__(self, inner: Store):
        self.inner = inner

    async def through(self, method: str, call: Callable[[], Awaitable[T]], what: Any = None) -> T:
        """Do one call; for classes below.

        Args:
            method: The name of the method.
            call: Does it.
            what: Its first argument.
        """
        return await call()

    @property
    def url(self) -> str:
        """Where the inner store is."""
        return self.inner.url

    @url.setter
    def url(self, url: str) -> None:
        self.inner.url = url

    @property
    def lost(self) -> Callable[[Collection[int]], object] | None:
        """See `Store`."""
        return self.inner.lost

    @lost.setter
    def lost(self, told: Callable[[Collection[int]], object] | None) -> None:
        self.inner.lost = told

    async def __aenter__(self) -> Store:
        """Open the inner store."""
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        """Close the inner store."""
        await self.inner.__aexit__(*exc)

    # -- writing ------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        return await self.through("create", lambda: self.inner.create(new), new)

    async def claim(self, run: int) -> RunRow:
        """See `Store.claim`."""
        return await self.through("claim", lambda: self.inner.claim(run), run)

    async def append(self, change: Append) -> None:
        """See `Store.append`."""
        await self.through("append", lambda: self.inner.append(change), change)

    async def answer(self, run: int, question: str, answer: str, at: float) -> QuestionRow:
        """See `Store.answer`."""
        return await self.through("answer", lambda: self.inner.answer(run, question, answer, at), question)

    async def send(self, message: MessageRow, *, alone: int | None = None) -> tuple[MessageRow, bool]:
        """See `Store.send`."""
        return await self.through("send", lambda: self.inner.send(message, alone=alone), message)

    async def begin(self, run: int, epoch: int) -> Transaction:
        """See `Store.begin`."""
        return await self.through("begin", lambda: self.inner.begin(run, epoch), run)

    async def prune(
        self, *, before: float, status: Collection[RunStatus], graph: str | None = None, limit: int = 100
    ) -> list[str]:
        """See `Store.prune`."""
        more: dict[str, Any] = {"before": before, "status": status, "graph": graph, "limit": limit}
        return await self.through("prune", lambda: self.inner.prune(**more))

    async def tidy(self, *, now: float, limit: int = 1000) -> int:
        """See `Store.tidy`."""
        return await self.through("tidy", lambda: self.inner.tidy(now=now, limit=limit))

    async def compact(self) -> None:
        """See `Store.compact`."""
        await self.through("compact", self.inner.compact)

    # -- reading ------------------------------------------------------------------------------------

    async def find(self, key: str) -> RunRow | None:
        """See `Store.find`."""
        return await self.through("find", lambda: self.inner.find(key), key)

    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        graph: str | None = None,
        key: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[RunRow]:
        """See `Store.runs`."""
        more: dict[str, Any] = {"since": since, "until": until, "after": after, "limit": limit}
        return await self.through("runs", lambda: self.inner.runs(status=status, graph=graph, key=key, **more))

    async def shape(self, fingerprint: str) -> str | None:
        """See `Store.shape`."""
        return await self.through("shape", lambda: self.inner.shape(fingerprint), fingerprint)

    async def snapshot(self, run: int) -> Snapshot | None:
        """See `Store.snapshot`."""
        return await self.through("snapshot", lambda: self.inner.snapshot(run), run)

    async def log(self, run: int, *, after: int = -1, upto: int | None = None) -> list[LogRow]:
        """See `Store.log`."""
        return await self.through("log", lambda: self.inner.log(run, after=after, upto=upto), run)

    async def rows(self, run: int, seqs: Sequence[int]) -> list[LogRow]:
        """See `Store.rows`."""
        return await self.through("rows", lambda: self.inner.rows(run, seqs), run)

    async def blobs(self, hashes: Iterable[str]) -> dict[str, str]:
        """See `Store.blobs`."""
        return await self.through("blobs", lambda: self.inner.blobs(hashes))

    async def cached(self, key: str, now: float) -> str | None:
        """See `Store.cached`."""
        return await self.through("cached", lambda: self.inner.cached(key, now), key)

    async def questions(
        self, run: int | None = None, *, status: Sequence[QuestionStatus] = ("open",)
    ) -> list[QuestionRow]:
        """See `Store.questions`."""
        return await self.through("questions", lambda: self.inner.questions(run, status=status), run)

    async def question(self, run: int, question: str) -> QuestionRow | None:
        """See `Store.question`."""
        return await self.through("question", lambda: self.inner.question(run, question), question)

    async def news(self, asked: Mapping[int, Collection[str]], *, now: float | None = None) -> list[QuestionRow]:
        """See `Store.news`."""
        return await self.through("news", lambda: self.inner.news(asked, now=now))

    async def due(self, graphs: Mapping[str, str], *, now: float, limit: int = 100) -> list[RunRow]:
        """See `Store.due`."""
        return await self.through("due", lambda: self.inner.due(graphs, now=now, limit=limit))

    async def inbox(self, run: int | None = None, *, taken: bool = False) -> list[MessageRow]:
        """See `Store.inbox`."""
        return await self.through("inbox", lambda: self.inner.inbox(run, taken=taken), run)

    async def sizes(self) -> dict[str, Size]:
        """See `Store.sizes`."""
        return await self.through("sizes", self.inner.sizes)

    async def changes(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.changes`."""
        return await self.through("changes", lambda: self.inner.changes(timeout))

    async def answers(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.answers`."""
        return await self.through("answers", lambda: self.inner.answers(timeout))
