from __future__ import annotations

import re
import warnings
from collections import Counter
from html import unescape

import pytest
from hypothesis import given, settings

from orchestra_graph.graph.plan import Shape
from orchestra_graph.render.dot import dot_of
from orchestra_graph.render.picture import Picture, picture_of, picture_of_run

from . import hostile
from .shapes import CALLED, LICENCES, RACE, SUPPORT, activation, all_frames, run, shape, work

pygraphviz = pytest.importorskip("pygraphviz")


def _texts_in(svg: str) -> Counter[str]:
    """The words that were really drawn. Graphviz may draw a line in several pieces, and with no-break spaces."""
    drawn = re.findall(r"<text [^>]*>([^<]*)</text>", svg)
    return Counter("".join(unescape(text).split()) for text in drawn)


def _texts_of(picture: Picture) -> Counter[str]:
    lines = [*picture.title]
    for node in picture.nodes:
        if node.form == "point":
            continue
        circle = node.form in ("start", "end")
        lines += [node.name, node.symbol] if circle else [node.heading, *node.small]
    lines += [line for edge in picture.edges for line in edge.label]
    lines += [frame.label for frame in all_frames(picture.frames)]
    return Counter("".join(line.split()) for line in lines)


def _drawn(picture: Picture) -> str:
    graph = pygraphviz.AGraph(string=dot_of(picture))
    assert len(graph.nodes()) == len(picture.nodes)
    assert len(graph.edges()) == len(picture.edges)
    return bytes(graph.draw(format="svg", prog="dot")).decode()


@settings(max_examples=60, deadline=None)
@given(hostile.shapes(), hostile.texts)
def test_every_text_is_drawn_as_it_is(hostile_shape: Shape, name: str) -> None:
    picture = picture_of(hostile_shape, name)
    drawn, wanted = _texts_in(_drawn(picture)), _texts_of(picture)
    wanted.pop("", None)
    drawn.pop("", None)
    assert drawn == wanted


def test_graphviz_has_nothing_to_complain_about(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in hostile.NASTY:
            _drawn(picture_of(shape([work(name)], [("START", name), (name, "END", "when", name)]), name))
    assert "error" not in capfd.readouterr().err.lower()


def test_nodes_stand_in_the_clusters_of_their_frames() -> None:
    graph = pygraphviz.AGraph(string=dot_of(picture_of(LICENCES, "review")))
    loop = graph.get_subgraph("cluster_0")
    assert set(loop.nodes()) == {"n1", "n2", "n3", "n4"}
    assert set(loop.get_subgraph("cluster_0_0").nodes()) == {"n2"}


def test_an_edge_into_an_each_ends_at_its_frame() -> None:
    graph = pygraphviz.AGraph(string=dot_of(picture_of(LICENCES, "review")))
    assert graph.get_edge("n1", "n2").attr["lhead"] == "cluster_0_0"


def test_an_edge_back_is_written_from_the_head_with_its_arrow_there() -> None:
    graph = pygraphviz.AGraph(string=dot_of(picture_of(LICENCES, "review")))
    assert graph.get_edge("n1", "n4").attr["dir"] == "back"


def test_ways_of_a_run_differ_without_colours() -> None:
    graph = pygraphviz.AGraph(string=dot_of(picture_of_run(SUPPORT, run("done", activation("classify"), taken={0: 1}))))
    taken, faint = graph.get_edge("n0", "n1").attr, graph.get_edge("n1", "n2").attr
    assert float(taken["penwidth"]) > 2 * float(faint["penwidth"])
    assert (taken["style"] or "solid", faint["style"]) == ("solid", "dashed")


def test_forms_differ_without_colours() -> None:
    graph = pygraphviz.AGraph(string=dot_of(picture_of(SUPPORT, "support")))
    forms = {node: (graph.get_node(node).attr["shape"], graph.get_node(node).attr["peripheries"]) for node in graph}
    assert len({forms[f"n{index}"] for index in (0, 1, 6, 7, 8)}) == 5


def test_a_graph_in_a_graph_is_a_cluster_that_its_limit_leaves() -> None:
    picture = picture_of(CALLED, "nested")
    graph = pygraphviz.AGraph(string=dot_of(picture))
    names = {node.name: f"n{index}" for index, node in enumerate(picture.nodes)}
    call = graph.get_subgraph("cluster_0").get_subgraph("cluster_0_0")
    assert set(call.nodes()) == {names["read"], names["judge"], names["mend"], names["end of review"]}
    assert graph.get_edge(names["read"], names["apologise"]).attr["ltail"] == "cluster_0_0"
    _drawn(picture)


def test_ways_aside_differ_from_the_usual_and_from_each_other_without_colours() -> None:
    picture = picture_of(CALLED, "nested")
    graph = pygraphviz.AGraph(string=dot_of(picture))
    assert {edge.attr["style"] for edge in graph.edges() if edge.attr["style"]} == {"dashed", "dotted"}
    taken = picture_of_run(CALLED, run("failed", activation("draft"), taken={0: 1, 2: 1}))
    edges = {e.kind: e.strength for e in taken.edges if e.count}
    assert edges == {"usual": "bold", "error": "bold"}


def test_races_and_rules_are_drawn() -> None:
    drawn = _texts_in(_drawn(picture_of(RACE, "race")))
    assert drawn["racewithwait"] == drawn["racewithapprove"] == 1
    assert drawn["join:first(2),cancelstherest"] == 1
