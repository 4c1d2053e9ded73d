"""What of a `Ledger` is different on SQLite."""

from __future__ import annotations

from typing import Any

from orchestra_graph.store.ledger import Ledger

__all__ = ["SqliteLedger"]


class SqliteLedger(Ledger):
    """The writes of one open SQLite store.

    SQLite gives the number of a row that was removed to another one, if it was the last. A run that somebody waits for
    would become another run under his hands. So the highest number that was removed stands in the header of the file.
    """

    def _unused(self, db: Any, number: int) -> int:
        last = _last_removed(db)
        if number > last:
            return number
        db.execute("UPDATE runs SET id = ? WHERE id = ?", (last + 1, number))
        return last + 1

    def _remember(self, db: Any, number: int) -> None:
        if number > _last_removed(db):
            db.execute(f"PRAGMA user_version = {number:d}")


def _last_removed(db: Any) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
