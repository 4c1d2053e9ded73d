"""What the stores in SQL databases do in the same way: all that is put into words by `Statements` and `Ledger`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import StoreClosed
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
)
from orchestra_graph.store.changes import Changes
from orchestra_graph.store.group_commit import GroupCommit
from orchestra_graph.store.ledger import AnswerGiven, Ledger, MessageSent, Old, Over
from orchestra_graph.store.readers import Readers
from orchestra_graph.store.rows import SELECT_RUNS, begins_with, log_row, message_row, question_row, run_row
from orchestra_graph.store.rules import is_over
from orchestra_graph.store.statements import Statements
from orchestra_graph.store.tables import runs

__all__ = ["Opened", "SqlStore", "Waking"]


class Waking(Protocol):
    """Learns of what other processes wrote."""

    async def wait(self, changes: Changes, seconds: float) -> bool:
        """Wait for news of one kind, of others' making, too; see `Store.changes`."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What there is while a store is open."""

    readers: Readers
    ledger: Ledger
    writer: GroupCommit
    changes: Changes
    answers: Changes
    watch: Waking


class SqlStore:
    """The methods of `Store` that are the same for every SQL database. A subclass opens and closes."""

    def __init__(self, url: str, sql: Statements):
        self.url = url
        self.lost: Callable[[Collection[int]], object] | None = None
        self._sql = sql
        self._open: Opened | None = None

    # -- writing -------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        now = self._now()
        created: tuple[RunRow, bool] = await now.writer.submit(now.ledger.create, new)
        return created

    async def claim(self, run: int) -> RunRow:
        """See `Store.claim`."""
        now = self._now()
        row: RunRow = await now.writer.submit(now.ledger.claim, run, run=run)
        return row

    async def append(self, change: Append) -> None:
        """See `Store.append`."""
        now = self._now()
        await now.writer.submit(now.ledger.append, change, sync=change.sync, chain=change.run)

    async def answer(self, run: int, question: str, answer: str, at: float) -> QuestionRow:
        """See `Store.answer`."""
        now = self._now()
        given = AnswerGiven(run, question, answer, at)
        row: QuestionRow = await now.writer.submit(
            now.ledger.answer, given, sync=True, run=run, then=now.answers.happened
        )
        return row

    async def send(self, message: MessageRow, *, alone: int | None = None) -> tuple[MessageRow, bool]:
        """See `Store.send`."""
        now = self._now()
        what = MessageSent(message, alone)
        sent: tuple[MessageRow, bool] = await now.writer.submit(
            now.ledger.send, what, sync=True, run=message.run, then=now.answers.happened
        )
        return sent

    async def prune(
        self, *, before: float, status: Collection[RunStatus], graph: str | None = None, limit: int = 100
    ) -> list[str]:
        """See `Store.prune`."""
        now = self._now()
        gone: list[str] = await now.writer.submit(now.ledger.prune, Old(before, tuple(status), graph, limit))
        return gone

    async def tidy(self, *, now: float, limit: int = 1000) -> int:
        """See `Store.tidy`."""
        opened = self._now()
        gone: int = await opened.writer.submit(opened.ledger.tidy, Over(now, limit))
        return gone

    # -- reading -------------------------------------------------------------------------------------

    async def find(self, key: str) -> RunRow | None:
        """See `Store.find`."""
        found = await self._read(self._sql.RUN_OF_KEY, key)
        return run_row(found[0]) if found else None

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
        query = SELECT_RUNS.order_by(runs.c.id.desc()).limit(limit)
        if status:
            query = query.where(runs.c.status.in_(status))
        if graph is not None:
            query = query.where(runs.c.graph == graph)
        if key:
            query = query.where(*begins_with(runs.c.key, key))
        if since is not None:
            query = query.where(runs.c.created_at >= since)
        if until is not None:
            query = query.where(runs.c.created_at < until)
        if after is not None:
            query = query.where(runs.c.id < after)
        text, values = self._sql.spelled(query)
        return [run_row(row) for row in await self._read(text, *values)]

    async def due(self, graphs: Mapping[str, str], *, now: float, limit: int = 100) -> list[RunRow]:
        """See `Store.due`."""
        opened = self._now()
        if await self._may_some_be_dead(opened):
            await opened.writer.submit(opened.ledger.bury_the_dead, None)
        names, versions = json.dumps(list(graphs)), json.dumps(list(graphs.items()))
        return [run_row(row) for row in await self._read(self._sql.DUE, now, names, versions, limit)]

    async def shape(self, fingerprint: str) -> str | None:
        """See `Store.shape`."""
        found = await self._read(self._sql.SHAPE, fingerprint)
        return str(found[0][0]) if found else None

    async def snapshot(self, run: int) -> Snapshot | None:
        """See `Store.snapshot`."""
        found = await self._read(self._sql.SNAPSHOT, run)
        return Snapshot(*found[0]) if found else None

    async def log(self, run: int, *, after: int = -1, upto: int | None = None) -> list[LogRow]:
        """See `Store.log`."""
        rows = await self._read(self._sql.LOG, run, after, sys.maxsize if upto is None else upto)
        return [log_row(row) for row in rows]

    async def rows(self, run: int, seqs: Sequence[int]) -> list[LogRow]:
        """See `Store.rows`."""
        return [log_row(row) for row in await self._read(self._sql.ROWS, run, json.dumps(list(seqs)))]

    async def blobs(self, hashes: Iterable[str]) -> dict[str, str]:
        """See `Store.blobs`."""
        return dict(await self._read(self._sql.BLOBS, json.dumps(list(hashes))))

    async def cached(self, key: str, now: float) -> str | None:
        """See `Store.cached`."""
        for body, expires_at in await self._read(self._sql.CACHED, key):
            if not is_over(expires_at, now):
                return str(body)
            opened = self._now()
            await opened.writer.submit(opened.ledger.drop_cached, (key, now))
        return None

    async def questions(
        self, run: int | None = None, *, status: Sequence[QuestionStatus] = ("open",)
    ) -> list[QuestionRow]:
        """See `Store.questions`."""
        of_run = () if run is None else (run,)
        if status:
            text = self._sql.QUESTIONS_WITH_STATUS if run is None else self._sql.QUESTIONS_OF_RUN_WITH_STATUS
            return [question_row(row) for row in await self._read(text, *of_run, json.dumps(list(status)))]
        text = self._sql.QUESTIONS if run is None else self._sql.QUESTIONS_OF_RUN
        return [question_row(row) for row in await self._read(text, *of_run)]

    async def question(self, run: int, question: str) -> QuestionRow | None:
        """See `Store.question`."""
        found = await self._read(self._sql.QUESTION, run, question)
        return question_row(found[0]) if found else None

    async def news(self, asked: Mapping[int, Collection[str]], *, now: float | None = None) -> list[QuestionRow]:
        """See `Store.news`."""
        named = [(number, name) for number, names in asked.items() for name in names]
        return [question_row(row) for row in await self._read(self._sql.NEWS, json.dumps(named), "open", now)]

    async def inbox(self, run: int | None = None, *, taken: bool = False) -> list[MessageRow]:
        """See `Store.inbox`."""
        sql = self._sql
        if run is None:
            rows = await self._read(sql.INBOX if taken else sql.UNREAD, self._now().ledger.engine)
        else:
            rows = await self._read(sql.INBOX_OF_RUN if taken else sql.UNREAD_OF_RUN, run)
        return [message_row(row) for row in rows]

    async def sizes(self) -> dict[str, Size]:
        """See `Store.sizes`."""
        sql = self._sql
        texts = {
            "runs": sql.SIZE_OF_RUNS,
            "events": sql.SIZE_OF_EVENTS,
            "snapshots": sql.SIZE_OF_SNAPSHOTS,
            "questions": sql.SIZE_OF_QUESTIONS,
            "messages": sql.SIZE_OF_MESSAGES,
            "blobs": sql.SIZE_OF_BLOBS,
            "cached": sql.SIZE_OF_CACHED,
        }
        return {
            kind: Size(rows, int(size or 0)) for kind, text in texts.items() for rows, size in await self._read(text)
        }

    async def changes(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.changes`."""
        now = self._now()
        return await now.watch.wait(now.changes, timeout)

    async def answers(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.answers`."""
        now = self._now()
        return await now.watch.wait(now.answers, timeout)

    async def _may_some_be_dead(self, opened: Opened) -> bool:
        """Whether there may be runs whose owner is dead."""
        return bool(await self._read(self._sql.OWNERS, opened.ledger.engine))

    # -- inside --------------------------------------------------------------------------------------

    def _now(self) -> Opened:
        if self._open is None:
            raise StoreClosed(self.url, "the store is not open. Use it inside of   async with store:")
        return self._open

    async def _read(self, text: str, *values: Any) -> list[Any]:
        return await self._now().readers.read(text, values)
