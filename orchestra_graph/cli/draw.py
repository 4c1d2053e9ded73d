"""`orchestra draw`: the picture of a graph, or of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestra_graph.cli.completing import run_keys, targets
from orchestra_graph.cli.errors import NotDrawn, NotWritable
from orchestra_graph.cli.report import Report, has_colours
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.render.picture import Picture

__all__ = ["draw"]

_SUFFIXES = (".mmd", ".md", ".dot", ".svg", ".png")


def _check_suffix(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and Path(value).suffix.lower() not in _SUFFIXES:
        raise click.BadParameter(f"'{value}' names no format; a file ends in {', '.join(_SUFFIXES)}")
    return value


@command("draw")
@click.argument("target", required=False, shell_complete=targets)
@click.option("-o", "--output", metavar="FILE", callback=_check_suffix, help="A .svg, .png, .mmd, .md or .dot file.")
@click.option(
    "--run", "key", metavar="RUN", shell_complete=run_keys, help="Draw how far this run has come; needs no code."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "mermaid", "dot")),
    help="What to print where there is no -o: text for a terminal, or Mermaid, or DOT.",
)
def draw(settings: Settings, target: str | None, output: str | None, key: str | None, form: str | None) -> Report:
    """Draw a graph, or with --run a run.

    Without -o it is printed: as lines of text on a terminal, and as Mermaid, which can be pasted into Markdown, into a
    pipe. A run is drawn with the form of the graph that it was started with, which is in the database: TARGET is not
    needed.
    """
    from orchestra_graph.cli.words import columns
    from orchestra_graph.render import draw as drawn
    from orchestra_graph.render import text_of

    name, picture = _picture_of_run(settings, key) if key else _picture_of_graph(settings, target)
    document = {"graph": name, "run": key, "file": output, "mermaid": None, "text": None}
    if output is None:
        mermaid, shown = drawn(picture, "mermaid").decode(), form or ("text" if sys.stdout.isatty() else "mermaid")
        said = {"mermaid": mermaid, "text": text_of(picture)}
        printed = {
            "mermaid": lambda: mermaid,
            "dot": lambda: drawn(picture, "dot").decode(),
            "text": lambda: text_of(picture, colour=has_colours(), columns=columns()),
        }
        return Report(document={**document, **said}, text=printed[shown]())
    _save(picture, Path(output))
    return Report(document=document, text=f"drawn: {output}")


def _picture_of_graph(settings: Settings, target: str | None) -> tuple[str, Picture]:
    from orchestra_graph.cli.targets import chosen
    from orchestra_graph.render import picture_of

    graph = chosen(settings, target).graph
    return graph.name, picture_of(graph.compile().shape, graph.name)


def _picture_of_run(settings: Settings, key: str) -> tuple[str, Picture]:
    import asyncio

    from orchestra_graph.cli.looking import look_at_run

    seen = asyncio.run(look_at_run(settings, key))
    return seen.row.graph, seen.picture


def _save(picture: Picture, path: Path) -> None:
    """Write a picture, as Mermaid where the wanted format cannot be made.

    Raises:
        NotDrawn: It was written as Mermaid.
        NotWritable: It cannot be written.
    """
    from orchestra_graph.errors import MissingExtra
    from orchestra_graph.render import save

    try:
        try:
            save(picture, path)
        except MissingExtra as error:
            instead = path.with_suffix(".mmd")
            save(picture, instead)
            raise NotDrawn(f"{error}\nThe picture is in {instead}, as Mermaid.", str(instead)) from None
    except OSError as error:
        raise NotWritable(f"{error.filename or path} cannot be written: {error.strerror}") from None
