"""Draws every picture of the pages: `make pictures`.

The graphs are those of the pages themselves and of the examples. A run is really run; its clock goes in coarse steps
from a fixed day, so that a picture that is drawn again is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.pages import ROOT, blocks, names_of, run_python, write_files
from orchestra_graph import Engine, Graph, Run
from orchestra_graph.render import Picture, picture_of, picture_of_run, save

__all__ = ["FOLDER", "main", "pictures"]

FOLDER = ROOT / "docs" / "pictures"
CASES = (
    *("unequal", "subset", "aside", "mutual", "hunt", "empty", "sinks", "apart"),
    *("rivals", "bounded", "story"),
)


class CoarseClock:
    """A clock that begins on a fixed day.

    Args:
        step: It shows full steps of so many seconds.
    """

    def __init__(self, step: float):
        self._step = step
        self._began = time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return 1_772_442_000.0 + self._step * round((time.monotonic() - self._began) / self._step)


def pictures() -> dict[str, Picture]:
    """Every picture, by the name of its file."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return {**_of_semantics(), **_of_readme(), **_of_first_hour(Path(folder))}


def _of_graph(graph: Graph[Any]) -> Picture:
    return picture_of(graph.compile().shape, graph.name)


async def _of_run(graph: Graph[Any], run: Run[Any]) -> Picture:
    return picture_of_run(graph.compile().shape, await run.record())


def _of_semantics() -> dict[str, Picture]:
    with _names_after("docs/semantics.md") as names:
        found = {f"{case}.svg": _of_graph(names[case]) for case in CASES}

        async def hunt() -> Picture:
            async with Engine(graphs=[names["hunt"]], clock=CoarseClock(0.1)) as engine:
                run = await engine.start(names["hunt"], names["Hunt"](), key="a-hunt")
                await run.result()
                return await _of_run(names["hunt"], run)

        return {**found, "hunt-run.svg": asyncio.run(hunt())}


def _of_readme() -> dict[str, Picture]:
    with _module(ROOT / "examples" / "support_desk.py") as desk:
        tickets = desk.read_tickets(ROOT / "examples" / "data" / "tickets.txt")

        async def ticket() -> Picture:
            async with Engine(graphs=[desk.support], resources=desk.resources, clock=CoarseClock(1)) as engine:
                run = await engine.start(desk.support, desk.Ticket(text=tickets["ticket-101"]), key="ticket-101")
                await run.wait()
                return await _of_run(desk.support, run)

        return {"support.svg": _of_graph(desk.support), "support-run.svg": asyncio.run(ticket())}


def _of_first_hour(folder: Path) -> dict[str, Picture]:
    write_files("docs/first-hour.md", folder)
    (folder / "texts").mkdir()
    for day in ("mon", "tue", "wed", "thu", "fri", "sat"):
        (folder / "texts" / f"{day}.txt").write_text(f"All about {day}, and what came of it\n", encoding="utf-8")
    with _module(folder / "bulletin.py") as page:

        async def bulletin() -> Picture:
            async with Engine(graphs=[page.bulletin], clock=CoarseClock(1)) as engine:
                run = await engine.start(page.bulletin, page.Bulletin(folder=folder / "texts"), key="friday")
                await run.wait()
                await run.answer("review@0", page.Verdict(good=False, note="Say which is the longest."))
                await run.wait()
                return await _of_run(page.bulletin, run)

        return {"bulletin.svg": _of_graph(page.bulletin), "bulletin-run.svg": asyncio.run(bulletin())}


@contextlib.contextmanager
def _names_after(name: str) -> Iterator[dict[str, Any]]:
    """What the Python blocks of a page have defined."""
    with names_of(name) as names, contextlib.redirect_stdout(io.StringIO()):
        for block in blocks(name):
            if block.language == "python":
                run_python(block, names)
        yield names


@contextlib.contextmanager
def _module(path: Path) -> Iterator[Any]:
    """Import a file with its neighbours; afterwards nobody can tell."""
    before, search = sys.modules.copy(), sys.path.copy()
    sys.path.insert(0, str(path.parent))
    sys.modules.pop(path.stem, None)
    try:
        yield importlib.import_module(path.stem)
    finally:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(str(path.parent)):
                del sys.modules[name]
        sys.modules.update({name: module for name, module in before.items() if name not in sys.modules})
        sys.path[:] = search


def main() -> None:
    """Draw them all."""
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        save(picture, FOLDER / name)
        print(os.path.relpath(FOLDER / name))


if __name__ == "__main__":
    main()
