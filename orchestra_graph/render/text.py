"""A picture for a terminal: a line for each node, nested as its frames are, and below it where it leads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from unicodedata import combining, east_asian_width

from orchestra_graph.render.picture import Frame, Picture, PictureEdge, PictureNode
from orchestra_graph.render.style import TONES

__all__ = ["text_of"]

_GAP = "  "
_NAME, _LEAST = 32, 24
"""How wide the column of names becomes at most, and how narrow lines may become beside deep names."""
_TAKEN = "1"


def text_of(picture: Picture, *, colour: bool = False, ways: bool = True, columns: int = 80) -> str:
    """Write a picture as lines of text.

    A graph's picture says where each node leads; a run's says with what status it stands, and which ways it took.

    Args:
        picture: What to write.
        colour: Whether to use colours, for a terminal that shows them.
        ways: Whether to say of a run which ways it took.
        columns: How long a line may be, where names and labels allow that.
    """
    rows = list(_rows(picture))
    column = max(min(_NAME, _width(row.name)) for row in rows if row.node)
    is_run = any(node.symbol for node in picture.nodes)
    lines = list(picture.title)
    for row in rows:
        lines += _lines(row, column, columns, colour)
        if ways or not is_run:
            shown = [edge for edge in row.leaving(picture) if edge.count or not is_run]
            indent = _GAP + row.indent + "  "
            for line in _ways(picture, shown, columns - len(indent)):
                lines.append(indent + _painted(line, _TAKEN if is_run else "2", colour))
    return "\n".join(lines) + "\n"


class _Row:
    """A node, or the head of a frame.

    Attributes:
        indent: As deep as the frames around it.
        node: The node; None for a frame.
        label: What the frame says.
    """

    def __init__(self, indent: str, *, index: int = -1, node: PictureNode | None = None, frame: Frame | None = None):
        self.indent, self.node, self._index, self._frame = indent, node, index, frame
        self.label = "" if frame is None else frame.label

    @property
    def name(self) -> str:
        """What stands in the column of names."""
        return self.indent + (self.node.heading if self.node else self.label)

    def leaving(self, picture: Picture) -> list[PictureEdge]:
        """The edges that lead on from here; of a graph those that leave it as a whole."""
        if self._frame is None:
            return [edge for edge in picture.edges if edge.source == self._index and not edge.from_frame]
        if self._frame.kind != "call":
            return []
        held = _all_in(self._frame)
        return [e for e in picture.edges if e.from_frame and e.source in held and e.target not in held]


def _rows(picture: Picture) -> Iterator[_Row]:
    """The nodes in reading order; a frame, whole, where its first node would stand."""
    yield from _level(picture, picture.order, picture.frames, "")


def _level(picture: Picture, nodes: Sequence[int], frames: Sequence[Frame], indent: str) -> Iterator[_Row]:
    inside = {index: frame for frame in frames for index in _all_in(frame)}
    shown: list[Frame] = []
    for index in nodes:
        frame = inside.get(index)
        if frame is None:
            yield _Row(indent, index=index, node=picture.nodes[index])
        elif frame not in shown:
            shown.append(frame)
            yield _Row(indent, frame=frame)
            yield from _level(picture, [i for i in nodes if i in _all_in(frame)], frame.frames, indent + _GAP)


def _all_in(frame: Frame) -> set[int]:
    return {*frame.nodes, *(index for inner in frame.frames for index in _all_in(inner))}


def _width(text: str) -> int:
    """How many columns *text* takes: signs of East Asian scripts take two, combining ones none."""
    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _lines(row: _Row, column: int, columns: int, colour: bool) -> list[str]:
    """The name, and beside it what is said of it; below it, where there is no room."""
    if row.node is None:
        return [_GAP + row.indent + _painted(row.label, "2", colour)]
    told, ansi = _told(row.node), TONES[row.node.tone].ansi
    room = columns - len(_GAP) - column - len(_GAP)
    if _width(row.name) > column or any(len(word) > room for word in told.split(" ")):
        deep = _GAP + row.indent + 2 * _GAP
        return [
            _GAP + row.name,
            *(deep + _painted(line, ansi, colour) for line in _wrapped(told, columns - len(deep))),
        ]
    first, *rest = _wrapped(told, room) or [""]
    name = row.name + " " * (column - _width(row.name))
    under = " " * (len(_GAP) + column + len(_GAP))
    beside = (_GAP + name + _GAP + _painted(first, ansi, colour)).rstrip()
    return [beside, *(under + _painted(line, ansi, colour) for line in rest)]


def _told(node: PictureNode) -> str:
    return " · ".join(filter(None, (node.status, *node.effort, *node.notes)))


def _ways(picture: Picture, edges: Sequence[PictureEdge], room: int) -> Iterator[str]:
    """Where it leads: a line for what has a label, and one for all that has none."""
    bare = [picture.nodes[edge.target].name for edge in edges if not edge.label]
    if bare:
        first, *rest = _wrapped("→ " + ", ".join(bare), room)
        yield first
        yield from (f"  {line}" for line in rest)
    for edge in edges:
        if edge.label:
            yield f"→ {picture.nodes[edge.target].name}  ({' '.join(edge.label)})"


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of about *width* signs; what may not be broken is not."""
    lines = wrap(text, max(width, _LEAST), break_on_hyphens=False, break_long_words=False)
    return [line.replace("\u00a0", " ") for line in lines]


def _painted(text: str, ansi: str, colour: bool) -> str:
    return f"\x1b[{ansi}m{text}\x1b[0m" if colour and ansi and text else text
