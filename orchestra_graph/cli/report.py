"""What a command has to say, and how it is said: text for people, or one JSON document; an exit code for both."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import click

__all__ = ["ExitCode", "Report", "has_colours", "print_error", "print_report", "render_json", "render_line", "safe"]


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    WAITING = 3
    FAILED = 4
    STOPPED = 5
    CANCELLED = 6
    DEAD = 7
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a command has to say.

    Attributes:
        document: For ``--json``; its keys are the same at every call. None: what there was to say has been said.
        text: For people.
        code: The exit code.
    """

    document: Mapping[str, Any] | None
    text: str
    code: int = ExitCode.DONE


_JOINERS = "\u200c\u200d"  # not printable, but part of words and of composed emoji
_SAID_AS_IT_IS = re.compile(r"\x1b\[[0-9;]*m|\n")
"""What text for people may have that is not for reading: lines, and the colours that this program chose."""


def safe(text: str) -> str:
    """Text for people without what a terminal would obey: control characters, and marks that turn lines round.

    The last gate before a terminal, through which all of it goes. Colours get through: what comes from a database had
    its own taken away by `words.printable`.
    """
    if text.isprintable():
        return text
    parts, last = [], 0
    for kept in _SAID_AS_IT_IS.finditer(text):
        parts += [_plain(text[last : kept.start()]), kept.group()]
        last = kept.end()
    return "".join([*parts, _plain(text[last:])])


def _plain(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else " " if c.isspace() else "\ufffd" for c in text)


def render_json(document: Mapping[str, Any]) -> str:
    """A JSON document as it is printed."""
    return _escaped(json.dumps(document, indent=2, ensure_ascii=False))


def render_line(document: Mapping[str, Any]) -> str:
    """A JSON object as a line of its own; what JSON has no word for is written as its text."""
    return _escaped(json.dumps(document, ensure_ascii=False, default=repr))


def _escaped(text: str) -> str:
    """JSON in which all that a terminal would obey is spelled as an escape: the same document."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def print_report(report: Report, *, as_json: bool) -> None:
    """Print to the standard output."""
    _survive_narrow_encodings("backslashreplace" if as_json else "replace")  # a backslash is JSON's own way, too
    if as_json:
        if report.document is not None:
            click.echo(render_json(report.document))
    elif report.text:
        click.echo(safe(report.text.rstrip("\n")), color=None if has_colours() else False)


def print_error(kind: str, message: str, facts: Mapping[str, Any], *, as_json: bool, lines: bool = False) -> None:
    """Print an error: to the standard error output, or a document (with *lines* a short one) to the standard output."""
    if as_json:
        _survive_narrow_encodings("backslashreplace")
        render = render_line if lines else render_json
        click.echo(render({"error": {"type": kind, "message": message, **facts}}))
    else:
        click.echo(_start(kind) + "\n".join(map(_plain, message.split("\n"))), err=True)  # it has no colours


def _start(kind: str) -> str:
    if kind != "Interrupted":
        return "Error: "
    return "\n" if sys.stderr.isatty() else ""  # a terminal shows ^C, and stays on that line


def has_colours() -> bool:
    """Whether the standard output shows colours, and its user wants them (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _survive_narrow_encodings(errors: str) -> None:
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=errors)
