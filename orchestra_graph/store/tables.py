"""The tables, as SQLAlchemy Core describes them.

`migrations/` makes them; `tests/store/test_migrate.py` sees that both say the same.

Rule 1. Only column types that PostgreSQL has as well.
Rule 2. The event table has a row id of its own and a unique index on ``(run, seq)``: without the row id, each row of
a SQLite file would carry its index entry and its body on one page, which stores several times the payload.
Rule 3. Rows of ``events``, ``graphs`` and ``blobs`` are never changed.
Rule 4. Whoever writes a log row that names a blob writes the blob and its use by the run in the same transaction. The
node cache is no use: a result whose blob is gone is no result any more.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, MetaData, Table, Text, text

__all__ = [
    "attempts",
    "blob_uses",
    "blobs",
    "engines",
    "events",
    "graphs",
    "inbox",
    "metadata",
    "node_cache",
    "questions",
    "runs",
    "snapshots",
]

metadata = MetaData()

# SQLite makes a column its row id only where the type is spelled INTEGER.
_Number = BigInteger().with_variant(Integer(), "sqlite")

# Keys are compared letter by letter: a key that begins with a text lies between two others.
_Key = Text().with_variant(Text(collation="C"), "postgresql")

graphs = Table(
    "graphs",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("shape", Text, nullable=False),
)

engines = Table(
    "engines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    # By the database's clock. Null where a lock says who lives.
    Column("lease_until", Double),
)

# The last transaction of each writing connection, on PostgreSQL: whether it was stored can be asked after the
# connection was lost. (A transaction's own number will not do: a server that crashes gives it to another one.)
attempts = Table(
    "attempts",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("number", _Number, nullable=False),
    Column("at", Double, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("key", _Key, nullable=False),
    Column("graph", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("fingerprint", Text, ForeignKey("graphs.fingerprint"), nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("epoch", Integer, nullable=False),
    # No foreign key: an engine that died is forgotten before its runs are taken over.
    Column("owner", Text),
    Column("note", Text, nullable=False),
    Column("storage", Integer, nullable=False),
    Column("claims", Integer, nullable=False, server_default="0"),  # owners in a row that died with it
    Column("pinned", Integer, nullable=False, server_default="0"),
    Column("news", Integer, nullable=False, server_default="0"),  # somebody said something since it was claimed
    Column("due_at", Double),
    Column("origin", Text),  # the key of a run that may be gone
    Index("ix_runs_key", "key", unique=True),
    Index("ix_runs_status", "status"),
    Index("ix_runs_owner", "owner"),
    Index("ix_runs_graph", "graph"),
    Index("ix_runs_created_at", "created_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("run", _Number, ForeignKey("runs.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_events_run_seq", "run", "seq", unique=True),
)

blobs = Table(
    "blobs",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

# Small rows, and only ever looked for by their key: here a row id would cost room and give nothing.
blob_uses = Table(
    "blob_uses",
    metadata,
    Column("run", _Number, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("hash", Text, ForeignKey("blobs.hash"), primary_key=True),
    Index("ix_blob_uses_hash", "hash"),
    sqlite_with_rowid=False,
)

node_cache = Table(
    "node_cache",
    metadata,
    Column("key", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("expires_at", Double),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("run", _Number, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("body", Text, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("run", _Number, ForeignKey("runs.id"), nullable=False),
    Column("name", Text, nullable=False),  # the sender's own
    Column("channel", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("sent_at", Double, nullable=False),
    Column("taken", Integer),  # the log row that took it
    Index("ix_inbox_run_name", "run", "name", unique=True),
    # On PostgreSQL, too; to say so here would load its dialect for those who use SQLite alone.
    Index("ix_inbox_unread", "run", sqlite_where=text("taken IS NULL")),
)

questions = Table(
    "questions",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("run", _Number, ForeignKey("runs.id"), nullable=False),
    Column("name", Text, nullable=False),  # the activation that asks
    Column("prompt", Text, nullable=False),
    Column("addressee", Text),
    Column("details", Text, nullable=False),
    Column("answer_schema", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("answer", Text),
    Column("answered_at", Double),
    Index("ix_questions_run_name", "run", "name", unique=True),
    Index("ix_questions_status", "status"),
)
