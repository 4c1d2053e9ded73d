"""The statements that only PostgreSQL has: locks, leases, and the marks of writing connections."""

from __future__ import annotations

__all__ = [
    "BEGIN",
    "CLEAN_MARKS",
    "COUNT_DEAD",
    "END_LEASE",
    "END_SESSIONS",
    "GIVE_UP",
    "HURRY",
    "IS_ALIVE",
    "LIVES",
    "LOCK_RUNS",
    "MARK",
    "MARKED",
    "NOTIFY",
    "OWNED",
    "RENEW",
    "SIGN_IN",
    "SYNC",
    "UNMARK",
]

_NOW = "extract(epoch FROM clock_timestamp())"

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

# In the order of their numbers: two that lock several runs never wait for each other in a circle.
LOCK_RUNS = (
    "SELECT id FROM runs WHERE id IN (SELECT n::bigint FROM jsonb_array_elements_text(%s::jsonb) AS t(n)) "
    "ORDER BY id FOR NO KEY UPDATE"
)

# Weaker than what the server is set to would be wrong; "off" alone does not wait for the disk.
SYNC = "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"

# A process that is stopped while it holds the lock of a run must not keep it.
HURRY = "SELECT set_config('idle_in_transaction_session_timeout', %s, true)"

NOTIFY = "SELECT pg_notify(%s, %s)"

# The number of the transaction that a writing connection did last. The row is locked by a transaction that is still on
# its way: who asks waits until it has ended.
MARK = (
    f"INSERT INTO attempts (writer, number, at) VALUES (%s, %s, {_NOW}) "
    "ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"
)
MARKED = (
    f"INSERT INTO attempts (writer, number, at) VALUES (%s, 0, {_NOW}) "
    "ON CONFLICT (writer) DO UPDATE SET at = excluded.at RETURNING number"
)
UNMARK = "DELETE FROM attempts WHERE writer LIKE %s"
CLEAN_MARKS = f"DELETE FROM attempts WHERE at < {_NOW} - 86400"  # whoever it was has long stopped asking

SIGN_IN = (
    f"INSERT INTO engines (id, pid, host, opened_at, lease_until) VALUES (%s, %s, %s, %s, {_NOW} + %s) "
    f"ON CONFLICT (id) DO UPDATE SET lease_until = greatest(engines.lease_until, excluded.lease_until)"
)
RENEW = f"UPDATE engines SET lease_until = {_NOW} + %s WHERE id = %s"
END_LEASE = f"UPDATE engines SET lease_until = {_NOW} - 1 WHERE id = %s"
OWNED = "SELECT id, epoch FROM runs WHERE owner = %s"

GIVE_UP = (
    "UPDATE runs SET owner = NULL, news = CASE WHEN status = 'waiting' THEN 1 ELSE news END "
    "WHERE owner = %s AND (id, epoch) IN "
    "(SELECT (p ->> 0)::bigint, (p ->> 1)::integer FROM jsonb_array_elements(%s::jsonb) AS t(p))"
)

LIVES = f"lease_until > {_NOW}"
IS_ALIVE = f"SELECT 1 FROM engines WHERE id = %s AND {LIVES}"
COUNT_DEAD = (
    "SELECT 1 FROM runs WHERE owner IS NOT NULL AND NOT EXISTS "
    f"(SELECT 1 FROM engines WHERE engines.id = runs.owner AND {LIVES}) LIMIT 1"
)

# A worker that was stopped in the middle of a transaction keeps its locks, on tables of users, too.
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s "
    "AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
)
