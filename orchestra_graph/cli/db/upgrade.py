"""`orchestra db upgrade`: make the tables, or bring them up to date."""

from __future__ import annotations

from orchestra_graph.cli.config import url_of
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

__all__ = ["upgrade"]


@command("upgrade")
def upgrade(settings: Settings) -> Report:
    """Make the tables, or bring them up to date.

    A file of SQLite is brought up to date by whoever opens it; PostgreSQL only by this command. It is one transaction:
    whoever else starts it at the same time waits, and finds it done. Nothing happens where there is nothing to do.
    """
    from orchestra_graph.errors import without_password
    from orchestra_graph.store.schema import upgrade_schema

    url = url_of(settings.database)
    before = upgrade_schema(url)
    shown = without_password(url)
    done = before.state != "ok"
    if before.state == "ok":
        text = f"{shown} is up to date already: schema {before.needed}"
    elif before.found is None:
        text = f"{shown}: the tables were made: schema {before.needed}"
    else:
        text = f"{shown} was brought up to date: from schema {before.found} to {before.needed}"
    return Report(document={"url": shown, "before": before.found, "now": before.needed, "changed": done}, text=text)
