r"""A picture as DOT, the language of Graphviz; the only file that imports the `graphviz` package, which writes it.

All labels are HTML-like: one way of escaping for all of them. `_text` knows two traps: Graphviz replaces ``\N``, ``\G``
and others even there, after it has read the entities; and an empty element is a syntax error, with which it draws a
node without its text and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from orchestra_graph.errors import MissingExtra
from orchestra_graph.render.picture import Frame, FrameKind, NodeForm, Picture, PictureEdge, PictureNode
from orchestra_graph.render.style import FRAMES, INK, MUTED, TONES, stroke_of

__all__ = ["dot_of", "layout_with_dot"]

_FONT = "Helvetica,Arial,sans-serif"
_CIRCLE = {"fixedsize": "true", "width": "0.56", "fontsize": "10"}

_SHAPES: Final[dict[NodeForm, dict[str, str]]] = {
    "start": {"shape": "circle", **_CIRCLE},
    "end": {"shape": "doublecircle", **_CIRCLE},
    "work": {"shape": "box", "style": "rounded,filled"},
    "irreversible": {"shape": "box", "peripheries": "2"},
    "person": {"shape": "hexagon", "margin": "0.02,0.06"},
    "point": {"shape": "circle", "fixedsize": "true", "width": "0.14", "height": "0.14"},
}


def dot_of(picture: Picture, *, resolution: int | None = None) -> str:
    """Write a picture in DOT.

    Args:
        picture: What to draw.
        resolution: Dots per inch, for bitmaps.
    """
    import graphviz

    graph = graphviz.Digraph(
        "picture",
        graph_attr=_graph_attributes(picture, resolution),
        node_attr={"fontname": _FONT, "fontsize": "13", "margin": "0.18,0.09", "style": "filled", "height": "0.5"},
        edge_attr={"fontname": _FONT, "fontsize": "11", "arrowsize": "0.7"},
    )
    framed = _in_frames(picture.frames)
    for index, node in enumerate(picture.nodes):
        if index not in framed:
            graph.node(_id(index), _node_label(node), **_node_attributes(node))
    for number, frame in enumerate(picture.frames):
        _add_frame(graph, picture, frame, str(number))
    for edge in picture.edges:
        _add_edge(graph, picture, edge)
    return str(graph.source)


def layout_with_dot(source: str, format: str) -> bytes:
    """Draw DOT with the ``dot`` program on PATH.

    Args:
        source: DOT text.
        format: ``svg`` or ``png``.

    Raises:
        MissingExtra: There is no such program, or it cannot write this format.
    """
    import graphviz

    try:
        return bytes(graphviz.pipe("dot", format, source.encode(), quiet=True))
    except (graphviz.ExecutableNotFound, graphviz.CalledProcessError) as error:
        raise MissingExtra("SVG and PNG pictures", "diagrams") from error


def _id(index: int) -> str:
    return f"n{index}"


def _in_frames(frames: Sequence[Frame]) -> set[int]:
    return {v for frame in frames for v in (*frame.nodes, *_in_frames(frame.frames))}


def _add_frame(graph: Any, picture: Picture, frame: Frame, number: str) -> None:
    with graph.subgraph(name=f"cluster_{number}", graph_attr=_frame_attributes(frame)) as cluster:
        for index in frame.nodes:
            cluster.node(_id(index), _node_label(picture.nodes[index]), **_node_attributes(picture.nodes[index]))
        for inner, nested in enumerate(frame.frames):
            _add_frame(cluster, picture, nested, f"{number}_{inner}")


def _add_edge(graph: Any, picture: Picture, edge: PictureEdge) -> None:
    """Add an edge.

    One into an `each` ends at the frame, whose label it would cross otherwise. One back to the head of a loop is
    written the other way round, with its arrow at the tail: so the head stays on top.
    """
    ends, attributes = [_id(edge.source), _id(edge.target)], _edge_attributes(edge)
    label = _edge_label(edge, _ground(picture.frames, edge))
    if edge.back:
        ends.reverse()
        attributes["dir"] = "back"
    elif edge.enters_each:
        attributes["lhead"] = _cluster(picture.frames, "each", edge.target, edge.source, "cluster")
    if edge.from_frame and not edge.back:
        attributes["ltail"] = _cluster(picture.frames, "call", edge.source, edge.target, "cluster")
    graph.edge(*ends, label, **attributes)


def _cluster(frames: Sequence[Frame], kind: FrameKind, inside: int, outside: int, prefix: str) -> str:
    """The name of the outermost frame of a kind that holds one node and not the other; empty if there is none."""
    for number, frame in enumerate(frames):
        held = _in_frames([frame])
        if inside in held:
            name = f"{prefix}_{number}"
            found = frame.kind == kind and outside not in held
            return name if found else _cluster(frame.frames, kind, inside, outside, name)
    return ""


def _ground(frames: Sequence[Frame], edge: PictureEdge) -> str:
    """The colour behind an edge."""
    colour = "white"
    for frame in frames:
        if {edge.source, edge.target} <= _in_frames([frame]):
            inner = _ground(frame.frames, edge)
            colour = FRAMES[frame.kind].fill if inner == "white" else inner
    return colour


# -- attributes --------------------------------------------------------------------------------------


def _graph_attributes(picture: Picture, resolution: int | None) -> dict[str, str]:
    heading, *rest = picture.title
    lines = [_font(f"<b>{_text(heading)}</b>", 16, INK), *(_font(_text(line), 12, MUTED) for line in rest)]
    attributes = {
        "label": _lines([*lines, _font("&#160;", 4, INK)], left=True),
        "labelloc": "t",
        "labeljust": "l",
        "fontname": _FONT,
        "rankdir": "TB",
        "compound": "true",
        "bgcolor": "white",
        "pad": "0.25",
        "nodesep": "0.45",
        "ranksep": "0.5",
    }
    return attributes if resolution is None else {**attributes, "dpi": str(resolution)}


def _node_attributes(node: PictureNode) -> dict[str, str]:
    look, shape = TONES[node.tone], _SHAPES[node.form]
    style = shape.get("style", "filled") + (",dashed" if look.dashed else "")
    colours = {"fillcolor": look.fill, "color": look.line, "fontcolor": look.text, "penwidth": str(look.width)}
    return {**shape, **colours, "style": style}


def _edge_attributes(edge: PictureEdge) -> dict[str, str]:
    look = stroke_of(edge)
    attributes = {"color": look.line, "fontcolor": look.text, "penwidth": str(look.width)}
    return {**attributes, "style": look.dashes} if look.dashes else attributes


def _frame_attributes(frame: Frame) -> dict[str, str]:
    look = FRAMES[frame.kind]
    return {
        "label": f"<{_font(_text(frame.label), 11, MUTED)}>",
        "labelloc": "b" if frame.kind == "loop" else "t",  # a loop is entered from above: its label would be crossed
        "labeljust": "l",
        "style": "rounded,filled" + (",dashed" if look.dashed else ""),
        "color": look.line,
        "fillcolor": look.fill,
        "margin": "14",
    }


# -- labels ------------------------------------------------------------------------------------------


def _text(text: str) -> str:
    return escape(text or " ").replace("\\", "&#92;&#92;")


def _font(content: str, size: int, colour: str) -> str:
    return f'<font point-size="{size}" color="{colour}">{content}</font>'


def _lines(rows: Sequence[str], *, left: bool = False) -> str:
    align = ' align="left"' if left else ""
    return _table(f"<td{align}>{row}</td>" for row in rows)


def _table(rows: Iterable[str]) -> str:
    cells = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<<table border="0" cellborder="0" cellspacing="0" cellpadding="1">{cells}</table>>'


def _node_label(node: PictureNode) -> str:
    if node.form == "point":  # its name is for who cannot see where it lies
        return ""
    if node.form in ("start", "end"):
        return _lines([_text(line) for line in (node.name, node.symbol) if line])
    small = (_font(_text(line), 11, MUTED) for line in node.small)
    return _lines([f"<b>{_text(node.heading)}</b>", *small])


def _edge_label(edge: PictureEdge, ground: str) -> str | None:
    """The label, with a margin that keeps it off its edge and a ground that covers whatever else it stands on."""
    margin = '<td width="7"></td>'
    rows = [f'{margin}<td bgcolor="{ground}">{_text(line)}</td>{margin}' for line in edge.label]
    return _table(rows) if rows else None
