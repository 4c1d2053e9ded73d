"""`orchestra db`: the database itself. Each command is a file of this package, and is added here."""

from __future__ import annotations

import click

from orchestra_graph.cli.db.check import check
from orchestra_graph.cli.db.compact import compact
from orchestra_graph.cli.db.info import info
from orchestra_graph.cli.db.prune import prune
from orchestra_graph.cli.db.upgrade import upgrade
from orchestra_graph.cli.settings import shared_options

__all__ = ["db"]


@click.group("db", short_help="Upgrade and check the database.")
def db() -> None:
    """Look after the database: its schema, what is in it, and whether your code fits."""


for _command in (upgrade, check, info, prune, compact):
    db.add_command(_command)
db.params += shared_options()
