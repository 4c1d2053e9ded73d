"""A picture as a Mermaid flowchart: text that GitHub, GitLab and many editors draw.

Two rules keep every text harmless. Ids are made here (``n3``), never taken from names: so no name can be the word
``end``. And a label stands in quotes, with every sign that could mean something as a numeric entity: Mermaid decodes
those last, after it has looked for its own syntax, for markdown and for formulas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from orchestra_graph.render.picture import Frame, NodeForm, Picture, PictureEdge, PictureNode, Strength, WayKind
from orchestra_graph.render.style import FRAMES, TONES, Stroke, stroke_of

__all__ = ["mermaid_of"]

_SHAPES: Final[Mapping[NodeForm, tuple[str, str]]] = {
    "start": ("((", "))"),
    "end": ("(((", ")))"),
    "work": ("(", ")"),
    "irreversible": ("[[", "]]"),
    "person": ("{{", "}}"),
    "point": ("((", "))"),
}
_ARROWS: Final[Mapping[Strength, str]] = {"plain": "-->", "thin": "-.->", "bold": "==>", "faint": "-.->"}

_MEANT: Final = re.compile(
    "|".join(
        (
            # letters of all scripts stay readable, and the signs of `picture`
            r"[^\w\s:.,/()?=\u00d7\u00b7\u21ba\u21bb\u2713\u2717\u2298\u2013\u2026\u25b7\u25ba\u25cb-]",
            r":(?!\s)",  # "style:#..." : Mermaid takes it for its own statement, and drops a semicolon
            r"[.)-](?=\s|$)",  # "1. ", "- " : a list in markdown
            r"(?<![^\W_])_|_(?![^\W_])",  # "_word_" : emphasis; inside a word it is none
            r"[\ufb02\u00b6]",  # with these Mermaid marks entities while it works
        )
    )
)
_DASHES: Final = "5 4"
_STROKES: Final[Mapping[str, str]] = {"dashed": _DASHES, "dotted": "1 4"}


def mermaid_of(picture: Picture) -> str:
    """Write a picture as a Mermaid flowchart."""
    lines = ["---", f"title: {json.dumps(' — '.join(picture.title), ensure_ascii=False)}", "---", "flowchart TB"]
    framed: set[int] = set()
    for number, frame in enumerate(picture.frames):
        lines += _frame(picture, frame, f"f{number}", "    ", framed)
    lines += (f"    {_node(i, node)}" for i, node in enumerate(picture.nodes) if i not in framed)
    lines += (f"    {_edge(picture, edge)}" for edge in picture.edges)
    lines += (
        f"    {line}"
        for line in (*_classes(picture.nodes), *_frame_styles(picture.frames, "f"), *_links(picture.edges))
    )
    return "\n".join(lines) + "\n"


def _frame(picture: Picture, frame: Frame, name: str, indent: str, framed: set[int]) -> Iterator[str]:
    yield f"{indent}subgraph {name}[{_quoted([frame.label])}]"
    for index in frame.nodes:
        framed.add(index)
        yield f"{indent}    {_node(index, picture.nodes[index])}"
    for number, inner in enumerate(frame.frames):
        yield from _frame(picture, inner, f"{name}_{number}", f"{indent}    ", framed)
    yield f"{indent}end"


def _node(index: int, node: PictureNode) -> str:
    left, right = _SHAPES[node.form]
    if node.form == "point":  # its name is for who cannot see where it lies
        return f"n{index}{left}{_quoted([' '])}{right}"
    if node.form in ("start", "end"):
        return f"n{index}{left}{_quoted([node.heading])}{right}"
    return f"n{index}{left}{_quoted([node.heading, *node.small], bold=True)}{right}"


def _edge(picture: Picture, edge: PictureEdge) -> str:
    label = f"|{_quoted(edge.label)}|" if edge.label else ""
    arrow = _ARROWS[edge.strength if edge.kind == "usual" or edge.strength == "bold" else "thin"]
    source = _graph_around(picture.frames, edge, "f") if edge.from_frame else ""
    return f"{source or f'n{edge.source}'} {arrow}{label} n{edge.target}"


def _graph_around(frames: Sequence[Frame], edge: PictureEdge, prefix: str) -> str:
    """The frame of the outermost graph that holds the source of an edge and not its target."""
    for number, frame in enumerate(frames):
        held, name = _all_in(frame), f"{prefix}{number}"
        if edge.source in held:
            found = frame.kind == "call" and edge.target not in held
            return name if found else _graph_around(frame.frames, edge, f"{name}_")
    return ""


def _all_in(frame: Frame) -> set[int]:
    return {*frame.nodes, *(index for inner in frame.frames for index in _all_in(inner))}


def _quoted(lines: Sequence[str], *, bold: bool = False) -> str:
    first, *rest = [_MEANT.sub(lambda found: f"#{ord(found[0])};", line or "\u00a0") for line in lines]
    return '"' + "<br/>".join([f"<b>{first}</b>" if bold else first, *rest]) + '"'


# -- styles ------------------------------------------------------------------------------------------


def _classes(nodes: Sequence[PictureNode]) -> Iterator[str]:
    """A class for each tone in use, and its nodes. Text has its own colour, as the page behind may be dark."""
    for tone in sorted({node.tone for node in nodes}):
        look = TONES[tone]
        dashes = f",stroke-dasharray:{_DASHES}" if look.dashed else ""
        border = f"stroke:{look.line},stroke-width:{look.width}px{dashes}"
        yield f"classDef {tone} fill:{look.fill},color:{look.text},{border}"
        yield f"class {_ids('n', (i for i, node in enumerate(nodes) if node.tone == tone))} {tone}"


def _frame_styles(frames: Sequence[Frame], prefix: str) -> Iterator[str]:
    for number, frame in enumerate(frames):
        look, name = FRAMES[frame.kind], f"{prefix}{number}"
        dashes = f",stroke-dasharray:{_DASHES}" if look.dashed else ""
        yield f"style {name} fill:{look.fill},stroke:{look.line},color:#334155{dashes}"
        yield from _frame_styles(frame.frames, f"{name}_")


def _links(edges: Sequence[PictureEdge]) -> Iterator[str]:
    looks: dict[tuple[WayKind, Stroke], list[int]] = {}
    for index, edge in enumerate(edges):
        if (edge.kind, edge.strength) != ("usual", "plain"):
            looks.setdefault((edge.kind, stroke_of(edge)), []).append(index)
    for (kind, look), alike in looks.items():
        dashes = f",stroke-dasharray:{_STROKES[look.dashes]}" if kind != "usual" else ""
        yield f"linkStyle {_ids('', alike)} stroke:{look.line},stroke-width:{look.width}px{dashes}"


def _ids(prefix: str, numbers: Iterable[int]) -> str:
    return ",".join(f"{prefix}{number}" for number in numbers)
