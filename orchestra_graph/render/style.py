"""The colours of pictures, one table for all outputs. What they say is also said by words and forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from orchestra_graph.render.picture import FrameKind, PictureEdge, Strength, Tone

__all__ = ["EDGES", "FRAMES", "INK", "MUTED", "TONES", "FrameStyle", "Stroke", "ToneStyle", "stroke_of"]

INK, MUTED = "#0f172a", "#475569"
"""Of headings and of small print."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToneStyle:
    """How a node of one tone looks.

    Attributes:
        fill: Its background.
        line: Its border.
        text: Its heading; at least 4.5 to 1 against *fill*.
        width: Of the border.
        dashed: Whether the border is.
        ansi: The colour of its status on a terminal, an SGR code.
    """

    fill: str
    line: str
    text: str = INK
    width: float = 1.2
    dashed: bool = False
    ansi: str = ""


TONES: Final[Mapping[Tone, ToneStyle]] = {
    "terminal": ToneStyle(fill="#334155", line="#334155", text="#ffffff"),
    "plain": ToneStyle(fill="#f8fafc", line="#64748b"),
    "person": ToneStyle(fill="#fef3c7", line="#b45309", ansi="33"),
    "danger": ToneStyle(fill="#fee2e2", line="#b91c1c", ansi="31"),
    "done": ToneStyle(fill="#dcfce7", line="#15803d", ansi="32"),
    "running": ToneStyle(fill="#dbeafe", line="#1d4ed8", width=2.4, ansi="34"),
    "ready": ToneStyle(fill="#eff6ff", line="#3b82f6", ansi="34"),
    "waiting": ToneStyle(fill="#fef3c7", line="#b45309", width=2.4, ansi="33"),
    "retrying": ToneStyle(fill="#ffedd5", line="#c2410c", width=2.4, ansi="33"),
    "failed": ToneStyle(fill="#fee2e2", line="#b91c1c", width=2.4, ansi="31"),
    "withdrawn": ToneStyle(fill="#f1f5f9", line="#64748b", text=MUTED, dashed=True, ansi="2"),
    "skipped": ToneStyle(fill="#ffffff", line="#94a3b8", text=MUTED, dashed=True, ansi="2"),
    "later": ToneStyle(fill="#ffffff", line="#94a3b8", text=MUTED, ansi="2"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """How an edge of one strength looks.

    Attributes:
        line: Its colour.
        text: The colour of its label.
        width: Its width.
        dashes: ``""`` for a whole line, ``"dashed"`` or ``"dotted"``.
    """

    line: str
    text: str
    width: float
    dashes: Literal["", "dashed", "dotted"] = ""


EDGES: Final[Mapping[Strength, Stroke]] = {
    "plain": Stroke(line="#475569", text="#334155", width=1.2),
    "thin": Stroke(line="#94a3b8", text="#64748b", width=1.0, dashes="dashed"),
    "bold": Stroke(line="#0f172a", text="#0f172a", width=2.2),
    "faint": Stroke(line="#a8b3c2", text="#64748b", width=1.0, dashes="dashed"),
}


_ASIDE: Final[Mapping[str, tuple[str, str, Literal["dashed", "dotted"]]]] = {
    "error": ("#b91c1c", "#e8a0a0", "dashed"),
    "limit": ("#b45309", "#e3b27c", "dotted"),
}
"""Of ways aside: the colour, the one of a way that a run did not take, and the dashes."""


def stroke_of(edge: PictureEdge) -> Stroke:
    """How an edge looks."""
    usual = EDGES[edge.strength]
    if edge.kind == "usual":
        return usual
    colour, pale, dashes = _ASIDE[edge.kind]
    return Stroke(line=pale if edge.strength == "faint" else colour, text=colour, width=usual.width, dashes=dashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameStyle:
    """How a frame looks.

    Attributes:
        fill: Its background.
        line: Its border.
        dashed: Whether the border is.
    """

    fill: str
    line: str
    dashed: bool = False


FRAMES: Final[Mapping[FrameKind, FrameStyle]] = {
    "loop": FrameStyle(fill="#ffffff", line="#94a3b8", dashed=True),
    "each": FrameStyle(fill="#eef2f7", line="#94a3b8"),
    "call": FrameStyle(fill="#f6f4ff", line="#7c6bb5"),
}
