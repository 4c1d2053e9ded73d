"""What PostgreSQL adds to the `Ledger`: an engine lives as long as its lease, by the database's clock."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from typing import Any

from orchestra_graph.clock import Clock
from orchestra_graph.ids import new_engine_id
from orchestra_graph.store import pg_sql
from orchestra_graph.store.base import RunRow
from orchestra_graph.store.ledger import Ledger
from orchestra_graph.store.statements import POSTGRES

__all__ = ["Member", "PgLedger", "session_name"]


def session_name(engine: str) -> str:
    """What the connections of an engine are called on the server."""
    return f"orchestra {engine}"


@dataclass(slots=True)
class Member:
    """One open store as an owner of runs.

    Attributes:
        lease: Seconds for which it is taken to be alive after it last said so.
        id: The engine id; never used a second time.
        pid: Of this process.
        host: The name of this machine.
        signed_in: It may own runs: others can see it.
        left: Runs, with their epochs, that it owned when it could not say for a whole lease that it lives. Nobody
            drives them any more here: what is still its own is to be given up.
    """

    lease: float
    id: str = field(default_factory=new_engine_id)
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=platform.node)
    signed_in: bool = False
    left: dict[int, int] = field(default_factory=dict)


class PgLedger(Ledger):
    """The writes of one open store on PostgreSQL."""

    def __init__(self, url: str, member: Member, clock: Clock):
        me: Any = member  # has of an Identity what is used here
        super().__init__(url, me, clock, POSTGRES)
        self._member = member

    def come_back(self, db: Any, left: dict[int, int]) -> None:
        """Live again, after a lapse, and give up what was left."""
        self._sign_in(db)
        self._give_up(db, left)

    def claim(self, db: Any, number: int) -> RunRow:
        """See `Store.claim`. What was left is not ours, though nobody else has taken it yet."""
        if number in self._member.left:
            self._give_up(db, {number: self._member.left[number]})
        return super().claim(db, number)

    def sign_out(self, db: Any, _: None) -> None:
        """Give up every run, and be forgotten."""
        super().sign_out(db, None)
        self._member.signed_in = False

    def _is_alive(self, db: Any, engine: str) -> bool:
        if engine == self._member.id:
            return True
        if db.execute(pg_sql.IS_ALIVE, (engine,)).fetchone() is not None:
            return True
        # It may only stand still, and hold locks that its successor needs, on tables of users, too.
        db.execute(pg_sql.END_SESSIONS, (session_name(engine),))
        return False

    def _sign_in(self, db: Any) -> None:
        me = self._member
        if not me.signed_in:
            db.execute(pg_sql.CLEAN_MARKS)
        # Each time: the transaction that did it first may not have been stored.
        db.execute(pg_sql.SIGN_IN, (me.id, me.pid, me.host, self._clock.now(), me.lease))
        me.signed_in = True

    def _give_up(self, db: Any, left: dict[int, int]) -> None:
        db.execute(pg_sql.GIVE_UP, (self._member.id, json.dumps(list(left.items()))))
