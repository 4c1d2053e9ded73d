"""What was said on the line."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from orchestra_graph.cli.config import Named, database_named, targets_named, url_of
from orchestra_graph.errors import without_password

if TYPE_CHECKING:
    from orchestra_graph.store.keys import Keys

__all__ = ["Settings"]


@dataclass(slots=True)
class Settings:
    """What was said on the line.

    Attributes:
        db: ``--db``.
        targets: ``--target``, those before the command's name first.
        json: ``--json``.
        traceback: ``--traceback``.
        lines: Not said: the documents of this command are a line each.
        out: Not said: where the output of this command goes, also while what is printed goes elsewhere.
    """

    db: str | None = None
    targets: list[str] = field(default_factory=list)
    json: bool = False
    traceback: bool = False
    lines: bool = False
    out: TextIO | None = None

    @property
    def database(self) -> Named:
        """The database, and who named it."""
        return database_named(self.db, os.environ, Path.cwd())

    @property
    def url(self) -> str:
        """The URL of the database."""
        return url_of(self.database)

    @property
    def shown_url(self) -> str:
        """The URL of the database without its password, for messages."""
        return without_password(self.url)

    @property
    def keys(self) -> Keys | None:
        """What values in the database are encrypted with, by ``$ORCHESTRA_KEYS``; None: nothing is said of that."""
        given = os.environ.get("ORCHESTRA_KEYS")
        if not given:
            return None
        from orchestra_graph.store.keys import Keys

        return Keys.of(given)

    @property
    def code(self) -> tuple[Named, ...]:
        """The targets, and who named them."""
        return targets_named(self.targets, os.environ, Path.cwd())

    def again(self, target: Named | None = None) -> str:
        """What must follow the next command for it to find the same database and code: options, or nothing.

        Args:
            target: Where the code of the run was found; left out: wherever this call was told to look.
        """
        looked = self.targets if target is None else [target.text] if target.typed else []
        words = shlex.join(word for text in looked for word in ("--target", text))
        return f" {words}{self._db_again()}" if words else self._db_again()

    def _db_again(self) -> str:
        """``--db`` as it was given; a password in it is never said again."""
        if not self.db:
            return ""
        return f" --db {shlex.quote(self.db)}" if without_password(self.db) == self.db else ' --db "$ORCHESTRA_DB"'

    def line(self, *words: str, target: Named | None = None) -> str:
        """A line to type, as `again` completes it."""
        return f"orchestra {shlex.join(words)}{self.again(target)}"
