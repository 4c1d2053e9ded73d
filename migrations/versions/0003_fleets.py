"""Leases, messages, pinned runs, forks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("engines", sa.Column("lease_until", sa.Double))
    for name in ("claims", "pinned", "news"):
        op.add_column("runs", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("due_at", sa.Double))
    op.add_column("runs", sa.Column("origin", sa.Text))
    op.create_table(
        "attempts",
        sa.Column("writer", sa.Text, primary_key=True),
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "inbox",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("run", NUMBER, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("sent_at", sa.Double, nullable=False),
        sa.Column("taken", sa.Integer),
    )
    op.create_index("ix_inbox_run_name", "inbox", ["run", "name"], unique=True)
    unread = sa.text("taken IS NULL")
    op.create_index("ix_inbox_unread", "inbox", ["run"], sqlite_where=unread, postgresql_where=unread)


def downgrade() -> None:
    op.drop_table("inbox")
    op.drop_table("attempts")
    for name in ("origin", "due_at", "news", "pinned", "claims"):
        op.drop_column("runs", name)
    op.drop_column("engines", "lease_until")
