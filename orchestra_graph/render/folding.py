"""The ways of a form as they are drawn: without the two ends of a call, which nobody declared.

A graph that stands in another one is drawn as a frame. What leads to it leads to its first nodes, and what leads on
from it comes from its last ones, wherever that takes fewer lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestra_graph.render.form import Form, Link

__all__ = ["Folded", "Way", "fold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One line of a picture.

    Attributes:
        source: The vertex from which it is drawn.
        target: The vertex to which it is drawn.
        links: The links that it stands for, in order, by index: more than one where an end of a call is left out.
        from_frame: It comes from the whole graph around its source.
    """

    source: int
    target: int
    links: tuple[int, ...]
    from_frame: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What is drawn of a form.

    Attributes:
        ways: The lines, in the order of their first links.
        hidden: The vertices that are not drawn.
    """

    ways: tuple[Way, ...]
    hidden: frozenset[int]


def fold(form: Form) -> Folded:
    """Take the ends of calls out, one after another."""
    ways = [Way(source=link.source, target=link.target, links=(i,)) for i, link in enumerate(form.links)]
    hidden: set[int] = set()
    for vertex, here in enumerate(form.vertices):
        if here.kind not in ("enter", "leave"):
            continue
        coming = [way for way in ways if way.target == vertex]
        aside = [way for way in ways if way.source == vertex and _is_aside(form, way)]
        going = [way for way in ways if way.source == vertex and way not in aside]
        if not going or len(coming) * len(going) >= len(coming) + len(going):
            continue
        if len(going) > 1 and any(form.links[way.links[-1]].kind == "each" for way in coming):
            continue  # such a way ends at the frame of the each: where it leads to would not be seen
        hidden.add(vertex)
        through = [_joined(one, other) for one in coming for other in going]
        through += [Way(source=going[0].target, target=way.target, links=way.links, from_frame=True) for way in aside]
        ways = [way for way in ways if vertex not in (way.source, way.target)] + through
    return Folded(ways=tuple(sorted(ways, key=lambda way: way.links)), hidden=frozenset(hidden))


def _is_aside(form: Form, way: Way) -> bool:
    link: Link = form.links[way.links[0]]
    return link.kind == "limit"


def _joined(one: Way, other: Way) -> Way:
    return Way(source=one.source, target=other.target, links=(*one.links, *other.links), from_frame=one.from_frame)
