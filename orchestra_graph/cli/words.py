"""Words and facts that every command needs; light, so that a listing does not wait for what draws and drives."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import click

from orchestra_graph.clock import as_datetime
from orchestra_graph.store.base import RunRow

__all__ = ["amount", "bold", "clock", "columns", "printable", "run_facts", "table", "when"]


def when(at: float | None) -> str | None:
    """A time, as in every document: ISO 8601, in UTC."""
    return None if at is None else as_datetime(at).isoformat(timespec="milliseconds")


def clock(at: float) -> str:
    """A time of day, in UTC."""
    return as_datetime(at).strftime("%H:%M:%S")


def run_facts(row: RunRow) -> dict[str, Any]:
    """A run as the database lists it."""
    return {
        "key": row.key,
        "graph": row.graph,
        "version": row.version,
        "status": row.status,
        "started": when(row.created_at),
        "changed": when(row.updated_at),
        "origin": row.origin,
    }


def amount(count: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:,.0f} {unit}"
        count /= 1024
    return f"{count:,.1f} TB"


def printable(text: str) -> str:
    """Text of nodes and models without what a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else " " if c.isspace() else "\ufffd" for c in text)


def bold(text: str) -> str:
    """A heading; plain where it does not go to a terminal."""
    return click.style(text, bold=True)


def columns() -> int:
    """How long a line of text may be: as wide as the terminal is, and not less than usual."""
    return max(80, shutil.get_terminal_size().columns)


def table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows below headings, each column as wide as it must be."""
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    heading, *rows = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in (headings, *cells)
    ]
    return [bold(heading), *rows]
