"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA application_id = 1332896616")  # "Orch": how a file of ours is told from others
    _graphs_and_engines()
    _runs()
    _events_and_snapshots()
    _questions()


def _graphs_and_engines() -> None:
    op.create_table(
        "graphs",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("shape", sa.Text, nullable=False),
    )
    op.create_table(
        "engines",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("graph", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, sa.ForeignKey("graphs.fingerprint"), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("storage", sa.Integer, nullable=False),
    )
    op.create_index("ix_runs_key", "runs", ["key"], unique=True)
    op.create_index("ix_runs_status", "runs", ["status"])
    op.create_index("ix_runs_owner", "runs", ["owner"])


def _events_and_snapshots() -> None:
    op.create_table(
        "events",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("run", NUMBER, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ix_events_run_seq", "events", ["run", "seq"], unique=True)
    op.create_table(
        "snapshots",
        sa.Column("run", NUMBER, sa.ForeignKey("runs.id"), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )


def _questions() -> None:
    op.create_table(
        "questions",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("run", NUMBER, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("addressee", sa.Text),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("answer_schema", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("answer", sa.Text),
        sa.Column("answered_at", sa.Double),
    )
    op.create_index("ix_questions_run_name", "questions", ["run", "name"], unique=True)
    op.create_index("ix_questions_status", "questions", ["status"])


def downgrade() -> None:
    for table in ("questions", "snapshots", "events", "runs", "engines", "graphs"):
        op.drop_table(table)
