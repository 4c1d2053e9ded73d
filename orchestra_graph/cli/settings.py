"""What can be said with every command, before its name or after it: ``--db``, ``--target``, ``--json``."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import click

from orchestra_graph.cli.config import Named, database_named, targets_named, url_of
from orchestra_graph.cli.report import Report

__all__ = ["Settings", "command", "shared_options"]


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
    def code(self) -> tuple[Named, ...]:
        """The targets, and who named them."""
        return targets_named(self.targets, os.environ, Path.cwd())

    def again(self, target: Named | None = None) -> str:
        """What must follow the next command for it to find the same database and code: options, or nothing.

        Args:
            target: Where the code of the run was found; left out: wherever this call was told to look.
        """
        looked = self.targets if target is None else [target.text] if target.typed else []
        words = [word for text in looked for word in ("--target", text)] + (["--db", self.db] if self.db else [])
        return f" {shlex.join(words)}" if words else ""

    def line(self, *words: str, target: Named | None = None) -> str:
        """A line to type, as `again` completes it."""
        return f"orchestra {shlex.join(words)}{self.again(target)}"


def _keep_db(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Settings).db = value


def _keep_targets(context: click.Context, _: click.Parameter, value: tuple[str, ...]) -> None:
    context.ensure_object(Settings).targets += value


def _keep_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.ensure_object(Settings).json |= value


def _complete_target(context: click.Context, parameter: click.Parameter, begun: str) -> list[Any]:
    from orchestra_graph.cli.completing import targets  # which needs the Settings

    return list(targets(context, parameter, begun))


def shared_options() -> list[click.Option]:
    """The options that the group and every command have."""
    return [
        click.Option(
            ["--db", "shared_db"],
            metavar="URL",
            expose_value=False,
            callback=_keep_db,
            help="The database: a URL or a path.",
        ),
        click.Option(
            ["--target", "shared_targets"],
            metavar="TARGET",
            multiple=True,
            expose_value=False,
            shell_complete=_complete_target,
            callback=_keep_targets,
            help="Where the code of the graphs is; may be repeated.",
        ),
        click.Option(
            ["--json", "shared_json"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_keep_json,
            help="Print one JSON document.",
        ),
    ]


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Report]], click.Command]:
    """Make a command of a function that takes the `Settings` and its own parameters, and returns a `Report`.

    Args:
        name: Of the command.
        **attributes: For `click.command`.
    """

    def decorate(function: Callable[..., Report]) -> click.Command:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Report:
            settings = click.get_current_context().ensure_object(Settings)
            with _only_the_document(settings):
                return function(settings, *args, **kwargs)

        made = click.command(name, cls=click.Command, **attributes)(call)
        made.params += shared_options()
        return made

    return decorate


@contextlib.contextmanager
def _only_the_document(settings: Settings) -> Iterator[None]:
    """With ``--json`` whatever a user's code prints goes to the standard error output."""
    settings.out = sys.stdout
    if not settings.json:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield
