"""The reading connections of a PostgreSQL store: made as they are needed, and again when they were lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from orchestra_graph.store.door import Reply
from orchestra_graph.store.pg_connect import Target
from orchestra_graph.store.pg_door import Door, Patience
from orchestra_graph.store.pg_faults import is_lost
from orchestra_graph.store.readers import Readers

__all__ = ["PgReaders"]


class PgReaders(Readers):
    """See `Readers`. A read whose connection was lost is read again on a new one."""

    def __init__(self, target: Target, number: int, patience: float):
        """Without any connection.

        Args:
            target: The database.
            number: At most so many.
            patience: Seconds to wait for a server that is away.
        """
        super().__init__(target.url)
        self._target = target
        self._patience = patience
        self._all = [Door(target) for _ in range(number)]
        self._free = list(self._all)

    def _hand_over(self, connection: Door, work: Callable[[], Any], reply: Reply) -> None:
        connection.hand_over(work, reply)

    def _rows(self, connection: Door, sql: str, values: Sequence[Any]) -> list[Any]:
        patience = Patience(self._patience)
        while True:
            try:
                database: Any = connection.connection()  # texts of statements come from the tables
                return list(database.execute(sql, values).fetchall())
            except psycopg.Error as error:
                if not is_lost(error) or not patience.wait():
                    raise
                connection.drop()

    def _as_ours(self, error: BaseException) -> BaseException:
        return self._target.fault(error) if isinstance(error, psycopg.Error) else error
