"""What can be said with every command, before its name or after it: ``--db``, ``--target``, ``--json``."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from orchestra_graph.cli.completing import targets
from orchestra_graph.cli.report import Report
from orchestra_graph.cli.said import Settings as Settings

__all__ = ["Settings", "command", "shared_options"]


def _keep_db(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Settings).db = value


def _keep_targets(context: click.Context, _: click.Parameter, value: tuple[str, ...]) -> None:
    context.ensure_object(Settings).targets += value


def _keep_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.ensure_object(Settings).json |= value


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
            shell_complete=targets,
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
