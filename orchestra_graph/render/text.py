"""A picture for a terminal: a line for each node, nested as its frames are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unicodedata import combining, east_asian_width

from orchestra_graph.render.picture import Frame, Picture, PictureNode
from orchestra_graph.render.style import TONES

__all__ = ["text_of"]

_GAP = "  "


def text_of(picture: Picture, *, colour: bool = False) -> str:
    """Write a picture as lines of text.

    A run's picture becomes a table of nodes with their status; a graph's one also says where each node leads.

    Args:
        picture: What to write.
        colour: Whether to use colours, for a terminal that shows them.
    """
    rows = list(_rows(picture))
    wide = max(_width(indent + node.heading) for _, indent, node, _ in rows if node)
    lines = list(picture.title)
    for index, indent, node, label in rows:
        if node is None:
            lines.append(_GAP + indent + _painted(label, "2", colour))
            continue
        name = indent + node.heading + " " * (wide - _width(indent + node.heading))
        lines.append((_GAP + name + _GAP + _painted(_told(node), TONES[node.tone].ansi, colour)).rstrip())
        if not node.symbol:
            lines += (f"{_GAP}{indent}  {_painted(way, '2', colour)}" for way in _ways(picture, index))
    return "\n".join(lines) + "\n"


_Row = tuple[int, str, PictureNode | None, str]
"""A node and its index, or the label of a frame; with its indent."""


def _rows(picture: Picture) -> Iterator[_Row]:
    """The nodes in reading order; a frame, whole, where its first node would stand."""
    yield from _level(picture, picture.order, picture.frames, "")


def _level(picture: Picture, nodes: Sequence[int], frames: Sequence[Frame], indent: str) -> Iterator[_Row]:
    inside = {index: frame for frame in frames for index in _all_in(frame)}
    shown: list[Frame] = []
    for index in nodes:
        frame = inside.get(index)
        if frame is None:
            yield index, indent, picture.nodes[index], ""
        elif frame not in shown:
            shown.append(frame)
            yield index, indent, None, frame.label
            yield from _level(picture, [i for i in nodes if i in _all_in(frame)], frame.frames, indent + _GAP)


def _all_in(frame: Frame) -> set[int]:
    return {*frame.nodes, *(index for inner in frame.frames for index in _all_in(inner))}


def _width(text: str) -> int:
    """How many columns *text* takes: signs of East Asian scripts take two, combining ones none."""
    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _told(node: PictureNode) -> str:
    return " · ".join(filter(None, (node.status, *node.effort, *node.notes)))


def _ways(picture: Picture, index: int) -> Iterator[str]:
    for edge in picture.edges:
        if edge.source == index:
            label = f"  ({' '.join(edge.label)})" if edge.label else ""
            yield f"→ {picture.nodes[edge.target].name}{label}"


def _painted(text: str, ansi: str, colour: bool) -> str:
    return f"\x1b[{ansi}m{text}\x1b[0m" if colour and ansi and text else text
