"""A picture as SVG or PNG: laid out by Graphviz, which comes with pygraphviz or is installed as ``dot``."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final, Literal

from orchestra_graph.errors import EngineBug
from orchestra_graph.render.dot import dot_of, layout_with_dot
from orchestra_graph.render.picture import Picture

__all__ = ["png_of", "svg_of"]

RESOLUTION: Final = 144
"""Dots per inch of a PNG: sharp on today's screens, and a page wide."""
_LAYOUT: Final = Path(__file__).with_name("layout.py")
_NOT_IMPORTABLE: Final = 3


def svg_of(picture: Picture) -> bytes:
    """Draw a picture as SVG.

    Raises:
        MissingExtra: Neither pygraphviz nor a ``dot`` program is there. `mermaid_of` needs neither.
    """
    return _laid_out(dot_of(picture), "svg")


def png_of(picture: Picture) -> bytes:
    """Draw a picture as PNG.

    Raises:
        MissingExtra: Neither pygraphviz nor a ``dot`` program is there. `mermaid_of` needs neither.
    """
    return _laid_out(dot_of(picture, resolution=RESOLUTION), "png")


def _laid_out(source: str, format: Literal["svg", "png"]) -> bytes:
    drawn = _with_pygraphviz(source, format) if importlib.util.find_spec("pygraphviz") else None
    return layout_with_dot(source, format) if drawn is None else drawn


def _with_pygraphviz(source: str, format: str) -> bytes | None:
    """Draw in a process of its own (`layout` says why); None if the installed pygraphviz cannot be imported."""
    # -P: this file's folder must not be searched for modules, or one here could hide one of the standard library.
    command = [sys.executable, "-P", str(_LAYOUT), format]
    done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if done.returncode == _NOT_IMPORTABLE:
        return None
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise EngineBug(f"Graphviz could not draw a picture: {said[-1]}")
    return done.stdout
