"""Alembic's environment. `orchestra_graph.store.migrate` gives the connection, with a transaction around it."""

from __future__ import annotations

from alembic import context

from orchestra_graph.store.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit(
        "these migrations run when a database is opened; Alembic's own command line has no connection to give them"
    )
postgresql = connection.dialect.name == "postgresql"
context.configure(
    connection=connection,
    # On PostgreSQL tables of others may come into the same schema later: this name is our mark.
    version_table="orchestra_version" if postgresql else "alembic_version",
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite can alter very little in place
)
with context.begin_transaction():
    context.run_migrations()
