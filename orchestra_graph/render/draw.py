"""The one way from a picture to bytes or to a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Final, Literal

from orchestra_graph.render.dot import dot_of
from orchestra_graph.render.mermaid import mermaid_of
from orchestra_graph.render.picture import Picture
from orchestra_graph.render.svg import png_of, svg_of

__all__ = ["SUFFIXES", "PictureFormat", "draw", "save"]

PictureFormat = Literal["mermaid", "dot", "svg", "png"]

_WRITERS: Final[Mapping[PictureFormat, Callable[[Picture], bytes]]] = {
    "mermaid": lambda picture: mermaid_of(picture).encode(),
    "dot": lambda picture: dot_of(picture).encode(),
    "svg": svg_of,
    "png": png_of,
}

SUFFIXES: Final[Mapping[str, Callable[[Picture], bytes]]] = {
    ".mmd": _WRITERS["mermaid"],
    ".md": lambda picture: b"```mermaid\n" + _WRITERS["mermaid"](picture) + b"```\n",
    ".dot": _WRITERS["dot"],
    ".svg": _WRITERS["svg"],
    ".png": _WRITERS["png"],
}
"""What `save` writes for a file's suffix; ``.md`` is the Mermaid text in a fence, for a page of documentation."""


def draw(picture: Picture, format: PictureFormat) -> bytes:
    """Draw a picture.

    Args:
        picture: What to draw.
        format: ``mermaid`` and ``dot`` are text in UTF-8 and need nothing installed.

    Raises:
        MissingExtra: For ``svg`` and ``png``, where no Graphviz is installed.
        ValueError: There is no such format.
    """
    if format not in _WRITERS:
        raise ValueError(f"there is no picture format '{format}'; there are {_listed(_WRITERS)}")
    return _WRITERS[format](picture)


def save(picture: Picture, path: str | PathLike[str]) -> None:
    """Draw a picture into a file; the suffix says how: ``.mmd``, ``.md``, ``.dot``, ``.svg`` or ``.png``.

    Raises:
        MissingExtra: For ``.svg`` and ``.png``, where no Graphviz is installed; no file is written then.
        ValueError: The suffix is none of these.
    """
    target = Path(path)
    writer = SUFFIXES.get(target.suffix.lower())
    if writer is None:
        found = f"ends in '{target.suffix}'" if target.suffix else "has no suffix"
        raise ValueError(f"'{target.name}' {found}, which names no picture format; there are {_listed(SUFFIXES)}")
    target.write_bytes(writer(picture))


def _listed(names: Mapping[str, object] | Mapping[PictureFormat, object]) -> str:
    return ", ".join(names)
