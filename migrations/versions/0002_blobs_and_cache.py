"""Large values once, results of nodes to be used again, and indexes to find runs by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_index("ix_runs_graph", "runs", ["graph"])
    op.create_index("ix_runs_created_at", "runs", ["created_at"])
    op.create_table(
        "blobs",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "blob_uses",
        sa.Column("run", NUMBER, sa.ForeignKey("runs.id"), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.Text, sa.ForeignKey("blobs.hash"), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_blob_uses_hash", "blob_uses", ["hash"])
    op.create_table(
        "node_cache",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double),
    )


def downgrade() -> None:
    for table in ("node_cache", "blob_uses", "blobs"):
        op.drop_table(table)
    op.drop_index("ix_runs_created_at", "runs")
    op.drop_index("ix_runs_graph", "runs")
